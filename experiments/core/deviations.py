"""The deviations of a run from the paper, for records, captions and lines."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdmr.datasets.errors import format_counts
from sdmr.experiments.core.arguments import TRAINING_LENGTH, flatten, get_model_config, import_class
from sdmr.experiments.core.config import DEFAULT_DATASET, RunSettings
from sdmr.experiments.core.datasets import is_reader, read_dataset
from sdmr.experiments.core.messages import format_value
from sdmr.experiments.core.record import Record
from sdmr.experiments.core.registry import NAMED_MODELS, OTHER_ROWS
from sdmr.experiments.core.run import Run
from sdmr.harness.metrics import TiePolicy

# Arguments that the paper searches or leaves open, and the device. Any other has the paper's value, or is a deviation.
SEARCHED = {"dim", "hops", "context_length", "alpha", "regularization", "learning_rate", "negatives"}
SEARCHED |= {"neighbors", "weighting", "l1", "l2", "squared", "device"}
UNCOMPARED = ("_target_", "month", "split_seed")  # what no data set has a default of its own for
SEARCHED_IN_BASELINES = SEARCHED | {"layers", "dropout"}  # the paper's own models have one layer and no dropout


def list_deviations(run: Run) -> dict[str, Any]:
    """Return what differs from the default protocol, split and data set, and the paper's model."""
    deviations = run.protocol.deviations
    if split_seed := run.config.get("split_seed", 0):
        deviations["split_seed"] = split_seed
    default = read_dataset(run.dataset)["dataset"]
    # A user's file has no other default than the order.
    names = (
        ["order"] if "path" in default or is_reader(run.dataset) else [key for key in default if key not in UNCOMPARED]
    )
    values = run.config["dataset"]
    deviations |= {key: values[key] for key in names if key in values and values[key] != default.get(key)}
    return deviations | list_model_deviations(run.config["model"], run.dataset)


def list_model_deviations(
    config: Mapping[str, Any], dataset: str = DEFAULT_DATASET, default: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the arguments of a model, its parts included, whose values are not the paper's.

    An argument of a part or of training has a dotted name. The first entry is `variant: released`, if the model is one
    of `sdmr.models.released` and any argument differs. A user's class, and any other model that is not in the paper,
    has deviations in its parts only.

    Args:
        config: The model's configuration.
        dataset: The name of the data set, which sets the length of training.
        default: The default configuration of a part in the model that it belongs to.
    """
    target = config["_target_"]
    model = import_class(target)
    default = default or get_model_config(next((k for k, v in NAMED_MODELS.items() if v.target == target), target))
    lengths = RunSettings().model_dump() | read_dataset(dataset)
    paper = flatten(default) | getattr(model, "PAPER_CHOICES", {})
    for name in TRAINING_LENGTH:  # a model that is not in the paper may have a length of its own
        key = f"optimization.{name}"
        if paper.get(key) == f"${{{name}}}" or hasattr(model, "PAPER_CHOICES"):
            paper[key] = lengths[name]
    ignored = SEARCHED if target.startswith("sdmr.models.") else SEARCHED_IN_BASELINES
    objects = {k: v for k, v in config.items() if isinstance(v, Mapping) and "_target_" in v}
    parts = {k: v for k, v in objects.items() if hasattr(import_class(v["_target_"]), "fit")}
    deviations = {}
    if target.startswith("sdmr.") and target not in {other.target for other in OTHER_ROWS.values()}:
        for name, value in flatten({k: v for k, v in config.items() if k not in parts}).items():
            if name.rpartition(".")[2] not in ignored and value != paper[name]:
                deviations[name] = value
    for name, part in parts.items():
        inner = list_model_deviations(part, dataset, default[name])
        deviations |= {f"{name}.{key}": value for key, value in inner.items() if key != "variant"}
    return {"variant": "released"} | deviations if deviations and hasattr(model, "PAPER_CHOICES") else deviations


def format_deviations(deviations: Mapping[str, Any]) -> str:
    """Return deviations as they are written on the command line."""
    return ", ".join(f"{name}={format_value(value)}" for name, value in deviations.items())


def describe_result(record: Record, folder: Path, tie_policy: TiePolicy = "expected") -> str:
    """Return a run in one line: model, data set, deviations from the paper, metrics, record."""
    side = "validation" if record.test is None else "test"
    values = ", ".join(f"{name} {record.metrics()[name][tie_policy]:.3f}" for name in ("hit@10", "NDCG@10"))
    deviations = record.deviations | ({"tie_policy": tie_policy} if tie_policy != "expected" else {})
    named = f", {format_deviations(deviations)}" if deviations else ""
    report = f"; {format_counts(record.data_report)}" if record.data_report else ""
    return f"{record.model} on {record.dataset}, {side}{named}: {values} ({folder}/record.json){report}"

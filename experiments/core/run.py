"""A run: one resolved configuration on one task, and its folder. `execute` makes its record."""

import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sdmr.datasets.errors import DataError
from sdmr.datasets.prepare import compute_fingerprint, prepare
from sdmr.datasets.readers import bind_reader
from sdmr.datasets.task import Task
from sdmr.experiments.core.arguments import import_class, make_object
from sdmr.experiments.core.config import compose_config, list_settings
from sdmr.experiments.core.errors import ConfigError
from sdmr.experiments.core.record import Record, load_record
from sdmr.experiments.core.run_files import FAILURE, MODEL, RANKS, RECORD
from sdmr.experiments.core.sources import compute_digest
from sdmr.experiments.core.trackers import NO_TRACKER
from sdmr.harness.files import load_tensors_of
from sdmr.harness.protocol import Protocol
from sdmr.harness.records import format_run_name, read_ranks

log = logging.getLogger(__name__)
KEY_FIELDS = ("model", "dataset", "seed", "split_seed", "test", "protocol")  # the settings that make a run's key
RANKING_MODULES = ("sdmr.harness.protocol", "sdmr.harness.evaluation", "sdmr.datasets.prepare")
TRAINING_CHOICES = ("protocol.select_on", "protocol.retrain")
TASK_SETTINGS = "dataset.*, protocol.* without protocol.select_on and protocol.retrain, and split_seed"
HISTORY_CONTEXT_LENGTH = 5  # where a data set of histories leaves it open


@dataclass(frozen=True)
class Run:
    """A resolved configuration, and the folder of its record."""

    config: dict[str, Any]  # the settings named in KEY_FIELDS
    data: str  # fingerprint of the task
    source: str  # digest of the code that computes the run
    dataset: str  # the data set's name
    folder: Path
    tracker: str = field(default=NO_TRACKER, compare=False)  # no result depends on it

    @property
    def record(self) -> Record | None:
        """Return the record of a finished run.

        One that is damaged, of another run or without its ranks counts as missing, so that the run is made again.
        """
        path = self.folder / RECORD
        try:
            record = load_record(path) if path.exists() else None
            if record is not None:
                self._check_record(record, path)
            return record
        except (DataError, OSError, RuntimeError) as error:  # RuntimeError: a damaged zip file
            log.warning("%s; the run counts as not made", error)
            return None

    def _check_record(self, record: Record, path: Path) -> None:
        if (record.run, record.data, record.source) != (self.folder.name, self.data, self.source):
            raise DataError(f"{path} is that of another run, {record.run}")
        if self.config.get("test"):
            if record.test is None:
                raise DataError(f"{path}: test=... is missing")
            read_ranks(path.with_name(RANKS), is_among_all=record.test_all is not None)

    @property
    def failure(self) -> str | None:
        """Return the error that ended a failed run."""
        path = self.folder / FAILURE
        try:
            return json.loads(path.read_text(encoding="utf-8"))["error"] if path.exists() else None
        except (ValueError, KeyError):
            return f"{path} is damaged"

    @property
    def protocol(self) -> Protocol:
        """Return how the run is ranked."""
        return Protocol(**self.config["protocol"])

    @property
    def modules(self) -> set[str]:
        """Return the modules of the model's class and of its parts."""
        return _list_modules(self.config["model"])

    @property
    def training_protocol(self) -> dict[str, Any]:
        """Return the protocol of the run that trains the model."""
        return asdict(self.protocol.training_protocol)

    @property
    def is_ranking_only(self) -> bool:
        """Tell whether the run only ranks what another run trains."""
        return self.protocol != self.protocol.training_protocol

    @property
    def is_model_missing(self) -> bool:
        """Tell whether a finished run lacks the parameters that it trained."""
        return (self.folder / RECORD).exists() and load_tensors_of(self.folder / MODEL, "cpu") is None

    @property
    def is_running(self) -> bool:
        """Tell whether a process is at work on the run."""
        if not self.folder.exists():
            return False
        try:
            with FileLock(self.folder / ".lock", timeout=0):
                return False
        except Timeout:
            return True

    def load_task(self) -> Task:
        """Return the task of the run: training side, validation and test instances."""
        return load_task(self.config)[0]

    def derive(self, **changes: Any) -> "Run":
        """Return the run whose configuration differs in these settings."""
        config = self.config | {"tracker": self.tracker} | changes
        return make_run(config, self.dataset, self.folder.parent.parent)


def compose_run(overrides: Sequence[str], runs: Path | None = None) -> Run:
    """Return the run of Hydra's overrides. `runs` is the folder of runs, by default the one that the settings name.

    Raises ConfigError for a setting that does not exist or has a wrong value, DataError for a data set that cannot be
    read.
    """
    config, dataset = compose_config(overrides)
    return make_run(config, dataset, runs or Path(config["runs"]))


def make_run(config: dict[str, Any], dataset: str, runs: Path) -> Run:
    """Return the run of a checked configuration. `dataset` is the data set's name, `runs` the folder of runs."""
    protocol = Protocol(**config["protocol"])
    identity = {name: config[name] for name in KEY_FIELDS} | {"protocol": protocol.ranking_key}
    target, source = identity["model"]["_target_"], compute_source(identity)
    task, data, _ = load_task(identity)
    length = HISTORY_CONTEXT_LENGTH
    if task.training.instances.has_baskets:  # the longest context there is, but at least 1, which models ask for
        sides = (task.training.instances, task.training.validation, task.test)
        length = max(int(side.contexts.count.max(initial=1)) for side in sides)
    identity["model"] = fill_context_length(identity["model"], length)
    folder = runs / dataset / format_run_name(target, identity, data, source)
    return Run(identity, data, source, dataset, folder, config.get("tracker", NO_TRACKER))


def compute_source(config: dict[str, Any]) -> str:
    """Return the digest of the present code that computes the run of a configuration."""
    reader = config["dataset"]["_target_"]
    return compute_digest(*_list_modules(config["model"]), *RANKING_MODULES, reader.rpartition(".")[0])


def check_task_overrides(overrides: Sequence[str]) -> None:
    """Raise ConfigError for an override that does not change the task."""
    for override in overrides:
        if not is_task_override(override):
            key = override.partition("=")[0]
            is_setting = key in list_settings([]) or key.startswith("model.")
            fault = "has no effect here, since no model is trained" if is_setting else "is no setting"
            raise ConfigError(f"{key} {fault}; allowed are {TASK_SETTINGS}")


def compose_task(dataset: str, overrides: Sequence[str], runs: Path = Path("runs")) -> Run:
    """Return the run of the simplest model on a task.

    Raises ConfigError for an override that does not change the task, DataError for a data set that cannot be read.
    """
    check_task_overrides(overrides)
    return compose_run(["model=popularity", f"dataset={dataset}", *overrides], runs)


def is_task_override(override: str) -> bool:
    """Tell whether an override may change split, candidates or ranking, for any model."""
    key = override.partition("=")[0]
    is_setting = key in ("dataset", "split_seed") or key.startswith(("dataset.", "protocol."))
    return is_setting and key not in TRAINING_CHOICES


def make_recommender(config: dict[str, Any], seed: int = 0) -> Any:
    """Return the model of a configuration, not fitted. Raises ConfigError for what its constructor does not allow.

    The constructor, and that of each part, may draw from the generators that `seed` seeds.
    """
    return make_object(config, seed)


def load_task(config: dict[str, Any]) -> tuple[Task, str, float]:
    """Return the task of a configuration, its fingerprint, and the seconds it took."""
    split_options = Protocol(**config["protocol"]).split_options
    return _load_task(json.dumps(config["dataset"]), config["split_seed"], json.dumps(split_options))


def drop_tasks() -> None:
    """Drop this process's cached tasks, which a model that failed may have changed."""
    _load_task.cache_clear()


@cache
def _load_task(dataset: str, split_seed: int, split_options: str) -> tuple[Task, str, float]:
    """Load a task once for the runs that share it; settings come as JSON."""
    start = time.perf_counter()
    try:
        task = prepare(bind_reader(json.loads(dataset)), split_seed, **json.loads(split_options))
    except DataError:
        raise
    except ValueError as error:  # a setting that the data set or the split does not allow
        raise ConfigError(str(error)) from error
    return task, compute_fingerprint(task), time.perf_counter() - start


def _list_modules(model: Any) -> set[str]:
    return {import_class(target).__module__ for target in _list_targets(model)}


def _list_targets(config: Any) -> Iterator[str]:
    """Yield every class that settings name, those of parts at any depth included."""
    for key, value in config.items() if isinstance(config, dict) else enumerate(config):
        if isinstance(value, dict | list):
            yield from _list_targets(value)
        elif key == "_target_":
            yield value


def fill_context_length(model: dict[str, Any], length: int) -> dict[str, Any]:
    """Return the model's config with the length in place of null, in its parts, too."""
    parts = {name: fill_context_length(part, length) for name, part in model.items() if isinstance(part, dict)}
    is_open = "context_length" in model and model["context_length"] is None
    return model | parts | ({"context_length": length} if is_open else {})

"""Train and rank one model on one data set: `sdmr run model=sdm dataset=ml-100k model.hops=3`.

`settings=tuned` uses the settings that a search has found. A model of your own is named by its class:
`sdmr run model=my_package.Net model.width=3`. `-m` runs every combination of values:
`sdmr run -m model=sdm model.hops=1,2,3 test=false`. `--cfg job` prints every setting.
"""

import json
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import chain, product
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from pydantic import Field

from sdmr.datasets.errors import DataError
from sdmr.experiments.core import cli
from sdmr.experiments.core.arguments import describe_arguments, get_model_config
from sdmr.experiments.core.config import (
    DEFAULT_DATASET,
    RunConfig,
    RunSettings,
    compose_config,
    explain_hydra_error,
    prepare_overrides,
    resolve_config,
)
from sdmr.experiments.core.datasets import list_datasets, read_dataset
from sdmr.experiments.core.deviations import describe_result
from sdmr.experiments.core.effects import check_effects
from sdmr.experiments.core.errors import ConfigError, UsageError
from sdmr.experiments.core.execute import execute
from sdmr.experiments.core.grammar import expand_sweep, is_of_hydra
from sdmr.experiments.core.help_text import describe_fields, describe_setting
from sdmr.experiments.core.messages import format_value, list_choices
from sdmr.experiments.core.options import CommandOptions
from sdmr.experiments.core.paths import CONF
from sdmr.experiments.core.progress import Progress, hide_bars, shorten_settings, show_progress
from sdmr.experiments.core.registry import NAMED_MODELS
from sdmr.experiments.core.run import make_run
from sdmr.experiments.report.writers import make_table
from sdmr.harness.protocol import Protocol

# Hydra's flags, and the values of those that have one.
HYDRA_FLAGS: dict[str, tuple[str, ...]] = {
    "-m": (),
    "--multirun": (),
    "--cfg": ("job", "hydra", "all"),
}

# Of the table at the end of a multirun.
RESULT_COLUMNS = ("validation NDCG@10", "validation hit@10", "test NDCG@10", "test hit@10")

FLAG_MEANINGS = {
    "-m, --multirun": "run every combination of values that are separated by commas",
    "--cfg job": "print every setting, and run nothing (hydra: Hydra's settings; all: both)",
    "--help": "print this text, with the arguments of model=NAME and dataset=NAME",
}


class Options(CommandOptions):
    overrides: list[str] = Field(default_factory=list, description="the settings below, in Hydra's grammar")
    flags: list[str] = Field(default_factory=list, description="Hydra's flags, such as -m and --cfg job")


def describe_more(arguments: Sequence[str]) -> str:
    """Return help on flags, settings, and the models and data sets in the arguments."""
    lines = ["flags:", *(f"  {flag:34} {meaning}" for flag, meaning in FLAG_MEANINGS.items())]
    lines += ["", "settings:", describe_fields(RunSettings.model_fields)]
    lines.append(f"  {'dataset=' + DEFAULT_DATASET:34} data set ({', '.join(list_datasets())})")
    lines.append(f"  {'model=...':34} model ({', '.join(NAMED_MODELS)}, or package.Class)")
    lines.append(f"  {'settings=default':34} settings of the model (default, tuned)")
    for name, annotation in get_type_hints(Protocol).items():
        meaning = Protocol.__dataclass_fields__[name].metadata["description"]
        choices = f" ({', '.join(map(str, get_args(annotation)))})" if get_origin(annotation) is Literal else ""
        lines.append(describe_setting(f"protocol.{name}", format_value(getattr(Protocol, name)), meaning + choices))
    models = _read_values("model", arguments)
    for name in _read_values("dataset", arguments) or (() if models else list_datasets()):
        if settings := describe_arguments(read_dataset(name)["dataset"], "dataset"):
            lines += ["", f"settings of dataset={name}:", *settings]
    for name in models:
        lines += ["", f"arguments of model={name}:", *describe_arguments(get_model_config(name), "model")]
    return "\n".join(lines)


def _read_values(key: str, arguments: Sequence[str]) -> list[str]:
    texts = [argument.partition("=")[2] for argument in arguments if argument.startswith(f"{key}=")]
    return [value for text in texts for value in text.split(",")]  # those of a multirun


def main(options: Options) -> int:
    if options.flags:
        return _run_hydra(options)
    if hydra := [override for override in options.overrides if is_of_hydra(override)]:
        raise UsageError(f"{hydra[0]} has no effect without -m")
    config = compose_config(options.overrides)
    _check_effects([prepare_overrides(options.overrides)])
    print(_execute(config, " ".join(options.overrides)))
    return 0


def _check_effects(runs: Sequence[Sequence[str]]) -> None:
    """Raise UsageError for a setting that has no effect on any of the runs."""
    named = [dict(override.partition("=")[::2] for override in overrides) for overrides in runs]
    models = list(dict.fromkeys(values["model"] for values in named))
    datasets = {values.get("dataset", DEFAULT_DATASET) for values in named}
    check_effects(list(dict.fromkeys(chain(*runs))), models, datasets)


def _execute(config: RunConfig, label: str) -> str:
    """Make a configuration's run with its progress, and return its result in one line."""
    settings = config.settings
    run = make_run(settings, config.dataset, Path(settings["runs"]))
    with show_progress(label) as show:
        record = execute(run, settings["threads"], settings["force"], progress=Progress(show))
    return describe_result(record, run.folder, settings["protocol"]["tie_policy"])


def _run_hydra(options: Options) -> int:
    """Run as Hydra's flags ask. A multirun goes on after a job that fails."""
    flags = _check_flags(options.flags)
    overrides = prepare_overrides(options.overrides)
    configs: dict[tuple[str, ...], RunConfig] = {}
    failure: Exception | None = None
    if "--cfg" in flags:
        if {"-m", "--multirun"} & set(flags):
            raise UsageError("--cfg prints the settings of one run: leave out -m, and give each key one value")
        compose_config(overrides)
        flags += ["--resolve"]
    elif "-m" in flags or "--multirun" in flags:
        settings = [override for override in overrides if not is_of_hydra(override)]
        axes = dict(zip((one.partition("=")[0] for one in settings), expand_sweep(settings), strict=True))
        varied = [key for key, values in axes.items() if len(values) > 1]
        runs = list(product(*axes.values()))
        configs = {combination: compose_config(combination) for combination in runs}
        _check_effects(runs)
        fixed = [key for key in axes if key not in varied]
        names = "hydra.job.config.override_dirname"  # what Hydra names a job by
        flags += [f"{names}.item_sep=' '", f"{names}.exclude_keys={json.dumps(fixed)}"]
    sys.argv = ["sdmr run", *flags, *overrides]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises what a job has raised
    try:
        run_job()
    except HydraException as error:
        raise ConfigError(explain_hydra_error(error)) from error
    except Exception as error:
        failure = error
    finally:
        for folder in {Path(config.settings["runs"]) for config in configs.values()}:
            with suppress(OSError):
                (folder / "multirun.yaml").unlink()  # Hydra's note of the sweep, which no command reads
    if len(configs) > 1:
        print(summarize_multirun(configs, varied))
    if isinstance(failure, UsageError | DataError | OSError):
        raise failure
    return cli.FAILED if failure else 0  # the job has printed it


def summarize_multirun(configs: Mapping[tuple[str, ...], RunConfig], varied: Sequence[str]) -> str:
    """Return a table of the finished runs, the best of each data set first."""
    rows, folders = [], []
    for combination, config in configs.items():
        with suppress(UsageError, DataError, OSError):  # of a run that has failed
            run = make_run(config.settings, config.dataset, Path(config.settings["runs"]))
            if record := run.record:
                values = dict(override.partition("=")[::2] for override in combination)
                row: dict[str, Any] = {shorten_settings(key): values[key] for key in varied}
                for column in RESULT_COLUMNS:
                    side, _, metric = column.partition(" ")
                    if metrics := getattr(record, side):
                        row[column] = f"{metrics[metric]['expected']:.4f}"
                row |= {"best epoch": record.best_epoch, "seconds": f"{record.runtime:.0f}", "run": record.run}
                rows.append((config.dataset, -record.validation["NDCG@10"]["expected"], row))
                folders.append(f"{run.folder.parent}/RUN/record.json")
    rows.sort(key=lambda row: row[:2])
    table = (
        make_table([row for *_, row in rows], "text", right=(*RESULT_COLUMNS, "best epoch", "seconds")) if rows else ""
    )
    places = f"; records: {', '.join(dict.fromkeys(folders))}" if rows else ""
    return f"\n{table}\n{len(rows)} of {len(configs)} runs, the best validation NDCG@10 first{places}"


def _check_flags(flags: Sequence[str]) -> list[str]:
    """Return the flags and their values as Hydra takes them. Raises UsageError for others."""
    checked: list[str] = []
    values = iter(flags)
    for flag in values:
        if flag not in HYDRA_FLAGS:
            raise UsageError(f"{flag}: there is no such flag; {list_choices(flag, [*HYDRA_FLAGS, '--help'])}")
        checked.append(flag)
        if allowed := HYDRA_FLAGS[flag]:
            value = next(values, "")
            if value not in allowed:
                raise UsageError(f"{flag} {value}: expected one of {', '.join(allowed)} after {flag}")
            checked.append(value)
    return checked


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def run_job(config: DictConfig) -> None:
    """Run one job of Hydra's."""
    choices, overrides = HydraConfig.get().runtime.choices, HydraConfig.get().overrides.task
    try:
        if choices["hydra/launcher"] != "basic":  # this is one of several processes
            hide_bars()
        label = HydraConfig.get().job.override_dirname or " ".join(overrides)
        result = _execute(resolve_config(config, choices), label)
    except Exception as error:
        if not isinstance(error, UsageError | DataError | OSError):  # a user needs it to find the fault in a class
            traceback.print_exc()
        print(f"FAILED {' '.join(overrides)}: {type(error).__name__}: {error}", file=sys.stderr)
        raise
    print(f"{' '.join(overrides)}\n  {result}")


if __name__ == "__main__":
    sys.exit(cli.main(["run", *sys.argv[1:]]))

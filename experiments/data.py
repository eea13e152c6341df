"""Show what the suite sees in a file, before anything is trained: `sdmr data path=FILE`.

Prints the columns, their types and first rows; users, items and interactions after all filters; what is dropped and
why; the times and their ties; and the `sdmr run` command to use. Where settings are missing, it guesses separator,
header and columns from the first rows. `sdmr data dataset=ml-100k` describes a data set by its name.
"""

import re
import shlex
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from sdmr.datasets.errors import DataError, format_counts, quote_name
from sdmr.datasets.interactions import Interactions
from sdmr.datasets.parsing import WHITESPACE
from sdmr.datasets.readers import bind_reader
from sdmr.datasets.split import split
from sdmr.datasets.table_file import TableFile, is_number
from sdmr.datasets.task import Task
from sdmr.datasets.times import UNITS, encode_times, find_unit
from sdmr.experiments.core import cli
from sdmr.experiments.core.config import compose_config
from sdmr.experiments.core.errors import ConfigError, UsageError
from sdmr.experiments.core.grammar import format_setting, quote_value
from sdmr.experiments.core.options import CommandOptions
from sdmr.experiments.core.run import check_task_overrides
from sdmr.experiments.report.dataset_check import describe_times
from sdmr.experiments.report.writers import make_table
from sdmr.harness.protocol import Protocol

HEAD_ROWS = 1000  # from which types and settings are guessed
FILE_SETTINGS = ("format", "separator", "header", "encoding", "quoting", "member")
SEPARATORS = (",", "\t", ";", "::", "|", WHITESPACE)
ROLES = {
    "user": "user|visitor|reviewer|customer|member|session|uid",
    "item": "item|product|asin|movie|track|artist|isbn|business|song|venue|book",
    "time": "time|date|when",
}


class Options(CommandOptions):
    path: str | None = Field(None, description="file of yours; `null`: the one of the data set")
    dataset: str | None = Field(None, description="data set; `null`: csv, or inter for a file of RecBole")
    overrides: list[str] = Field(
        default_factory=list, description="settings of the task: dataset.*, protocol.*, split_seed"
    )


def main(options: Options) -> int:
    if options.path is None and options.dataset is None:
        raise UsageError("path=... or dataset=... is missing")
    check_task_overrides(options.overrides)
    dataset = options.dataset or ("inter" if str(options.path).endswith(".inter") else "csv")
    overrides = [f"dataset={dataset}", *options.overrides]
    if options.path is not None:
        overrides.insert(1, f"dataset.path={format_setting(options.path)}")
    config = compose_config(["model=popularity", *overrides]).settings
    if dataset in ("csv", "inter"):
        typed = {override.partition("=")[0].removeprefix("dataset.") for override in options.overrides}
        guesses = _check(_describe_file, config["dataset"], typed)
        overrides += [f"dataset.{name}={format_setting(value)}" for name, value in guesses.items()]
        config["dataset"] |= guesses
    print(*_check(_describe_data, config), sep="\n")
    print("\nsdmr run", shlex.join(["model=popularity", *map(quote_value, overrides)]))
    return 0


def _check(describe: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function does; an error of a setting is one of use."""
    try:
        return describe(*arguments)
    except DataError:
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _describe_file(settings: dict[str, Any], typed: set[str]) -> dict[str, Any]:
    """Print columns and first rows of a file; return guesses of settings not typed."""
    file, guesses = _open_file(settings, typed)
    head = _read_head(file)
    types = {str(name): _infer_type(head[name]) for name in head}
    print(f"{file.path}: {file.resolved_format}, {len(file.names)} columns\n")
    columns = pd.DataFrame({"column": map(quote_name, types), "type in the first rows": types.values()})
    print(make_table(columns, "text"), end="\n\n")
    print(make_table(head.head(5).map(quote_name, length=40), "text"), end="\n\n")
    guesses |= _guess_columns(file, types, settings, typed)
    if guesses:
        settings_text = ", ".join(f"{name}={value}" for name, value in guesses.items())
        print(f"guessed from the first {HEAD_ROWS:,} rows: {settings_text}\n")
    return guesses


def _open_file(settings: dict[str, Any], typed: set[str]) -> tuple[TableFile, dict[str, Any]]:
    """Return the file as its settings describe it, and guesses of its separator and header."""
    known = {name: settings[name] for name in FILE_SETTINGS if name in settings}
    if "format" not in known:
        known["format"] = "inter"
    file = TableFile(Path(settings["path"]).expanduser(), **known)
    guesses: dict[str, Any] = {}
    is_text = file.resolved_format in ("csv", "tsv")
    if is_text and "separator" not in typed and len(file.names) < 2:
        separator = next((one for one in SEPARATORS if len(replace(file, separator=one).names) > 1), None)
        guesses |= {} if separator is None else {"separator": separator}
        file = replace(file, separator=separator)
    if is_text and "header" not in typed and any(map(is_number, file.names)):
        guesses["header"] = False
        file = replace(file, header=False)
    return file, guesses


def _guess_columns(
    file: TableFile, types: Mapping[str, str], settings: Mapping[str, Any], typed: set[str]
) -> dict[str, Any]:
    """Return guesses of the columns whose settings name none of the file's."""
    guesses: dict[str, Any] = {}
    for number, (role, pattern) in enumerate(ROLES.items()):
        needs_none = role == "time" and settings.get("basket") is not None  # baskets keep the order of the file
        if role in typed or role not in settings or settings[role] in file.names or needs_none:
            continue
        if file.header:
            matches = [name for name in file.names if re.search(pattern, name, re.IGNORECASE)]
        elif role == "time":
            matches = [name for name in file.names[2:] if types[name] == "time"]
        else:
            matches = [str(number)]
        guesses |= {role: matches[0]} if matches else {}
    return guesses


def _read_head(file: TableFile) -> pd.DataFrame:
    """Read the first rows of all columns, also where an unused column has another encoding."""
    if any("\N{REPLACEMENT CHARACTER}" in name for name in file.names):
        raise DataError(
            f"{file.path}, line 1: this is no text in {file.encoding}; set dataset.encoding, such as latin-1"
        )
    try:
        return next(file.read(file.names)).slice(0, HEAD_ROWS).to_pandas()
    except DataError:
        if file.encoding != "utf-8" or file.resolved_format == "parquet":
            raise
        with suppress(DataError, KeyError):  # KeyError: a byte-order mark, which is part of the first name in latin-1
            return next(replace(file, encoding="latin-1").read(file.names)).slice(0, HEAD_ROWS).to_pandas()
        raise


def _infer_type(values: pd.Series) -> str:
    """Return whether values are times (dates or epochs), integers, numbers or text."""
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.isna().any():
        try:
            encode_times(Path("the file"), values, None, 0)
        except DataError:
            return "text"
        return "time"
    are_integers = (numbers == numbers.round()).all()
    # From 1973 in seconds to the year 5138 in milliseconds.
    return "time" if numbers.between(1e8, 1e14).all() else "integer" if are_integers else "number"


def _describe_data(config: dict[str, Any]) -> list[str]:
    """Return lines on the interactions, their times, and what is dropped."""
    data = bind_reader(config["dataset"])()
    split_options = Protocol(**config["protocol"]).split_options
    task = data if isinstance(data, Task) else split(data, config["split_seed"], **split_options)
    training = task.training
    n_rows = len(training.instances) + len(training.validation) + len(task.test)
    lines = [f"{n_rows:,} interactions of {training.n_users:,} users with {training.n_items:,} items"]
    lines += [f"{len(task.test):,} test instances, {len(training.validation):,} validation instances"]
    lines += [format_counts({reason: count}) for reason, count in task.report.items()]
    if isinstance(data, Interactions) and data.baskets is not None:
        sizes = np.bincount(data.baskets)
        average = f"{sizes.mean():.1f} on average; with baskets, times are not used"
        lines.append(f"{len(sizes):,} baskets of {sizes.min():,} to {sizes.max():,} items, {average}")
    elif isinstance(data, Interactions) and data.times is not None:
        lines += _describe_span(data, task)
    return lines


def _describe_span(data: Interactions, task: Task) -> list[str]:
    """Return lines on the span of the times and on items taken at once."""
    rows = pd.DataFrame({"user": data.users, "time": data.times})
    tied = rows.duplicated(["user", "time"], keep=False).mean()
    first, last = int(rows["time"].min()), int(rows["time"].max())
    unit = find_unit(rows["time"].to_numpy())
    lines = [f"{tied:.1%} of the interactions are at the same time as another one of their user"]
    if unit is None:
        return [f"times from {first} to {last}, of no unit that is known", *lines]
    start, end = (pd.Timestamp(int(np.clip(time * 60e9 / UNITS[unit][1], -9e18, 9e18))) for time in (first, last))
    lines.insert(0, f"times from {start:%Y-%m-%d} to {end:%Y-%m-%d}, in {unit}")
    if len(task.test):
        share = describe_times(task, data)["sessions"]
        lines.append(f"{share:.1%} of the test items are within a minute of their user's interaction before")
    return lines


if __name__ == "__main__":
    sys.exit(cli.main(["data", *sys.argv[1:]]))

"""THE table of old and new names: what was called one thing at commit d2b9968, and what it is called now.

A step that renames, moves, drops or adds a setting, a value, a class, a key of a record or a file adds its rows here,
in the same commit. Rows are applied one after the other, so that a row uses the names that the rows above have made.

A path is made of the names of settings or keys, joined by dots: `protocol.select_on`, `history.*.loss` ("*": any one
name). It holds wherever it stands: `optimisation.regularisation` is also that of `model.sdm.optimisation`, and
`regularisation` any of that name. A leading dot ties a path to the top: `.seed`. What is below a path moves with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

Path = tuple[str, ...]


@dataclass(frozen=True)
class Key:
    """A setting or key has another name, or another place: Key("protocol.dev_item", "protocol.validation_item")."""

    old: str
    new: str


@dataclass(frozen=True)
class Value:
    """A value has another name: Value("protocol.select_on", "dev", "validation"), the path being the new one."""

    path: str
    old: Any
    new: Any


@dataclass(frozen=True)
class Text:
    """Every text that starts in one way starts in another: Text("models.", "sdmr.models."), of classes."""

    old: str
    new: str


@dataclass(frozen=True)
class Dropped:
    """There is no such setting or key any more."""

    path: str


@dataclass(frozen=True)
class Omitted:
    """A key is left out where its value is None."""

    path: str


@dataclass(frozen=True)
class Added:
    """There is a new setting or key, wherever there is what stands around it: Added("optimisation.clip", 0.0)."""

    path: str
    value: Any


@dataclass(frozen=True)
class File:
    """A file in a run's folder, or among what is exported, has another name."""

    old: str
    new: str


Row = Key | Value | Text | Dropped | Omitted | Added | File

# Of settings as a command is given them, as a record holds them, and of every other key of a record.
TABLE: tuple[Row, ...] = (
    Text("datasets.", "sdmr.datasets."),
    Text("harness.", "sdmr.harness."),
    Text("models.", "sdmr.models."),
    Text("baselines.", "sdmr.baselines."),
    # datasets
    Text("sdmr.datasets.movielens.ml_", "sdmr.datasets.movielens.load_ml_"),
    Text("sdmr.datasets.epinions.epinions", "sdmr.datasets.epinions.load_epinions"),
    Text("sdmr.datasets.ta_feng.ta_feng", "sdmr.datasets.ta_feng.load_ta_feng"),
    Text("sdmr.datasets.netflix.netflix", "sdmr.datasets.netflix.load_netflix"),
    Text("sdmr.datasets.ijcai_15.ijcai_15", "sdmr.datasets.ijcai_15.load_ijcai_15"),
    Text("sdmr.datasets.ncf.ncf", "sdmr.datasets.ncf.load_ncf"),
    Text("sdmr.datasets.tables.csv_file", "sdmr.datasets.tabular.load_csv"),
    Text("sdmr.datasets.tables.inter_file", "sdmr.datasets.tabular.load_inter"),
    Key("dataset.least", "dataset.min_count"),
    Key("dataset.iterated", "dataset.iterative"),
    Key("dataset.smallest", "dataset.min_basket"),
    Key("dataset.largest", "dataset.max_basket"),
    # harness
    Text("sdmr.harness.optimiser.Optimisation", "sdmr.harness.training.optimizer.OptimizationConfig"),
    Key("optimisation", "optimization"),
    Key("optimization.regularisation", "optimization.regularization"),
    Key("optimization.regularise", "optimization.regularization_scope"),
    Key("optimization.halve_every", "optimization.halve_learning_rate_every"),
    Key("optimization.select_by", "optimization.selection_metric"),
    Key("development_instances", "validation_instances"),
    Key("protocol.ties", "protocol.tie_policy"),
    Key("protocol.dev_item", "protocol.validation_item"),
    Key("protocol.last_tie", "protocol.equal_times"),
    Value("protocol.select_on", "dev", "validation"),
    Key(".departures", ".deviations"),
    Key("deviations.ties", "deviations.tie_policy"),
    Key("deviations.dev_item", "deviations.validation_item"),
    Key("deviations.last_tie", "deviations.equal_times"),
    Value("deviations.select_on", "dev", "validation"),
    Key(".development", ".validation"),
    Key("history.*.development", "history.*.validation"),
    Key("history.*.development_hit", "history.*.validation_hit"),
    Key(".place", ".sort_position"),  # of an array of ranks
    # models
    Key("neighbours", "neighbors"),
    Key("initialisation", "initialization"),
    Key("before_sum", "value_layer"),
    Key("mixed", "gate_update"),
    Key("short", "short_context"),
    Key("parts_in", "part_mode"),
)
# Of records only, and of what `--cfg job` prints only.
RECORD: tuple[Row, ...] = (*TABLE, Added(".schema_version", 2), Omitted(".environment.gpu"))
PRINTED: tuple[Row, ...] = (*TABLE, Added(".settings", {}))
# Keys of a record, old and new, that are not compared, wherever they stand: what no two runs have in common, and what
# tells of the code. Paths as above, as they are now.
NOT_COMPARED = (
    ".run",
    ".source",
    ".environment.commit",
    ".seconds",
    ".peak_memory_mib",
    ".failure",
    "history.*.fit_seconds",
    "history.*.rank_seconds",
)
# Names of run folders, of which what stands before the key is compared.
RUN_NAMES = (".trained", ".parts.*")


def tree(values: Any, table: Sequence[Row] = TABLE) -> Any:
    """An old record, or any part of one, under the new names."""
    leaves = dict(_leaves(values))
    for row in table:
        leaves = {new: value for path, leaf in leaves.items() for new, value in _renamed(path, leaf, row)}
        if isinstance(row, Added):
            leaves = _with_added(leaves, row)
    return _grown(leaves)


def override(old: str, table: Sequence[Row] = TABLE) -> str | None:
    """An old override, KEY=VALUE with any prefix of Hydra's, under the new names; None if it is dropped."""
    head, equals, text = old.partition("=")
    prefix = head[: len(head) - len(head.lstrip("+~"))]
    path, value = tuple(head[len(prefix) :].split(".")), yaml.safe_load(text) if equals else None
    for row in table:
        renamed = list(_renamed(path, value, row))
        if not renamed:
            return None
        ((path, new),) = renamed
        if new is not value:
            value, text = new, _as_override(new)
    return prefix + ".".join(path) + equals + text


def overrides(old: Iterable[str], table: Sequence[Row] = TABLE) -> list[str]:
    """Several of them, without those that are dropped."""
    return [new for each in old if (new := override(each, table)) is not None]


def file(old: str, table: Sequence[Row] = TABLE) -> str:
    """The name of a file now."""
    for row in table:
        if isinstance(row, File) and row.old == old:
            old = row.new
    return old


def without(values: Any, paths: Iterable[str]) -> Any:
    """A record less what stands at the given paths."""
    return tree(values, [Dropped(path) for path in paths])


def changed(values: Any, path: str, change: Callable[[Any], Any]) -> Any:
    """A record with every leaf at a path changed."""
    leaves = _leaves(values)
    return _grown({at: change(leaf) if _place(at, path, at_end=True) is not None else leaf for at, leaf in leaves})


def _renamed(path: Path, value: Any, row: Row) -> Iterable[tuple[Path, Any]]:
    """A leaf after one row: none if it is dropped."""
    if isinstance(row, Dropped):
        return () if _place(path, row.path) is not None else ((path, value),)
    if isinstance(row, Omitted):
        return () if value is None and _place(path, row.path, at_end=True) is not None else ((path, value),)
    if isinstance(row, Key):
        return ((_moved(path, row), value),)
    if isinstance(row, Value) and _place(path, row.path, at_end=True) is not None:
        is_old = type(value) is type(row.old) and value == row.old
        return ((path, row.new if is_old else value),)
    if isinstance(row, Text) and isinstance(value, str) and value.startswith(row.old):
        return ((path, row.new + value.removeprefix(row.old)),)
    return ((path, value),)


def _moved(path: Path, row: Key) -> Path:
    at = _place(path, row.old)
    if at is None:
        return path
    old = _names(row.old)
    stars = iter(found for name, found in zip(old, path[at:], strict=False) if name == "*")
    new = tuple(next(stars) if name == "*" else name for name in _names(row.new))
    return path[:at] + new + path[at + len(old) :]


def _place(path: Path, pattern: str, at_end: bool = False) -> int | None:
    """Where a path holds a pattern, the last place of several; None if nowhere."""
    names, last = _names(pattern), len(path) - len(_names(pattern))
    places = [last] if at_end else range(last, -1, -1)
    for at in places:
        if at < 0 or (pattern.startswith(".") and at > 0):
            continue
        if all(name in ("*", found) for name, found in zip(names, path[at:], strict=False)):
            return at
    return None


def _with_added(leaves: dict[Path, Any], row: Added) -> dict[Path, Any]:
    *around, name = _names(row.path)
    pattern = row.path.rpartition(".")[0]
    parents = {(): None} if not around else {}
    for path in leaves if around else ():
        at = _place(path[:-1], pattern)
        if at is not None:
            parents[path[: at + len(around)]] = None
    return {**leaves, **{(*parent, name): row.value for parent in parents}}


def _names(pattern: str) -> Path:
    return tuple(pattern.removeprefix(".").split("."))


def _leaves(values: Any, path: Path = ()) -> Iterable[tuple[Path, Any]]:
    """Every leaf of a tree of dictionaries and lists; an empty one is a leaf, and an entry of a list has its number."""
    branches = values.items() if isinstance(values, Mapping) else enumerate(values) if isinstance(values, list) else ()
    if not branches or not values:
        yield path, values
        return
    for name, branch in branches:
        yield from _leaves(branch, (*path, f"[{name}]" if isinstance(values, list) else str(name)))


def _grown(leaves: Mapping[Path, Any]) -> Any:
    """The inverse of `_leaves`."""
    if tuple(leaves) == ((),):
        return leaves[()]
    branches: dict[str, dict[Path, Any]] = {}
    for (first, *rest), leaf in leaves.items():
        branches.setdefault(first, {})[tuple(rest)] = leaf
    grown = {name: _grown(below) for name, below in branches.items()}
    return list(grown.values()) if grown and all(name.startswith("[") for name in grown) else grown


def _as_override(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)

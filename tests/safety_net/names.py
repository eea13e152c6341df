"""THE table of old and new names: what was called one thing at commit d2b9968, and what it is called now.

A change that renames, moves, drops or adds a setting, a value, a class, a key of a record or a file adds its rows here,
in the same commit. Rows apply one after the other, so that a row uses the names that the rows above have made.

A path is made of the names of settings or keys, joined by dots: `protocol.select_on`, `history.*.loss` ("*": any one
name). It matches anywhere: `optimisation.regularisation` is also that of `model.sdm.optimisation`, and `regularisation`
any of that name. A leading dot ties a path to the top: `.seed`. What is below a path moves with it.

Two variants of a model became two classes, which no row can say: see `variants`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

Path = tuple[str, ...]


@dataclass(frozen=True)
class Key:
    """Rename or move a setting or key: Key("protocol.dev_item", "protocol.validation_item")."""

    old: str
    new: str


@dataclass(frozen=True)
class Value:
    """Rename a value: Value("protocol.select_on", "dev", "validation"). The path is the new one."""

    path: str
    old: Any
    new: Any


@dataclass(frozen=True)
class Text:
    """Replace the beginning of every text, such as of classes: Text("models.", "sdmr.models.")."""

    old: str
    new: str


@dataclass(frozen=True)
class Dropped:
    """Drop a setting or key."""

    path: str


@dataclass(frozen=True)
class Omitted:
    """Drop a key where its value is None."""

    path: str


@dataclass(frozen=True)
class Added:
    """Add a setting or key wherever its parent exists: Added("optimisation.clip", 0.0)."""

    path: str
    value: Any


@dataclass(frozen=True)
class File:
    """Rename a file of a run's folder or of an export."""

    old: str
    new: str


Row = Key | Value | Text | Dropped | Omitted | Added | File

# Of settings on the command line and in records, and of every other key of a record.
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
PRINTED: tuple[Row, ...] = TABLE
# Keys of a record that are not compared, by their paths of today: they differ between any two runs, or depend on the
# text of the code.
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
# Names of run folders, of which the part before the key is compared.
RUN_NAMES = (".trained", ".parts.*")


def translate_tree(values: Any, table: Sequence[Row] = TABLE) -> Any:
    """Return an old record, or any part of one, under the new names."""
    leaves = dict(_list_leaves(values))
    for row in table:
        leaves = {new: value for path, leaf in leaves.items() for new, value in _apply_row(path, leaf, row)}
        if isinstance(row, Added):
            leaves = _add_key(leaves, row)
    return _build_tree(leaves)


def translate_override(old: str, table: Sequence[Row] = TABLE) -> str | None:
    """Return an old override, KEY=VALUE with any prefix of Hydra's, under the new names; None if it is dropped."""
    head, equals, text = old.partition("=")
    prefix = head[: len(head) - len(head.lstrip("+~"))]
    path, value = tuple(head[len(prefix) :].split(".")), yaml.safe_load(text) if equals else None
    for row in table:
        renamed = list(_apply_row(path, value, row))
        if not renamed:
            return None
        ((path, new),) = renamed
        if new is not value:
            value, text = new, _format_value(new)
    return prefix + ".".join(path) + equals + text


def translate_overrides(old: Iterable[str], table: Sequence[Row] = TABLE) -> list[str]:
    """Return several overrides under the new names, without those that are dropped."""
    return [new for each in old if (new := translate_override(each, table)) is not None]


def translate_file(old: str, table: Sequence[Row] = TABLE) -> str:
    """Return the new name of a file."""
    for row in table:
        if isinstance(row, File) and row.old == old:
            old = row.new
    return old


def drop_paths(values: Any, paths: Iterable[str]) -> Any:
    """Return a record without the values at these paths."""
    return translate_tree(values, [Dropped(path) for path in paths])


def change_leaves(values: Any, path: str, change: Callable[[Any], Any]) -> Any:
    """Return a record with every leaf at a path changed."""
    leaves = _list_leaves(values)
    return _build_tree({at: change(leaf) if _matches(at, path) else leaf for at, leaf in leaves})


def _apply_row(path: Path, value: Any, row: Row) -> Iterable[tuple[Path, Any]]:
    """Return a leaf after one row: none if it is dropped."""
    if isinstance(row, Dropped):
        return () if _find_start(path, row.path) is not None else ((path, value),)
    if isinstance(row, Omitted):
        return () if value is None and _matches(path, row.path) else ((path, value),)
    if isinstance(row, Key):
        return ((_rename_path(path, row), value),)
    if isinstance(row, Value) and _matches(path, row.path):
        is_old = type(value) is type(row.old) and value == row.old
        return ((path, row.new if is_old else value),)
    if isinstance(row, Text) and isinstance(value, str) and value.startswith(row.old):
        return ((path, row.new + value.removeprefix(row.old)),)
    return ((path, value),)


def _rename_path(path: Path, row: Key) -> Path:
    start = _find_start(path, row.old)
    if start is None:
        return path
    old = _split(row.old)
    stars = iter(actual for name, actual in zip(old, path[start:], strict=False) if name == "*")
    new = tuple(next(stars) if name == "*" else name for name in _split(row.new))
    return path[:start] + new + path[start + len(old) :]


def _matches(path: Path, pattern: str) -> bool:
    """Return whether a path ends with a pattern."""
    return _fits(path, pattern, len(path) - len(_split(pattern)))


def _find_start(path: Path, pattern: str) -> int | None:
    """Return the index at which a path contains a pattern, the last of several; None if it does not."""
    starts = range(len(path) - len(_split(pattern)), -1, -1)
    return next((start for start in starts if _fits(path, pattern, start)), None)


def _fits(path: Path, pattern: str, start: int) -> bool:
    """Return whether a path has the names of a pattern from an index on."""
    if start < 0 or (pattern.startswith(".") and start > 0):
        return False
    return all(name in ("*", actual) for name, actual in zip(_split(pattern), path[start:], strict=False))


def _add_key(leaves: dict[Path, Any], row: Added) -> dict[Path, Any]:
    *around, name = _split(row.path)
    pattern = row.path.rpartition(".")[0]
    parents: dict[Path, None] = {} if around else {(): None}
    for path in leaves if around else ():
        start = _find_start(path[:-1], pattern)
        if start is not None:
            parents[path[: start + len(around)]] = None
    return {**leaves, **{(*parent, name): row.value for parent in parents}}


def _split(pattern: str) -> Path:
    return tuple(pattern.removeprefix(".").split("."))


def _list_leaves(values: Any, path: Path = ()) -> Iterable[tuple[Path, Any]]:
    """Yield every leaf of a tree of dictionaries and lists, of which an empty one is a leaf.

    The name of a list's entry is its number in brackets.
    """
    branches = values.items() if isinstance(values, Mapping) else enumerate(values) if isinstance(values, list) else ()
    if not branches or not values:
        yield path, values
        return
    for name, branch in branches:
        yield from _list_leaves(branch, (*path, f"[{name}]" if isinstance(values, list) else str(name)))


def _build_tree(leaves: Mapping[Path, Any]) -> Any:
    """Invert `_list_leaves`."""
    if tuple(leaves) == ((),):
        return leaves[()]
    branches: dict[str, dict[Path, Any]] = {}
    for (first, *rest), leaf in leaves.items():
        branches.setdefault(first, {})[tuple(rest)] = leaf
    tree = {name: _build_tree(below) for name, below in branches.items()}
    return list(tree.values()) if tree and all(name.startswith("[") for name in tree) else tree


def _format_value(value: Any) -> str:
    """Return a value as Hydra reads it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)

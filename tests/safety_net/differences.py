"""What differs between two folders of outputs, to the last bit."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import names
import numpy as np
import pandas as pd
import torch
import variants
import yaml
from sides import Side


def list_differences(output: str, one: Path, other: Path, translated: bool, side: Side) -> list[str]:
    """Return what differs between two folders: `one` is in old names if `translated`, else both are of one side."""
    if output == "export":
        return list(_compare_files(one / "to", other / "to", translated))
    if output == "config":
        first, second = (yaml.safe_load((folder / "out.txt").read_text()) for folder in (one, other))
        return list(_compare_values(_translate_printed(first) if translated else first, second))
    file = side.name_file("record.json")
    first_runs = _read_runs(one, "record.json" if translated else file, translated)
    pairs = _pair_runs(first_runs, _read_runs(other, file, False))
    return [difference for pair in pairs for difference in _compare_runs(*pair, translated, side)]


def _read_runs(folder: Path, file: str, translated: bool) -> list[tuple[dict[str, Any], Path]]:
    """Return every record, less what is not compared, with its folder."""
    paths = {path.parent.name: path for path in sorted((folder / "runs").rglob(file))}
    records = {name: json.loads(path.read_text()) for name, path in paths.items()}
    if translated:
        renamed = variants.translate_models(records)
        records = {name: names.translate_tree(record, names.RECORD) for name, record in renamed.items()}
    runs = []
    for name, path in paths.items():
        record = names.drop_paths(records[name], names.NOT_COMPARED)
        for run_name in names.RUN_NAMES:
            record = names.change_leaves(record, run_name, lambda text: text.rpartition("-")[0])
        runs.append((record, path.parent))
    return runs


def _translate_printed(config: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that an old command printed, under today's names."""
    model = variants.translate_model(config["model"])
    return names.translate_tree({**config, "model": model}, names.PRINTED)


def _pair_runs(ones: list[Any], others: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield runs of the same settings, then the rest in the order of names, with None for a missing run."""

    def format_settings(run: Any) -> str:
        return json.dumps([run[0].get(key) for key in ("model", "config")], sort_keys=True)

    remaining = {format_settings(run): run for run in others}
    unpaired = []
    for run in ones:
        if format_settings(run) in remaining:
            yield run, remaining.pop(format_settings(run))
        else:
            unpaired.append(run)
    rest = list(remaining.values())
    for number in range(max(len(unpaired), len(rest))):
        yield (unpaired[number] if number < len(unpaired) else None, rest[number] if number < len(rest) else None)


def _compare_runs(one: Any, other: Any, translated: bool, side: Side) -> Iterator[str]:
    if one is None or other is None:
        missing, run = ("first", other) if one is None else ("second", one)
        yield f"no such run on the {missing} side: {run[1].name}"
        return
    (record, folder), (other_record, other_folder) = one, other
    prefix = f"{other_folder.name}: "
    for difference in _compare_values(record, other_record):
        yield prefix + difference
    for file in ("ranks.npz", "model.pt"):
        path = folder / (file if translated else side.name_file(file))
        other_path = other_folder / side.name_file(file)
        if path.exists() != other_path.exists():
            yield f"{prefix}{file} exists: {path.exists()}, {other_path.exists()}"
        elif path.exists():
            compare = _compare_array_files if file == "ranks.npz" else _compare_parameters
            for difference in compare(path, other_path, translated):
                yield f"{prefix}{file}: {difference}"


def _compare_array_files(one: Path, other: Path, translated: bool) -> Iterator[str]:
    with np.load(one) as first, np.load(other) as second:
        ones, others = dict(first), dict(second)
    ones = {(names.translate_override(name) or name) if translated else name: array for name, array in ones.items()}
    if ones.keys() != others.keys():
        yield f"arrays {sorted(ones)}, {sorted(others)}"
    for name in ones.keys() & others.keys():
        yield from _compare_arrays(name, ones[name], others[name])


def _compare_parameters(one: Path, other: Path, translated: bool) -> Iterator[str]:
    """Yield differences between two models' tensors, in order, whatever their names."""
    key = names.translate_override("parameters") or "parameters"
    states = [torch.load(path, weights_only=True) for path in (one, other)]
    state = states[0]["parameters" if translated else key]
    ones, others = list(_list_tensors(state)), list(_list_tensors(states[1][key]))
    if len(ones) != len(others):
        yield f"{len(ones)} tensors, {len(others)}"
    for (name, first), (other_name, second) in zip(ones, others, strict=False):
        yield from _compare_arrays(f"{name} ({other_name})" if name != other_name else name, first, second)


def _list_tensors(state: Any, name: str = "") -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(state, torch.Tensor):
        yield name, state.numpy()
    else:
        for key, value in state.items():
            yield from _list_tensors(value, f"{name}/{key}" if name else str(key))


def _compare_arrays(name: str, one: np.ndarray, other: np.ndarray) -> Iterator[str]:
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        yield f"{name} is {one.dtype}{list(one.shape)}, {other.dtype}{list(other.shape)}"
    elif one.tobytes() != other.tobytes():
        differs = np.ascontiguousarray(one).view(np.uint8).reshape(one.size, -1)
        differs = (differs != np.ascontiguousarray(other).view(np.uint8).reshape(one.size, -1)).any(axis=1)
        first = int(differs.argmax())
        values = f"{one.flat[first]!r}, {other.flat[first]!r}"
        yield f"{name} differs in {differs.sum()} of {one.size} entries, first at {first}: {values}"


def _compare_files(one: Path, other: Path, translated: bool) -> Iterator[str]:
    """Yield differences between two folders of exported files."""
    ones = {path.relative_to(one): path for path in one.rglob("*") if path.is_file()}
    if translated:
        ones = {name.with_name(names.translate_file(name.name)): path for name, path in ones.items()}
    others = {path.relative_to(other): path for path in other.rglob("*") if path.is_file()}
    if ones.keys() != others.keys():
        yield f"files {sorted(map(str, ones))}, {sorted(map(str, others))}"
    for name in sorted(ones.keys() & others.keys()):
        if name.suffix == ".parquet":
            first, second = pd.read_parquet(ones[name]), pd.read_parquet(others[name])
            yield from _compare_tables(str(name), _translate_table(first) if translated else first, second)
        elif ones[name].read_bytes() != others[name].read_bytes():
            lines = zip(ones[name].read_text().splitlines(), others[name].read_text().splitlines(), strict=False)
            first_pair = next((pair for pair in lines if pair[0] != pair[1]), ("", "(other length)"))
            yield f"{name}: {first_pair[0][:80]!r}, {first_pair[1][:80]!r}"


def _translate_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table under today's names, of columns and of the texts in them."""
    for column in table.select_dtypes(exclude=["number", "bool"]):
        values = {value: next(iter(names.translate_tree({column: value}).values())) for value in table[column].unique()}
        table[column] = table[column].map(values)
    return table.rename(columns=lambda column: names.translate_override(column) or column)


def _compare_tables(name: str, one: pd.DataFrame, other: pd.DataFrame) -> Iterator[str]:
    if list(one.columns) != list(other.columns) or len(one) != len(other):
        yield f"{name}: {list(one.columns)} × {len(one)}, {list(other.columns)} × {len(other)}"
        return
    for column in one.columns:
        if not (same := one[column].to_numpy() == other[column].to_numpy()).all():
            row = int((~same).argmax())
            yield f"{name}: {column} of row {row}: {one[column][row]!r}, {other[column][row]!r}"


def _compare_values(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Yield every difference between two values of JSON: numbers to the last bit, and of the same type."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in (*one, *(key for key in other if key not in one)):
            pair = one.get(key, "(nothing)"), other.get(key, "(nothing)")
            yield from _compare_values(*pair, f"{path}.{key}".lstrip("."))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, pair in enumerate(zip(one, other, strict=True)):
            yield from _compare_values(*pair, f"{path}.{number}")
    elif path.startswith("deviations.") and one == "(nothing)":
        return  # a record lists more of them today
    elif type(one) is not type(other) or one != other:
        yield f"{path}: {one!r}, {other!r}"

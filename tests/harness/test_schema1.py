"""Read records of schema 1 in today's names."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdmr.harness import schema1
from sdmr.harness.records import compute_run_key, read_ranks, read_record

RESULTS = Path(schema1.__file__).parents[1] / "results"
RENAMED = (schema1.ARGUMENTS, schema1.PROTOCOL, schema1.HISTORY, schema1.RECORD)
OLD_KEYS = {old for names in RENAMED for old in names} - {"ties"}  # the record's own "ties" counts tied targets


def list_published(*patterns: str) -> list[Path]:
    return sorted(path for pattern in patterns for path in RESULTS.glob(pattern))


def walk(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key of nested JSON, with its value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield str(key), child
        yield from walk(child)


def test_every_published_record_is_read_in_todays_names() -> None:
    paths = list_published("**/record.json")
    assert len(paths) > 600
    for path in paths:
        old, record = json.loads(path.read_text(encoding="utf-8")), read_record(path)
        key = compute_run_key(old["config"], old["data"], old["source"])
        assert record["run"] == f"{old['model'].rpartition('.')[2]}-{key}", path
        keys = {key for key, _ in walk(record)}
        assert not keys & OLD_KEYS, path
        assert "ties" not in record["config"].get("protocol", {}), path
        assert "ties" not in record.get("deviations", {}), path
        targets = [value for key, value in walk(record) if key == "_target_"]
        assert targets[0] == record["model"], path
        assert all(target.startswith("sdmr.") for target in targets), path
        if "protocol" in record["config"]:
            assert record["config"]["protocol"]["select_on"] in ("validation", "test"), path


def test_a_translation_changes_names_alone() -> None:
    pairs = [
        (path, json.loads(path.read_text(encoding="utf-8"))) for path in list_published("records/table3/*/*-0/*.json")
    ]
    paths = list_published("records/table[34]/*/*/record.json")
    assert paths
    pairs = [(path, json.loads(path.read_text(encoding="utf-8"))) for path in paths]
    pairs = [(path, old) for path, old in pairs if "run" not in old]
    if not pairs:
        pytest.skip("no published record is of schema 1")
    for path, old in pairs:
        record = read_record(path)
        assert list(record.pop("config")) == list(old.pop("config")), path
        del record["run"]
        assert [list(entry.values()) for entry in record.pop("history", [])] == [
            list(entry.values()) for entry in old.pop("history", [])
        ], path
        assert list(record.values())[1:] == list(old.values())[1:], path


def test_a_record_of_schema_1_is_read_in_todays_names(tmp_path: Path) -> None:
    optimization = {"_target_": "harness.optimiser.Optimisation", "regularisation": 0.1, "halve_every": 20}
    config = {
        "model": {
            "_target_": "models.sdmr.SDMR",
            "variant": "paper",
            "sdp": {"_target_": "models.sdp.SDP", "initialisation": "he", "optimisation": optimization},
        },
        "dataset": {"_target_": "datasets.epinions.epinions", "least": 5, "iterated": False},
        "protocol": {"select_on": "dev", "ties": "expected", "dev_item": "random"},
        "seed": 0,
    }
    old = {
        "model": "models.sdmr.SDMR",
        "config": config,
        "data": "d",
        "source": "s",
        "dataset": "models.csv",
        "departures": {"ties": "argsort-target-last", "order": "file"},
        "development": {"hit@10": {}},
        "ties": {"tied_share": 0.5},
        "history": [{"epoch": 0}, {"epoch": 1, "development": 0.5, "development_hit": 0.6}],
    }
    (tmp_path / "record.json").write_text(json.dumps(old))
    record = read_record(tmp_path / "record.json")
    assert record == {
        "model": "sdmr.models.sdmr.SDMR",
        "config": {
            "model": {
                "_target_": "sdmr.models.sdmr.SDMR",
                "sdp": {
                    "_target_": "sdmr.models.sdp.SDP",
                    "dropout": 0.0,
                    "optimization": {
                        "_target_": "sdmr.harness.training.optimizer.OptimizationConfig",
                        "regularization": 0.1,
                        "halve_learning_rate_every": 20,
                    },
                },
            },
            "dataset": {"_target_": "sdmr.datasets.epinions.load_epinions", "min_count": 5, "iterative": False},
            "protocol": {"select_on": "validation", "tie_policy": "expected", "validation_item": "random"},
            "seed": 0,
        },
        "data": "d",
        "source": "s",
        "dataset": "models.csv",
        "deviations": {"tie_policy": "argsort-target-last", "order": "file"},
        "validation": {"hit@10": {}},
        "ties": {"tied_share": 0.5},
        "history": [{"epoch": 0}, {"epoch": 1, "validation": 0.5, "validation_hit": 0.6}],
        "run": f"SDMR-{compute_run_key(config, 'd', 's')}",
    }


@pytest.mark.parametrize(
    ("old", "released"),
    [
        ({"_target_": "models.sdm.SDM", "variant": "paper", "dropout": 0.2, "padding": "excluded"}, {}),
        ({"_target_": "models.sdm.SDM", "variant": "paper", "padding": "scaled"}, {"padding": "scaled"}),
        ({"_target_": "models.sdp.SDP", "variant": "released", "distance": "absolute"}, {"distance": "absolute"}),
    ],
)
def test_a_released_choice_names_the_released_class(
    old: dict[str, Any], released: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "record.json").write_text(json.dumps({"model": old["_target_"], "config": {"model": old}}))
    record = read_record(tmp_path / "record.json")
    model = record["config"]["model"]
    assert record["model"] == model["_target_"]
    assert model["_target_"].startswith("sdmr.models.released.Released" if released else "sdmr.models.sdm.SDM")
    assert "variant" not in model
    assert {name: model[name] for name in released} == released
    assert model["dropout"] == old.get("dropout", 0.0)


def test_arguments_of_a_users_class_keep_their_names(tmp_path: Path) -> None:
    config = {"model": {"_target_": "my_models.Net", "short": 2, "mixed": True}}
    old = {"model": "my_models.Net", "config": config, "data": "d", "source": "s"}
    (tmp_path / "record.json").write_text(json.dumps(old))
    assert read_record(tmp_path / "record.json")["config"] == config


def test_a_record_of_today_is_read_unchanged(tmp_path: Path) -> None:
    new = {"run": "Net-1", "model": "my.models.Net", "config": {"model": {"_target_": "my.models.Net"}}}
    (tmp_path / "record.json").write_text(json.dumps(new))
    assert read_record(tmp_path / "record.json") == new


@pytest.mark.parametrize("name", ["place", "sort_position"])
def test_ranks_of_either_schema_have_their_sort_position(name: str, tmp_path: Path) -> None:
    arrays = {"users": np.arange(3), "above": np.arange(3), "tied": np.zeros(3, int), name: np.arange(3) + 1}
    np.savez(tmp_path / "ranks.npz", **arrays)  # type: ignore[arg-type]
    users, ranks = read_ranks(tmp_path / "ranks.npz")
    assert users.tolist() == ranks.above.tolist() == [0, 1, 2]
    assert ranks.sort_position is not None
    assert ranks.sort_position.tolist() == [1, 2, 3]


def test_all_published_ranks_are_read() -> None:
    paths = list_published("records/**/ranks.npz")
    assert len(paths) > 100
    for path in paths:
        users, ranks = read_ranks(path)
        assert len(users) == len(ranks.above) == len(ranks.tied) > 0, path


@pytest.mark.parametrize("schema", [1, 2])
@pytest.mark.parametrize("old", ["dense", "rowwise"])
def test_a_record_of_an_older_adam_is_read_as_adam(old: str, schema: int, tmp_path: Path) -> None:
    target = "harness.optimiser.Optimisation" if schema == 1 else "sdmr.harness.training.optimizer.OptimizationConfig"
    options = "optimisation" if schema == 1 else "optimization"
    model = {"_target_": "own.Model", "optimizer": old, options: {"_target_": target, "optimizer": old}}
    record = {"config": {"model": model}} | ({"run": "Model-1"} if schema == 2 else {"model": "own.Model"})
    (tmp_path / "record.json").write_text(json.dumps(record))
    model = read_record(tmp_path / "record.json")["config"]["model"]
    assert model["optimizer"] == old  # an argument of the user's class
    assert next(value for value in model.values() if isinstance(value, dict))["optimizer"] == "adam"

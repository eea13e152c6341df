"""Rows of the table of names do what they say, whatever rows it holds today."""

import names
import pytest
from names import Added, Dropped, File, Key, Omitted, Text, Value

RECORD = {
    "model": "models.sdmr.SDMR",
    "config": {
        "model": {"_target_": "models.sdmr.SDMR", "sdm": {"optimisation": {"regularisation": 0.1, "negatives": "all"}}},
        "protocol": {"select_on": "dev", "candidates": 100},
    },
    "departures": {},
    "history": [{"epoch": 0}, {"epoch": 1, "development": 0.5}],
}


def test_an_empty_table_changes_nothing() -> None:
    assert names.translate_tree(RECORD, ()) == RECORD
    assert names.translate_override("+model.dim=8", ()) == "+model.dim=8"
    assert names.translate_file("model.pt", ()) == "model.pt"


def test_a_key_is_renamed_within_parts_and_lists() -> None:
    new = names.translate_tree(
        RECORD, [Key("optimisation.regularisation", "training.weight"), Key("history.*.epoch", "curve.*.n")]
    )
    assert new["config"]["model"]["sdm"] == {"training": {"weight": 0.1}, "optimisation": {"negatives": "all"}}
    assert new["curve"] == [{"n": 0}, {"n": 1}]
    assert new["history"] == [{"development": 0.5}]


def test_a_key_in_the_middle_moves_what_is_below() -> None:
    new = names.translate_tree(RECORD, [Key("optimisation", "training"), Key("training.negatives", "training.which")])
    assert new["config"]["model"]["sdm"] == {"training": {"regularisation": 0.1, "which": "all"}}
    assert names.translate_override("model.sdm.optimisation.epochs=2", [Key("optimisation", "training")]) == (
        "model.sdm.training.epochs=2"
    )


def test_a_leading_dot_ties_a_path_to_the_top() -> None:
    assert names.translate_tree({"a": {"seed": 1}, "seed": 2}, [Key(".seed", "s")]) == {"a": {"seed": 1}, "s": 2}
    assert names.translate_override("model.seed=1", [Key(".seed", "s")]) == "model.seed=1"


def test_a_value_is_renamed_at_its_path_only() -> None:
    table = [Value("select_on", "dev", "validation")]
    assert names.translate_tree({"select_on": "dev", "other": "dev"}, table) == {
        "select_on": "validation",
        "other": "dev",
    }
    assert names.translate_override("protocol.select_on=dev", table) == "protocol.select_on=validation"
    assert names.translate_override("protocol.select_on=test", table) == "protocol.select_on=test"


@pytest.mark.parametrize(("new", "text"), [(None, "null"), (True, "true"), (0.5, "0.5")])
def test_a_value_of_another_type_is_written_as_hydra_reads_it(new: object, text: str) -> None:
    assert names.translate_override("n=0", [Value("n", 0, new)]) == f"n={text}"


def test_a_value_that_is_equal_but_of_another_type_stays() -> None:
    assert names.translate_tree({"n": False}, [Value("n", 0, None)]) == {"n": False}


def test_texts_change_their_beginning() -> None:
    table = [Text("models.", "sdmr.models.")]
    new = names.translate_tree(RECORD, table)
    assert new["model"] == new["config"]["model"]["_target_"] == "sdmr.models.sdmr.SDMR"
    assert names.translate_override("model._target_=models.sdm.SDM", table) == "model._target_=sdmr.models.sdm.SDM"


def test_keys_are_dropped_and_added() -> None:
    new = names.translate_tree(
        RECORD, [Dropped("regularisation"), Added("optimisation.clip", 0.0), Added("protocol.all", True)]
    )
    assert new["config"]["model"]["sdm"] == {"optimisation": {"negatives": "all", "clip": 0.0}}
    assert new["config"]["protocol"] == {"select_on": "dev", "candidates": 100, "all": True}
    assert names.translate_overrides(["model.regularisation=1", "seed=1"], [Dropped("regularisation")]) == ["seed=1"]


def test_a_key_is_omitted_where_its_value_is_none() -> None:
    table = [Omitted(".environment.gpu")]
    assert names.translate_tree({"environment": {"gpu": None, "threads": None}}, table) == {
        "environment": {"threads": None}
    }
    assert names.translate_tree({"environment": {"gpu": "H100"}}, table) == {"environment": {"gpu": "H100"}}


def test_rows_use_the_names_that_earlier_rows_have_made() -> None:
    assert names.translate_tree({"a": 1}, [Key("a", "b"), Key("b", "c"), Value("c", 1, 2)]) == {"c": 2}
    assert names.translate_file("a", [File("a", "b"), File("b", "c")]) == "c"


def test_paths_are_dropped_and_the_rest_stays() -> None:
    assert names.drop_paths(RECORD, ["history.*.development", ".departures"])["history"] == [{"epoch": 0}, {"epoch": 1}]
    assert names.change_leaves({"parts": {"sdp": "SDP-1"}}, ".parts.*", lambda name: name.split("-")[0]) == {
        "parts": {"sdp": "SDP"}
    }

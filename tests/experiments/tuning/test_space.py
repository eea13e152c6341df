"""The spaces of the models: which settings vary, with which values."""

import re
from pathlib import Path
from typing import Any

import pytest

from sdmr.experiments.core.arguments import flatten
from sdmr.experiments.core.config import compose_config
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.grammar import quote_text
from sdmr.experiments.core.paths import CHECKOUT, SPACES
from sdmr.experiments.core.registry import MODELS
from sdmr.experiments.core.run import compose_run
from sdmr.experiments.core.tuned import write_tuned
from sdmr.experiments.tuning.space import Space, find_edges, format_overrides, nest, parse_override, read_budget
from tests.experiments.tuning.helpers import make_search

TABLE = CHECKOUT / "docs" / "tuning.md"
NAMES = sorted(path.stem for path in SPACES.glob("*.yaml"))


def list_axes(name: str) -> dict[str, list[Any]]:
    return Space.load(name).axes


def test_every_model_and_every_part_has_a_space() -> None:
    assert set(MODELS) <= set(NAMES)
    assert {part for name in NAMES for part in Space.load(name).parts.values()} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_space_names_settings_of_the_model_and_values_of_their_type(name: str) -> None:
    """A value of another type, 1 for 1.0 say, would be another run than the default one."""
    space = Space.load(name)
    config = compose_config([f"model={space.model or name}", *format_overrides(space.fixed)]).settings
    assert all("_target_" in config["model"][part] for part in space.parts)
    axes, defaults = list_axes(name), flatten(config)
    assert {*space.basket_values, *space.beyond_paper, *space.readings} <= set(axes)
    for axis, values in [*axes.items(), *space.basket_values.items()]:
        assert {type(value) for value in values if value != "all"} <= {type(defaults[axis])}
        assert len(set(values)) == len(values)
        assert defaults[axis] in axes[axis]


def test_the_papers_values_are_in_the_spaces() -> None:
    for name in ("mf-bpr", "cml", "gmf", "mlp", "prme", "prme-s", "transrec", "caser", "sdp", "sdm", "gmf-bpr"):
        axes = list_axes(name)
        assert axes["model.dim"] == [8, 16, 32, 64, 128]
        assert axes["model.optimization.regularization"] == [0.1, 0.01, 0.001, 0.0001, 0.00001]
    for name in ("sdm", "cmn"):
        assert list_axes(name)["model.hops"] == [1, 2, 3, 4]
    assert list_axes("mlp")["model.layers"] == [1, 2, 3]


def test_a_grid_has_the_axes_of_the_paper_alone() -> None:
    axes = make_search("sdm", "search=grid").row.axes
    assert {axis.rpartition(".")[2] for axis in axes} == {"regularization", "hops", "context_length", "dim"}


def test_a_row_inside_the_papers_grid_has_the_axes_of_its_model_that_do_not_leave_it() -> None:
    sdm, row = Space.load("sdm"), Space.load("sdm-grid")
    assert set(sdm.axes) - set(row.axes) == set(sdm.beyond_paper) == {"model.dropout"}
    assert Space.load("sdmr-grid").parts == {"sdp": "sdp-grid", "sdm": "sdm-grid"}
    with pytest.raises(UsageError, match="model=cml-grid: there is no search space"):
        Space.load("cml-grid")


def test_every_data_set_of_the_paper_has_a_budget_and_others_the_default_one() -> None:
    datasets = ("ml-100k", "ta-feng", "ml-1m", "epinions", "epinions-id-order", "csv")
    assert list(map(read_budget, datasets)) == [30, 40, 90, 30, 30, 30]
    assert make_search("sdm").budget == 30


def test_parts_inside_the_papers_grid_are_its_best_ones_or_else_the_tuned_ones(
    spaces: Path, small: tuple[str, ...]
) -> None:
    write_tuned("csv", "sdp", {"model": {"dim": 2}}, {})
    write_tuned("csv", "sdm", {"model": {"dropout": 0.2}}, {"beyond_paper": ["model.dropout"]})
    tuned = make_search("sdmr", *small)
    assert tuned.row.parts.beyond_paper == ["model.sdm.dropout"]
    assert tuned.row.default.config["model"]["sdm"]["dropout"] == 0.2
    missing = make_search("sdmr-grid", *small)
    assert "leave the paper's grid; tune model=sdm-grid" in missing.row.parts.notes["sdm"]
    write_tuned("csv", "sdm-grid", {"model": {"hops": 1}}, {})
    parts = make_search("sdmr-grid", *small).row.default.config["model"]
    assert (parts["sdp"]["dim"], parts["sdm"]["hops"], parts["sdm"]["dropout"]) == (2, 1, 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_the_documentation_lists_every_space_with_its_settings(name: str) -> None:
    rows = [line.split(" | ") for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    table = {row[0].strip("| `"): row[1] for row in rows if len(row) == 3}
    listed = re.sub(r"as `([a-z]+)`", lambda match: table[match[1]], table[name])
    names = {"d": "dim", "λ": "regularization"}
    settings = (word.strip("`") for word in re.findall(r"`[a-z_\d]+`|\bd\b|λ", listed))
    assert {axis.rpartition(".")[2] for axis in list_axes(name)} == {names.get(one, one) for one in settings}


def test_a_model_without_a_space_is_an_error_that_names_those_with_one() -> None:
    with pytest.raises(UsageError, match=r"model=svd: there is no search space .*svd\.yaml; there are .*caser, cml, "):
        Space.load("svd")


def test_space_of_a_users_class_is_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"no search space space/mine\.Net\.yaml; there are none in this folder"):
        Space.load("mine.Net")
    Path("space").mkdir()
    Path("space/mine.Net.yaml").write_text("axes:\n  model.dim: [2, 4]\n")
    assert Space.load("mine.Net").axes == {"model.dim": [2, 4]}


def test_an_unknown_key_of_a_space_is_an_error_that_names_the_file(spaces: Path) -> None:
    (spaces / "sdp.yaml").write_text("axes: {}\nsteps: []")
    with pytest.raises(UsageError, match=r"sdp\.yaml: steps="):
        Space.load("sdp")


@pytest.mark.parametrize("text", ["model.dim=2", "model.squared=true", "model.l2=1e-05", "context_length=null"])
def test_a_setting_is_read_as_it_is_written(text: str) -> None:
    assert format_overrides(dict([parse_override(text)])) == [text]
    key, value = parse_override(f"++{text}")
    assert flatten(nest({key: value})) == {key: value}


@pytest.mark.parametrize("text", ["a,b", 'a"b,', "a,\\", 'a\\"b,', "a'\\\\"])
def test_text_in_quotes_is_read_as_it_is_written(text: str) -> None:
    assert parse_override(f"model.name={quote_text(text)}") == ("model.name", text)


def test_with_baskets_an_axis_has_other_values_or_does_not_exist(small: tuple[str, ...]) -> None:
    def list_lengths(name: str, order: str = "dataset.time=time") -> list[Any] | None:
        return make_search(name, *small[:2], order, *small[3:]).row.axes.get("model.context_length")

    assert list_lengths("caser") == list_lengths("sdm") == [5, 10, 20]
    assert list_lengths("caser", "dataset.basket=basket") == [5, 10, 18]
    assert list_lengths("sdm", "dataset.basket=basket") is None


def test_an_edge_is_a_first_or_last_number_with_something_beyond() -> None:
    axes = {
        "model.dim": [8, 16, 32],
        "model.hops": [1, 2, 3],
        "model.dropout": [0.0, 0.2],
        "model.neighbors": [10, 20, "all"],
        "model.squared": [False, True],
        "model.optimizer": ["adam", "sgd"],
        "model.alpha": [0.5],
    }
    first = {axis: values[0] for axis, values in axes.items()}
    last = {axis: values[-1] for axis, values in axes.items()}
    assert find_edges(axes, first) == ["model.dim", "model.neighbors"]
    assert find_edges(axes, last) == ["model.dim", "model.hops", "model.dropout"]
    assert find_edges(axes, {axis: values[len(values) // 2] for axis, values in axes.items()}) == ["model.dropout"]


def test_tuned_settings_of_a_part_stay_with_the_part(spaces: Path, small: tuple[str, ...]) -> None:
    write_tuned("csv", "sdp", {"model": {"dim": 2}, "epochs": 7}, {})
    write_tuned("csv", "sdm", {"model": {"hops": 1}, "context_length": 3, "patience": 4}, {})
    (spaces / "sdmr.yaml").write_text("parts: {sdp: sdp, sdm: sdm}\naxes: {}")
    model = make_search("sdmr", *small).row.default.config["model"]
    sdp, sdm = model["sdp"], model["sdm"]
    assert [one["optimization"]["epochs"] for one in (model, sdp, sdm)] == [1, 7, 1]
    assert (sdp["dim"], sdm["hops"], sdm["context_length"], sdm["optimization"]["patience"]) == (2, 1, 3, 4)


def test_parts_without_tuned_settings_have_default_ones_and_a_note(spaces: Path, small: tuple[str, ...]) -> None:
    (spaces / "sdmr.yaml").write_text("parts: {sdp: sdp, sdm: sdm}\naxes: {}")
    write_tuned("csv", "sdm", {"model": {"hops": 1}}, {"dataset": {"path": "/elsewhere.csv"}})
    search = make_search("sdmr", *small)
    assert not search.row.fixed
    assert search.row.parts.notes["sdp"].startswith("sdp has default settings: sdp on csv has no tuned settings; ")
    assert search.row.parts.notes["sdm"].startswith("sdm has default settings: sdm was tuned on other data: ")


@pytest.mark.parametrize("name", ["mf-bpr", "sdm", "cmn", "item-knn"])
def test_the_run_of_a_trial_is_that_of_its_command_line(name: str, small: tuple[str, ...]) -> None:
    search = make_search(name, *small)
    settings = {axis: values[-1] for axis, values in search.row.axes.items()}
    run = compose_run(search.row.list_overrides(settings), Path("runs"))
    assert search.row.make_run(settings) == run
    assert search.study.read_settings(run) == settings


def test_a_setting_that_the_model_lacks_is_reported_before_the_first_run(spaces: Path, small: tuple[str, ...]) -> None:
    (spaces / "mf-bpr.yaml").write_text("axes: {model.hops: [1]}")
    with pytest.raises(UsageError, match="has no argument 'hops'"):
        make_search("mf-bpr", *small)

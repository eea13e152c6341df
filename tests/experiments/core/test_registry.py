"""Models by name, and classes by their dotted path."""

import pytest

from sdmr.experiments.core.arguments import import_class
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.registry import (
    GRID_ROWS,
    MODELS,
    OTHER_ROWS,
    PAPER_ROWS,
    can_read,
    expand_models,
    get_model,
    insert_grid_rows,
)


def test_models_are_in_the_order_of_table_3_then_those_that_are_not_in_the_paper() -> None:
    paper = list(PAPER_ROWS)
    assert (len(paper), paper[0], paper[-3:]) == (14, "popularity", ["sdp", "sdm", "sdmr"])
    assert list(MODELS) == [*paper, *OTHER_ROWS]


def test_paper_stands_for_the_papers_rows() -> None:
    assert expand_models(None) == list(MODELS)
    assert expand_models(["mine.Net", "paper", "sdm", "ease"]) == ["mine.Net", *PAPER_ROWS, "ease"]


def test_rows_inside_the_papers_grid_follow_their_models() -> None:
    assert insert_grid_rows(["cml", "sdm", "mine.Net"]) == ["cml", "sdm", "sdm-grid", "mine.Net"]
    assert get_model("sdm-grid").target == get_model("sdm").target
    assert not set(GRID_ROWS) & set(MODELS)


def test_models_of_sequences_read_no_baskets() -> None:
    cannot_read = {
        (model, dataset) for model in MODELS for dataset in ("ml-100k", "ta-feng") if not can_read(model, dataset)
    }
    assert cannot_read == {(model, "ta-feng") for model in ("gru4rec", "sasrec", "bert4rec")}
    for model in MODELS:
        assert get_model(model).reads_baskets == getattr(import_class(get_model(model).target), "reads_baskets", True)


def test_model_is_found_by_name_and_a_class_by_its_path() -> None:
    assert get_model("sdm").target == "sdmr.models.sdm.SDM"
    assert (get_model("mine.Net").name, get_model("mine.Net").target) == ("mine.Net", "mine.Net")


def test_class_of_the_suite_without_its_package_is_answered_with_the_full_name() -> None:
    with pytest.raises(UsageError, match=r"models\.sdm\.SDM: .*the class of this suite is sdmr\.models\.sdm\.SDM$"):
        import_class("models.sdm.SDM")


@pytest.mark.parametrize("target", ["no_such_module.Model", "models.my.Net", "sdmr.models.sdm.SDN", "SDM"])
def test_class_that_cannot_be_imported_is_named(target: str) -> None:
    with pytest.raises(UsageError, match=rf"^model={target}: (no such class|there is none)"):
        import_class(target)

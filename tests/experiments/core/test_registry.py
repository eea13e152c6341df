"""Models by name, and classes by their dotted path."""

import pytest

from sdmr.experiments.core.arguments import import_class
from sdmr.experiments.core.options import UsageError
from sdmr.experiments.core.registry import MODELS, get_model


def test_models_are_in_the_order_of_table_3() -> None:
    assert (len(MODELS), next(iter(MODELS)), list(MODELS)[-3:]) == (14, "popularity", ["sdp", "sdm", "sdmr"])


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

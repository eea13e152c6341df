"""Name what deviates from the default protocol, and derive what a run needs of it."""

from typing import Any

import pytest

from sdmr.harness.protocol import SPLIT_OPTIONS, Protocol

OTHERS: dict[str, list[Any]] = {
    "select_on": ["test"],
    "tie_policy": ["optimistic", "pessimistic", "argsort-target-last"],
    "candidates": [99, 1000, "all", "popularity:100", "popularity:7"],
    "test_item": ["random", "global-time"],
    "validation_item": ["next-to-last"],
    "equal_times": ["item-id"],
    "test_cut": [0.5, "1998-03-01"],
    "validation_cut": [0.5, "1998-03-01"],
    "retrain": [True],
    "test_context": ["with-validation"],
}
CANDIDATE_OPTIONS: dict[Any, dict[str, Any]] = {
    99: {"n_candidates": 99},
    1000: {"n_candidates": 1000},
    "popularity:100": {"candidate_sampling": "popularity"},
    "popularity:7": {"candidate_sampling": "popularity", "n_candidates": 7},
}
every_deviation = pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in OTHERS.items() for v in values])


def test_the_defaults_hold_the_test_items_back() -> None:
    protocol = Protocol()
    assert protocol.deviations == protocol.split_options == {}
    assert (protocol.select_on, protocol.tie_policy, protocol.candidates) == ("validation", "expected", 100)
    assert (protocol.test_item, protocol.validation_item, protocol.equal_times) == ("last", "random", "file")
    assert (protocol.test_cut, protocol.validation_cut) == (0.9, 0.8)
    assert (protocol.retrain, protocol.test_context) == (False, "training")
    assert protocol.training_protocol == protocol
    assert set(OTHERS) == set(protocol.ranking_key)


@every_deviation
def test_a_deviation_is_named(name: str, value: Any) -> None:
    protocol = Protocol(**{name: value})
    assert protocol.deviations == {name: value}
    is_split = name in SPLIT_OPTIONS
    assert protocol.split_options == ({name: value} if is_split else CANDIDATE_OPTIONS.get(value, {}))
    only_ranks = value in ("all", "optimistic", "pessimistic", "argsort-target-last", "with-validation")
    assert protocol.training_protocol == (Protocol() if only_ranks else protocol)
    shares_counts = value in ("optimistic", "pessimistic")
    assert (protocol.ranking_key == Protocol().ranking_key) == shares_counts


def test_retraining_with_epochs_of_the_test_items_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"protocol\.retrain=true needs epochs chosen on validation"):
        Protocol(retrain=True, select_on="test")


def test_contexts_of_test_items_that_select_the_epoch_are_those_of_training() -> None:
    protocol = Protocol(select_on="test", test_context="with-validation", candidates="all")
    assert protocol.training_protocol == Protocol(select_on="test", test_context="with-validation")


@pytest.mark.parametrize("name", [name for name in OTHERS if "cut" not in name and name != "retrain"])
def test_an_unknown_choice_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^protocol\.{name} must be .* or .*, not 'first'"):
        Protocol(**{name: "first"})  # type: ignore[arg-type]


@pytest.mark.parametrize("candidates", [99.0, True, "99", 0, -1, "popularity", "popularity:0", "popularity:1.5", None])
def test_candidates_that_are_neither_a_number_nor_named_are_an_error(candidates: Any) -> None:
    with pytest.raises(
        ValueError, match=r"protocol\.candidates must be a number from 1, 'all' or 'popularity:NUMBER', "
    ):
        Protocol(candidates=candidates)

"""Name what deviates from the default protocol, and derive what a run needs of it."""

from typing import Any

import pytest

from sdmr.harness.protocol import Protocol

OTHERS: dict[str, list[Any]] = {
    "select_on": ["test"],
    "tie_policy": ["optimistic", "pessimistic", "argsort-target-last"],
    "candidates": [99, "all"],
    "test_item": ["random"],
    "validation_item": ["next-to-last"],
    "equal_times": ["item-id"],
    "test_context": ["with-validation"],
}
every_deviation = pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in OTHERS.items() for v in values])


def test_the_defaults_hold_the_test_items_back() -> None:
    protocol = Protocol()
    assert protocol.deviations == protocol.split_options == {}
    assert (protocol.select_on, protocol.tie_policy, protocol.candidates) == ("validation", "expected", 100)
    assert (protocol.test_item, protocol.validation_item, protocol.equal_times) == ("last", "random", "file")
    assert protocol.training_protocol == protocol
    assert set(OTHERS) == set(protocol.ranking_key)


@every_deviation
def test_a_deviation_is_named(name: str, value: Any) -> None:
    protocol = Protocol(**{name: value})
    assert protocol.deviations == {name: value}
    is_split = name in ("test_item", "validation_item", "equal_times", "test_context")
    expected = {name: value} if is_split else {"n_candidates": 99} if value == 99 else {}
    assert protocol.split_options == expected
    only_ranks = value in ("all", "optimistic", "pessimistic", "argsort-target-last", "with-validation")
    assert protocol.training_protocol == (Protocol() if only_ranks else protocol)
    shares_counts = value in ("optimistic", "pessimistic")
    assert (protocol.ranking_key == Protocol().ranking_key) == shares_counts


def test_contexts_of_test_items_that_select_the_epoch_are_those_of_training() -> None:
    protocol = Protocol(select_on="test", test_context="with-validation", candidates="all")
    assert protocol.training_protocol == Protocol(select_on="test", test_context="with-validation")


@pytest.mark.parametrize("name", OTHERS)
def test_an_unknown_choice_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^protocol\.{name} must be .* or .*, not 'first'"):
        Protocol(**{name: "first"})  # type: ignore[arg-type]


@pytest.mark.parametrize("candidates", [99.0, True, "99"])
def test_a_number_of_candidates_of_another_type_is_an_error(candidates: Any) -> None:
    with pytest.raises(ValueError, match=r"protocol\.candidates must be 100 or 99 or 'all', not "):
        Protocol(candidates=candidates)

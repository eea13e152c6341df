from __future__ import annotations

from typing import Any

import pytest

from sdmr.harness.protocol import Protocol

OTHERS: dict[str, list[Any]] = {
    "select_on": ["test"],
    "ties": ["optimistic", "pessimistic", "argsort-target-last"],
    "candidates": [99, "all"],
    "test_item": ["random"],
    "dev_item": ["next-to-last"],
    "last_tie": ["item-id"],
}
every_departure = pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in OTHERS.items() for v in values])


def test_the_defaults_are_the_honest_ones() -> None:
    protocol = Protocol()
    assert protocol.departures == protocol.split == {}
    assert (protocol.select_on, protocol.ties, protocol.candidates) == ("dev", "expected", 100)
    assert (protocol.test_item, protocol.dev_item, protocol.last_tie) == ("last", "random", "file")
    assert protocol.of_training == protocol
    assert set(OTHERS) == set(protocol.of_ranks)


@every_departure
def test_a_departure_is_named(name: str, value: Any) -> None:
    protocol = Protocol(**{name: value})
    assert protocol.departures == {name: value}
    is_split = name in ("test_item", "dev_item", "last_tie")
    expected = {name: value} if is_split else {"n_candidates": 99} if value == 99 else {}
    assert protocol.split == expected
    only_ranks = value in ("all", "optimistic", "pessimistic", "argsort-target-last")
    assert protocol.of_training == (Protocol() if only_ranks else protocol)
    is_only_read = value in ("optimistic", "pessimistic")
    assert (protocol.of_ranks == Protocol().of_ranks) == is_only_read


@pytest.mark.parametrize("name", OTHERS)
def test_an_unknown_choice_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=rf"protocol\.{name} must be one of .*, not 'first'"):
        Protocol(**{name: "first"})  # type: ignore[arg-type]

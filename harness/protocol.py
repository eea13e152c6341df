"""The protocol: how models are ranked, and their epochs chosen. Its defaults are the honest ones."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args, get_type_hints

from sdmr.harness.ranking import Ties


@dataclass(frozen=True)
class Protocol:
    """One choice each. Whatever differs from the default is named in the record and in the caption of a table."""

    # On which items the epoch is chosen. test: on those that are then reported, as the authors did (on as many of them
    # as `development_instances` says).
    select_on: Literal["dev", "test"] = "dev"
    # How the tables read a tie. argsort-target-last: the place that NumPy's default sort gives the target when it comes
    # last, as in the authors' evaluator; it depends on NumPy's version and the processor, and repeats on those only.
    ties: Ties = "expected"
    # Unseen items that a test target is ranked among. all: every one; development keeps its 100.
    candidates: Literal[100, 99, "all"] = 100
    # Which item of a user (or a basket) is the test item, which one of the rest the development item, and what decides
    # the order of interactions at the same time: see `sdmr.datasets.split.split`.
    test_item: Literal["last", "random"] = "last"
    dev_item: Literal["random", "next-to-last"] = "random"
    last_tie: Literal["file", "item-id"] = "file"

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            known = [value for choice in (get_args(kind) or (kind,)) for value in (get_args(choice) or (choice,))]
            if getattr(self, name) not in known:
                raise ValueError(f"protocol.{name} must be one of {known}, not {getattr(self, name)!r}")

    @property
    def departures(self) -> dict[str, Any]:
        """What differs from the defaults."""
        own = ((field, getattr(self, field.name)) for field in fields(self))
        return {field.name: value for field, value in own if value != field.default}

    @property
    def split(self) -> dict[str, Any]:
        """The arguments of `sdmr.datasets.split.split` that differ from its defaults."""
        chosen = {name: self.departures.get(name) for name in ("test_item", "dev_item", "last_tie")}
        chosen["n_candidates"] = 99 if self.candidates == 99 else None
        return {name: value for name, value in chosen.items() if value is not None}

    @property
    def in_sort(self) -> bool:
        """Whether the target's place in a sort is to be kept beside the counts."""
        return self.ties == "argsort-target-last"

    @property
    def of_training(self) -> Protocol:
        """The protocol under which the model is trained that this one only ranks in another way."""
        return replace(self, ties="expected", candidates=100 if self.candidates == "all" else self.candidates)

    @property
    def of_ranks(self) -> dict[str, Any]:
        """All that changes a run: three of the readings of ties are had from the same counts."""
        return asdict(self if self.in_sort else replace(self, ties="expected"))

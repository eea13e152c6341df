"""Choose how models are ranked and how their epochs are selected."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args, get_type_hints

from sdmr.harness.metrics import TiePolicy


@dataclass(frozen=True)
class Protocol:
    """Hold one choice each; records and captions name every deviation from the defaults."""

    # The items that choose the epoch. test: those that are then reported, as the authors did (as many of them as
    # `validation_instances` says).
    select_on: Literal["validation", "test"] = "validation"
    # How the tables count a tie. argsort-target-last: the position that NumPy's default sort gives the target when it
    # comes last, as in the authors' evaluator. It depends on NumPy's version and the processor.
    tie_policy: TiePolicy = "expected"
    # Unseen items that a test target is ranked among. all: every one; validation keeps its 100.
    candidates: Literal[100, 99, "all"] = 100
    # Which item of a user (or a basket) is the test item, which one of the rest the validation item, and what decides
    # the order of interactions at the same time: see `sdmr.datasets.split.split`.
    test_item: Literal["last", "random"] = "last"
    validation_item: Literal["random", "next-to-last"] = "random"
    equal_times: Literal["file", "item-id"] = "file"

    def __post_init__(self) -> None:
        for name, annotation in get_type_hints(type(self)).items():
            choices = get_args(annotation) or (annotation,)
            allowed = [value for choice in choices for value in (get_args(choice) or (choice,))]
            if getattr(self, name) not in allowed:
                raise ValueError(f"protocol.{name} must be one of {allowed}, not {getattr(self, name)!r}")

    @property
    def deviations(self) -> dict[str, Any]:
        """Return the choices that differ from the defaults."""
        values = ((field, getattr(self, field.name)) for field in fields(self))
        return {field.name: value for field, value in values if value != field.default}

    @property
    def split_options(self) -> dict[str, Any]:
        """Return the arguments of `sdmr.datasets.split.split` that differ from its defaults."""
        options = {name: self.deviations.get(name) for name in ("test_item", "validation_item", "equal_times")}
        options["n_candidates"] = 99 if self.candidates == 99 else None
        return {name: value for name, value in options.items() if value is not None}

    @property
    def keeps_sort_position(self) -> bool:
        """Tell whether ranks must keep the target's position in a sort."""
        return self.tie_policy == "argsort-target-last"

    @property
    def training_protocol(self) -> Protocol:
        """Return the protocol of the run that trains the model this one only ranks differently."""
        candidates = 100 if self.candidates == "all" else self.candidates
        return replace(self, tie_policy="expected", candidates=candidates)

    @property
    def ranking_key(self) -> dict[str, Any]:
        """Return the choices that change a run; three tie policies share the same counts."""
        return asdict(self if self.keeps_sort_position else replace(self, tie_policy="expected"))

"""Choose how models are ranked and how their epochs are selected."""

import re
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from sdmr.datasets.bounds import check_values
from sdmr.datasets.split import DEFAULT_CANDIDATES
from sdmr.datasets.time_split import TEST_CUT, VALIDATION_CUT
from sdmr.datasets.times import Cut
from sdmr.harness.metrics import TiePolicy

SPLIT_OPTIONS = ("test_item", "validation_item", "equal_times", "test_cut", "validation_cut", "retrain", "test_context")


def _describe(default: Any, description: str) -> Any:
    """Return a field with a default, and what it means."""
    return field(default=default, metadata={"description": description})


@dataclass(frozen=True)
class Protocol:
    """One choice each; records and captions name every deviation from the defaults."""

    # On the test items as the authors did; as many of them as `validation_instances` says.
    select_on: Literal["validation", "test"] = _describe("validation", "the held-out items that choose the epoch")
    # `argsort-target-last` is the position that NumPy's default sort gives the target when it comes last, as in the
    # authors' evaluator. It depends on NumPy's version and the processor.
    tie_policy: TiePolicy = _describe(  # noqa: RUF009
        "expected", "how the tables count candidates that tie with the target"
    )
    candidates: int | str = _describe(DEFAULT_CANDIDATES, "unseen items beside a test target (N, popularity:N, all)")
    # These are arguments of `sdmr.datasets.split.split`.
    test_item: Literal["last", "random", "global-time"] = _describe(
        "last", "the item of a user, or of a basket, that is the test item; global-time: the first one after test_cut"
    )
    validation_item: Literal["random", "next-to-last"] = _describe(
        "random", "which of the other items is the validation item"
    )
    equal_times: Literal["file", "item-id"] = _describe("file", "what orders interactions at the same time")
    test_cut: Cut = _describe(  # noqa: RUF009
        TEST_CUT, "where the test period of global-time begins (a share of the interactions, a date such as 1998-03-01)"
    )
    validation_cut: Cut = _describe(  # noqa: RUF009
        VALIDATION_CUT, "where the validation period of global-time begins (a share, a date)"
    )
    retrain: bool = _describe(
        False, "before the test, train again on training and validation items, for the chosen epochs (true, false)"
    )
    test_context: Literal["training", "with-validation"] = _describe(
        "training", "what a model reads before a test item: with-validation adds the validation item"
    )

    def __post_init__(self) -> None:
        is_number = type(self.candidates) is int and self.candidates > 0
        if not is_number and not re.fullmatch(r"all|popularity:[1-9]\d*", str(self.candidates)):
            choices = "a number from 1, 'all' or 'popularity:NUMBER'"
            raise ValueError(f"protocol.candidates must be {choices}, not {self.candidates!r:.80}")
        check_values(type(self), vars(self), "protocol.")
        if self.retrain and self.select_on == "test":
            raise ValueError("protocol.retrain=true needs epochs chosen on validation: set select_on=validation")

    @property
    def deviations(self) -> dict[str, Any]:
        """Return the choices that differ from the defaults."""
        return {one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name) != one.default}

    @property
    def split_options(self) -> dict[str, Any]:
        """Return the arguments of `sdmr.datasets.split.split` that differ from its defaults."""
        options: dict[str, Any] = {name: self.deviations.get(name) for name in SPLIT_OPTIONS}
        sampling, _, number = str(self.candidates).rpartition(":")
        is_default = number in ("all", str(DEFAULT_CANDIDATES))
        options |= {"n_candidates": None if is_default else int(number), "candidate_sampling": sampling or None}
        return {name: value for name, value in options.items() if value is not None}

    @property
    def keeps_sort_position(self) -> bool:
        """Tell whether ranks must keep the target's position in a sort."""
        return self.tie_policy == "argsort-target-last"

    @property
    def training_protocol(self) -> "Protocol":
        """Return the protocol of the run that trains the model this one only ranks differently."""
        candidates = DEFAULT_CANDIDATES if self.candidates == "all" else self.candidates
        test_context = self.test_context if self.select_on == "test" else "training"
        return replace(self, tie_policy="expected", candidates=candidates, test_context=test_context)

    @property
    def ranking_key(self) -> dict[str, Any]:
        """Return the choices that change a run; three tie policies share the same counts."""
        return asdict(self if self.keeps_sort_position else replace(self, tie_policy="expected"))

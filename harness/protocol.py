"""Choose how models are ranked and how their epochs are selected."""

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from sdmr.datasets.bounds import check_values
from sdmr.harness.metrics import TiePolicy


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
    candidates: Literal[100, 99, "all"] = _describe(100, "unseen items that a test target is ranked among")
    # These are arguments of `sdmr.datasets.split.split`.
    test_item: Literal["last", "random"] = _describe(
        "last", "the item of a user, or of a basket, that is the test item"
    )
    validation_item: Literal["random", "next-to-last"] = _describe(
        "random", "the one of the others that is validated on"
    )
    equal_times: Literal["file", "item-id"] = _describe("file", "what orders interactions at the same time")
    test_context: Literal["training", "with-validation"] = _describe(
        "training", "what a model reads before a test item: with-validation adds the validation item"
    )

    def __post_init__(self) -> None:
        check_values(type(self), vars(self), "protocol.")

    @property
    def deviations(self) -> dict[str, Any]:
        """Return the choices that differ from the defaults."""
        return {one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name) != one.default}

    @property
    def split_options(self) -> dict[str, Any]:
        """Return the arguments of `sdmr.datasets.split.split` that differ from its defaults."""
        names = ("test_item", "validation_item", "equal_times", "test_context")
        options = {name: self.deviations.get(name) for name in names}
        options["n_candidates"] = 99 if self.candidates == 99 else None
        return {name: value for name, value in options.items() if value is not None}

    @property
    def keeps_sort_position(self) -> bool:
        """Tell whether ranks must keep the target's position in a sort."""
        return self.tie_policy == "argsort-target-last"

    @property
    def training_protocol(self) -> "Protocol":
        """Return the protocol of the run that trains the model this one only ranks differently."""
        candidates = 100 if self.candidates == "all" else self.candidates
        test_context = self.test_context if self.select_on == "test" else "training"
        return replace(self, tie_policy="expected", candidates=candidates, test_context=test_context)

    @property
    def ranking_key(self) -> dict[str, Any]:
        """Return the choices that change a run; three tie policies share the same counts."""
        return asdict(self if self.keeps_sort_position else replace(self, tie_policy="expected"))

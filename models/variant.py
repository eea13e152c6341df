"""The paper's equations, or the code that its authors released: one choice for each difference between the two.

A model lists its differences, (the paper's value, the released one) by the name of a constructor argument. An argument
that is left out has the variant's value. Where the released *training* differs, it is an option of
`OptimizationConfig`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Literal

from sdmr.harness.training.optimizer import OptimizationConfig

Variant = Literal["paper", "released"]
Differences = Mapping[str, tuple[Any, Any]]

# The hardest negative; λ as weight decay on everything; half the learning rate every 20 epochs; 50 epochs, whatever
# they bring; the epoch of the best hit@10.
AS_RELEASED = OptimizationConfig(
    negatives="hardest",
    regularization_scope="all",
    halve_learning_rate_every=20,
    epochs=50,
    patience=50,
    selection_metric="hit@10",
)


def by_variant(variant: str, paper: Any, released: Any) -> Any:
    """Return the value of a difference. Raises ValueError for an unknown variant."""
    if variant not in ("paper", "released"):
        raise ValueError(f'variant must be "paper" or "released", not {variant!r}')
    return released if variant == "released" else paper


def resolve_differences(differences: Differences, variant: str, **arguments: Any) -> SimpleNamespace:
    """Return the value of every difference: the argument's, or the variant's for None."""
    values = {name: by_variant(variant, *pair) for name, pair in differences.items()}
    return SimpleNamespace(**values | {name: value for name, value in arguments.items() if value is not None})


def check_choices(model: object, **choices: tuple[str, tuple[str, ...]]) -> None:
    """Raise ValueError if a choice (name = value, known values) is none of the known ones."""
    for name, (value, known) in choices.items():
        if value not in known:
            raise ValueError(f"{type(model).__name__}: {name} must be one of {', '.join(known)}, not {value!r}")

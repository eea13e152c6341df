"""Refuse in one line what the training by gradient cannot use, and use a loss however it is set."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from sdmr.harness.evaluation import rank
from sdmr.harness.recommender import ModelError
from sdmr.harness.training.base import TorchRecommender
from tests.behavior import small
from tests.harness.factors import CONFIG, Factors, assert_same_bits, fit


class Bent(Factors):
    """Apply a function to the scores."""

    def __init__(self, bend: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.bend = bend

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Any:
        return self.bend(super().forward(users, contexts, candidates))


@pytest.mark.parametrize(
    ("bend", "returned"),
    [
        (lambda scores: scores[..., None], r"a torch.float32 tensor \[48, 5, 1\]"),
        (lambda scores: scores[:, None], r"a torch.float32 tensor \[48, 1, 5\]"),
        (lambda scores: scores.flatten(), r"a torch.float32 tensor \[240\]"),
        (lambda scores: scores.sum(), r"a torch.float32 tensor \[\]"),
        (lambda scores: scores.long(), r"a torch.int64 tensor \[48, 5\]"),
        (lambda scores: scores.detach().numpy(), "ndarray"),
        (lambda scores: (scores, scores), "tuple"),
        (lambda scores: None, "NoneType"),
    ],
)
def test_scores_of_a_wrong_shape_or_type_are_one_line(bend: Callable[[Tensor], Any], returned: str) -> None:
    with pytest.raises(ModelError, match=rf"^Bent\.forward returned {returned}, expected .* \[48, 5\]: .*$"):
        fit(Bent(bend), small().training)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_scores_of_another_precision_are_trained_and_ranked(dtype: torch.dtype) -> None:
    model = fit(Bent(lambda scores: scores.to(dtype)), small().training)
    assert np.isfinite(rank(model, small().test).ndcg(10)).all()


def test_a_table_without_a_row_for_the_padding_is_one_line() -> None:
    class Unpadded(Factors):
        def build(self, n_users: int, n_items: int) -> None:
            super().build(n_users, n_items)
            self.items = nn.Embedding(n_items, 4)  # type: ignore[assignment]

    with pytest.raises(ModelError, match=r"^Unpadded\.forward looks up a row .* padded .* n_items \+ 1 rows$"):
        fit(Unpadded(), small().training)


def test_scores_without_a_gradient_are_one_line() -> None:
    with pytest.raises(ModelError, match=r"^Bent\.loss returned a tensor \[\], expected one number with a gradient"):
        fit(Bent(lambda scores: scores.detach()), small().training)


def test_classes_of_a_notebook_are_fitted_and_ranked() -> None:
    cell = """
class Bent(Factors):
    def forward(self, users, contexts, candidates):
        return 2 * super().forward(users, contexts, candidates)

class Popular:
    def fit(self, training):
        self.count = training.matrix.sum(axis=0).A1
    def score(self, users, contexts, candidates):
        return self.count[candidates]
"""
    notebook: dict[str, Any] = {"__name__": "__main__", "Factors": Factors}
    exec(compile(cell, "<cell>", "exec"), notebook)
    for name in ("Bent", "Popular"):
        model = notebook[name]()
        model.fit(small().training)
        assert np.isfinite(rank(model, small().test).ndcg(10)).all()


# --- the loss ---


def hinge(scores: Tensor) -> Tensor:
    return relu(1 - scores[:, :1] + scores[:, 1:]).sum()


class Hinge(nn.Module):
    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = nn.Parameter(torch.tensor(margin))

    def forward(self, scores: Tensor) -> Tensor:
        return relu(self.margin - scores[:, :1] + scores[:, 1:]).sum()


class ByMethod(Factors):
    def loss(self, scores: Tensor) -> Tensor:
        return hinge(scores)


class ByAttribute(Factors):
    def __init__(self, loss: Any) -> None:
        super().__init__()
        self.loss = loss


def test_a_loss_that_is_an_attribute_is_used() -> None:
    expected = fit(ByMethod(), small().training)
    assert_same_bits(fit(ByAttribute(hinge), small().training), expected)
    frozen = Hinge(1.0).requires_grad_(False)
    module_bits = fit(ByAttribute(frozen), small().training)
    assert (
        module_bits.history[-1]["loss"] == expected.history[-1]["loss"] != fit(Factors(), small().training).history[-1]
    )
    assert "loss.margin" in module_bits.state_dict()
    learned = fit(ByAttribute(Hinge(1.0)), small().training)
    assert learned.loss.margin != 1.0  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (nn.BCEWithLogitsLoss(), "must take the scores alone"),
        (lambda scores, margin: hinge(scores), "must take the scores alone"),
        ("bpr", "must take the scores alone"),
        (lambda scores: relu(scores), r"returned a tensor \[48, 5\], expected one number"),
        (lambda scores: hinge(scores).item(), "returned float, expected one number"),
    ],
)
def test_a_loss_that_cannot_be_used_is_one_line(loss: Any, message: str) -> None:
    with pytest.raises(ModelError, match=rf"^ByAttribute\.loss {message}.*$"):
        fit(ByAttribute(loss), small().training)


# --- attributes ---


class SetsAttribute(Factors):
    def __init__(self, name: str, value: Any) -> None:
        super().__init__()
        setattr(self, name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("device", "cuda"), ("parts", []), ("score", nn.Linear(2, 2)), ("build", nn.Linear(2, 2))],
)
def test_an_attribute_that_the_class_would_hide_is_one_line(name: str, value: Any) -> None:
    hint = "set optimization.device" if name == "device" else "choose another name"
    with pytest.raises(ModelError, match=rf"^SetsAttribute sets self\.{name}, which its class defines: {hint}$"):
        SetsAttribute(name, value)


class Uninitialized(TorchRecommender):
    def __init__(self) -> None:
        self.dim = 3


def test_a_constructor_that_skips_the_base_class_is_one_line() -> None:
    with pytest.raises(ModelError, match=r"^Uninitialized\.__init__ must call super\(\)\.__init__\(optimization\)"):
        fit(Uninitialized(), small().training)


def test_an_argument_that_is_no_optimization_is_one_line() -> None:
    with pytest.raises(ModelError, match=r"^Factors passes optimization=64, no OptimizationConfig$"):
        Factors(optimization=64)  # type: ignore[arg-type]


class NoParameters(TorchRecommender):
    def build(self, n_users: int, n_items: int) -> None:
        pass

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        return -candidates.float()


def test_a_model_without_parameters_is_ranked() -> None:
    assert len(rank(fit(NoParameters(CONFIG), small().training), small().test).above)

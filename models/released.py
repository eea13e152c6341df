"""SDP, SDM and SDMR as the authors released them (github.com/thanhdtran/SDMR), which differs from their paper.

Each difference is an argument with two values: the paper's and the released one, the default. With all differences at
the paper's value, and the paper's `optimization`, a model is the paper's to the last bit.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from sdmr.datasets.bounds import Fraction, PositiveInt, check_arguments
from sdmr.harness.training import Dropout, OptimizationConfig
from sdmr.harness.training.layers import init_he_normal, init_torch_bias
from sdmr.models.sdm import SDM
from sdmr.models.sdmr import SDMR
from sdmr.models.sdp import SDP

# The loss counts the hardest negative. λ is Adam's weight decay on every parameter. The learning rate halves every 20
# epochs. All 50 epochs are trained, and hit@10 selects one.
RELEASED_TRAINING = OptimizationConfig(
    negatives="hardest",
    regularization_scope="all",
    halve_learning_rate_every=20,
    epochs=50,
    patience=50,
    selection_metric="hit@10",
)
PAPER_TRAINING = {
    "optimization.regularization_scope": "batch",
    "optimization.halve_learning_rate_every": 0,
    "optimization.selection_metric": "NDCG@10",
}
NO_DROPOUT = {"dropout": 0.0, "dropout_at_test": "off"}
OnOff = Literal["off", "on"]
Initialization = Literal["he", "torch"]


class ReleasedSDP(SDP):
    """Score as SDP does in the released code."""

    PAPER_CHOICES: Mapping[str, Any] = {"distance": "square", **NO_DROPOUT, "initialization": "he", **PAPER_TRAINING}

    @check_arguments
    def __init__(
        self,
        dim: PositiveInt = 64,
        layers: PositiveInt = 1,
        distance: Literal["square", "absolute"] = "absolute",
        dropout: Fraction = 0.2,
        dropout_at_test: OnOff = "off",
        initialization: Initialization = "torch",
        optimization: OptimizationConfig = RELEASED_TRAINING,
    ) -> None:
        """Set the options; the first two are those of SDP.

        Args:
            distance: Paper: square; released: absolute, |e| for e ⊙ e in Eq. 5.
            dropout: Paper: 0; released: 0.2, after the first layer.
            dropout_at_test: Paper and released: off, dropout ends with training.
            initialization: Paper: he, biases start at 0; released: torch, they start as PyTorch draws them.
            optimization: How to train.
        """
        super().__init__(dim, layers, dropout, optimization)
        self.distance, self.initialization = distance, initialization
        self.dropout = Dropout(dropout, dropout_at_test)

    def build(self, n_users: int, n_items: int) -> None:
        super().build(n_users, n_items)
        if self.initialization == "torch":
            init_torch_bias(self.first_item, fan_in=2 * self.dim)
            for layer in self.further:
                init_torch_bias(layer)  # type: ignore[arg-type]

    def _square(self, e: Tensor) -> Tensor:
        return super()._square(e) if self.distance == "square" else e.abs()

    @property
    def _uses_kernel(self) -> bool:
        return self.distance == "square" and super()._uses_kernel


class ReleasedSDM(SDM):
    """Score as SDM does in the released code of 20 May 2019 (commit 4a4f50d).

    From 30 September 2019 on (commit b8c296a), the code pads short contexts, as `short_context: padded` does.
    """

    PAPER_CHOICES: Mapping[str, Any] = {
        **NO_DROPOUT,
        "value_layer": "nothing",
        "gate_update": "distance",
        "padding": "excluded",
        "short_context": "padded",
        "initialization": "he",
        **PAPER_TRAINING,
    }
    score_all = None  # type: ignore[assignment]  # the random numbers of dropout would be other ones

    @check_arguments
    def __init__(
        self,
        dim: PositiveInt = 64,
        hops: PositiveInt = 3,
        context_length: PositiveInt = 5,
        dropout: Fraction = 0.2,
        dropout_at_test: OnOff = "on",
        value_layer: Literal["nothing", "layer"] = "layer",
        gate_update: Literal["distance", "negated"] = "negated",
        padding: Literal["excluded", "scaled"] = "scaled",
        short_context: Literal["padded", "left-over"] = "left-over",
        initialization: Initialization = "torch",
        optimization: OptimizationConfig = RELEASED_TRAINING,
    ) -> None:
        """Set the options; the first three are those of SDM.

        Args:
            dropout: Paper: 0; released: 0.2, on both queries, and after tanh in Eq. 9 and 13.
            dropout_at_test: Paper: off; released: on, dropout of the two queries does not end with training.
            value_layer: Paper: nothing; released: layer, each a_k · square(…) of Eq. 13 passes one more d × d layer and
                ReLU before the sum.
            gate_update: Paper: distance; released: negated; with o = −e^h, g = σ(W_g o + b_g) and
                q^(h+1) = (1 − g) ⊙ q^h + g ⊙ o.
            padding: Paper: excluded; released: scaled, padding takes part, and its −z is multiplied by 65,535.
            short_context: Paper: padded; released: left-over, one buffer serves all contexts. In training, the empty
                entries of a short context hold what the instance before it in the batch has there.
            initialization: Paper: he, W_g and the value layer start He-normal and all biases at 0; released: torch,
                they start as PyTorch draws them.
            optimization: How to train.
        """
        super().__init__(dim, hops, context_length, dropout, optimization)
        self.value_layer, self.gate_update, self.padding = value_layer, gate_update, padding
        self.short_context, self.initialization = short_context, initialization
        self.query_dropout = Dropout(dropout, dropout_at_test)

    def build(self, n_users: int, n_items: int) -> None:
        super().build(n_users, n_items)
        if self.value_layer == "layer":
            self.layer = nn.Linear(self.dim, self.dim)
            init_he_normal(self.layer)
        if self.initialization == "torch":
            for half in (self.a_item, self.b_item, self.c_context, self.d_context):  # these have the biases
                init_torch_bias(half, fan_in=2 * self.dim)
            self.gate.reset_parameters()
            if self.value_layer == "layer":
                self.layer.reset_parameters()

    def _hops(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
        if self.short_context == "left-over" and self.training:
            contexts = fill_left_over(contexts, self.items_in.num_embeddings - 1)
        return super()._hops(users, contexts, candidates)

    def _find_padding(self, contexts: Tensor) -> Tensor:
        if self.padding == "excluded":
            return super()._find_padding(contexts)
        return contexts.eq(self.items_in.num_embeddings - 1)

    def _softmax(self, z: Tensor, is_padding: Tensor) -> Tensor:
        if self.padding == "excluded":
            return super()._softmax(z, is_padding)
        return torch.softmax(-z.where(~is_padding, 65_535 * z), dim=-1)

    def _sum(self, weighted: Tensor, is_padding: Tensor) -> Tensor:
        if self.value_layer == "layer":
            weighted = torch.relu(self.layer(weighted))
            if self.padding == "excluded":
                weighted = weighted.masked_fill(is_padding, 0)
        return super()._sum(weighted, is_padding)

    def _update(self, q: Tensor, e: Tensor) -> Tensor:
        return super()._update(q, e) if self.gate_update == "distance" else super()._update(-e, q)

    @property
    def _uses_kernel(self) -> bool:
        choices = self.value_layer, self.gate_update, self.padding, self.short_context == "left-over" and self.training
        return choices == ("nothing", "distance", "excluded", False) and super()._uses_kernel


class ReleasedSDMR(SDMR):
    """Combine a released SDP and a released SDM as the released code does."""

    has_fitted_start = False  # an epoch is trained in any case
    PAPER_CHOICES: Mapping[str, Any] = {**NO_DROPOUT, "part_mode": "evaluation", **PAPER_TRAINING}

    @check_arguments
    def __init__(
        self,
        sdp: ReleasedSDP,
        sdm: ReleasedSDM,
        combine: Literal["learned", "sum"] = "learned",
        activation: Literal["relu", "identity"] = "relu",
        beta: Fraction = 0.5,
        dropout: Fraction = 0.2,
        dropout_at_test: OnOff = "off",
        part_mode: Literal["evaluation", "training"] = "training",
        optimization: OptimizationConfig = replace(RELEASED_TRAINING, regularization=1e-6, epochs=20, patience=20),
    ) -> None:
        """Set the options; the first five are those of SDMR.

        Args:
            dropout: Paper: 0; released: 0.2, on the argument of the activation in Eq. 20.
            dropout_at_test: Paper and released: off, dropout ends with training.
            part_mode: Paper: evaluation; released: training, the parts' dropout is on while w_u is learned.
            optimization: How to train w_u and b_u; the released λ is 1e-6, for 20 epochs.
        """
        super().__init__(sdp, sdm, combine, activation, beta, optimization)
        if combine == "sum" and (dropout or part_mode == "training"):
            raise ValueError(
                "dropout and part_mode have no effect with combine=sum: set dropout=0 and part_mode=evaluation"
            )
        self.dropout, self.part_mode = Dropout(dropout, dropout_at_test), part_mode

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.part_mode == "training":
            for part in self.parts.values():
                part.train(mode)
        return self

    def _combine(self, e: Tensor) -> Tensor:
        return self.dropout(super()._combine(e))


def fill_left_over(contexts: Tensor, padding: int) -> Tensor:
    """Fill padding from the instances before; the last entry of contexts [B, s] stays."""
    rows = torch.arange(len(contexts), device=contexts.device)[:, None]
    last_real = torch.where(contexts == padding, 0, rows).cummax(dim=0).values
    return torch.cat([contexts.gather(0, last_real)[:, :-1], contexts[:, -1:]], dim=1)

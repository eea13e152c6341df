"""SDMR, the Signed Distance-based Deep Memory Recommender (Tran et al., WWW 2019, section 4.3)."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sdmr.datasets.task import HeldOut
from sdmr.harness.evaluation import score_candidates
from sdmr.harness.metrics import count_ranks, count_ties, summarize
from sdmr.harness.training.base import TorchRecommender
from sdmr.harness.training.layers import Dropout
from sdmr.harness.training.optimizer import OptimizationConfig
from sdmr.models.sdm import SDM
from sdmr.models.sdp import SDP
from sdmr.models.variant import AS_RELEASED, Differences, Variant, check_choices, resolve_differences


class SDMR(TorchRecommender):
    """SDP and SDM, trained first, frozen, and combined.

    `combine: learned`  o = ReLU(w_uᵀ [e_SDP; e_SDM] + b_u), only w_u and b_u are learned   (Eq. 20)
    `combine: sum`      o = β o_SDP + (1 − β) o_SDM, nothing is learned                      (Eq. 19)

    score = −o. ReLU puts every candidate with a non-positive argument at distance 0, where they all *tie*: read this
    model's optimistic and pessimistic metrics with its expected ones. In the history, `zero_share` is the share of
    validation candidates whose distance is exactly 0, with the share of tied instances and every reading of the ties.
    w_u starts at [0.1 w_o; 0.9 w_e], b_u at 0.1 b_o + 0.9 b_e.
    """

    DIFFERENCES: ClassVar[Differences] = {
        "dropout": (0.0, 0.2),
        "dropout_at_test": ("off", "off"),
        "part_mode": ("evaluation", "training"),
        "optimization": (
            OptimizationConfig(learning_rate=0.01, negatives="hardest"),
            replace(AS_RELEASED, regularization=1e-6, epochs=20, patience=20),
        ),
    }

    def __init__(
        self,
        sdp: SDP,
        sdm: SDM,
        combine: Literal["learned", "sum"] = "learned",
        activation: Literal["relu", "identity"] = "relu",
        beta: float = 0.5,
        variant: Variant = "paper",
        dropout: float | None = None,
        dropout_at_test: Literal["off", "on"] | None = None,
        part_mode: Literal["evaluation", "training"] | None = None,
        optimization: OptimizationConfig | None = None,
    ) -> None:
        """`activation` is that of Eq. 20, `beta` the β of Eq. 19; the two parts' embedding sizes may differ.

        None is the variant's choice (paper | released). `dropout`: 0 | 0.2, on the output o of Eq. 20, and not at test
        (`dropout_at_test`). `part_mode`: evaluation | training, the mode of SDP and SDM while w_u is learned; in the
        second their dropout is on. With `combine: sum`, all these have no effect. `optimization`: see `models.variant`;
        λ is 1e-6 in the released one, for 20 epochs. The parts are of whatever variant they were made; on the command
        line, of this one's if nothing else is said.

        The default learning rate is ten times that of the other models: the few weights of w_u reach the same
        validation NDCG@10 in a fifth of the epochs.
        """
        choices = resolve_differences(
            self.DIFFERENCES,
            variant,
            dropout=dropout,
            dropout_at_test=dropout_at_test,
            part_mode=part_mode,
            optimization=optimization,
        )
        super().__init__(choices.optimization)
        check_choices(
            self,
            combine=(combine, ("learned", "sum")),
            activation=(activation, ("relu", "identity")),
            part_mode=(choices.part_mode, ("evaluation", "training")),
        )
        if combine == "learned" and beta != 0.5:
            raise ValueError(f"beta={beta} has no effect with combine=learned: it is the weight of combine=sum")
        # Of what is given: the variant's own dropout, which nobody has asked for, is passed over.
        if combine == "sum" and (activation != "relu" or dropout or dropout_at_test == "on" or part_mode == "training"):
            raise ValueError(
                "activation, dropout, dropout_at_test and part_mode have no effect with combine=sum, which learns "
                "nothing: leave them out"
            )
        self.sdp, self.sdm = sdp, sdm
        self.combine, self.activation, self.beta = combine, activation, beta
        self.context_length = sdm.context_length
        self.variant, self.dropout = variant, Dropout(choices.dropout, choices.dropout_at_test)
        self.part_mode = choices.part_mode

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for part in self.parts.values():
            part.train(mode and self.part_mode == "training")
        return self

    def build(self, n_users: int, n_items: int) -> None:
        if self.combine == "sum":
            return
        self.output = nn.Linear(self.sdp.output.in_features + self.sdm.output.in_features, 1)
        with torch.no_grad():
            weights = [0.1 * self.sdp.output.weight, 0.9 * self.sdm.output.weight]
            self.output.weight.copy_(torch.cat(weights, dim=1))
            self.output.bias.copy_(0.1 * self.sdp.output.bias + 0.9 * self.sdm.output.bias)

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        if self.combine == "sum":
            parts = self.sdp(users, contexts, candidates), self.sdm(users, contexts, candidates)
            return self.beta * parts[0] + (1 - self.beta) * parts[1]
        with torch.no_grad():  # both parts are frozen
            e = torch.cat([self.sdp.distances(users, candidates), self.sdm.distances(users, contexts, candidates)], -1)
        o = self.dropout(self.output(e).squeeze(-1))
        return -(torch.relu(o) if self.activation == "relu" else o)

    def epoch_metrics(self, validation: HeldOut, scores: NDArray[np.floating] | None) -> dict[str, float]:
        scores = score_candidates(self, validation) if scores is None else scores
        ranks = count_ranks(scores, validation.target_columns)
        readings = {
            f"{metric} {ties}": float(values)
            for metric, values_by_policy in summarize(ranks, ks=(10,)).items()
            for ties, values in values_by_policy.items()
        }
        return {"zero_share": float((scores == 0).mean()), **count_ties(ranks), **readings}

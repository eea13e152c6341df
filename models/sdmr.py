"""SDMR, the Signed Distance-based Deep Memory Recommender (Tran et al., WWW 2019, section 4.3)."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sdmr.datasets.bounds import Fraction, check_arguments
from sdmr.datasets.task import HeldOut
from sdmr.harness.evaluation import score_candidates
from sdmr.harness.metrics import count_ranks, count_ties, summarize
from sdmr.harness.training import OptimizationConfig, TorchRecommender
from sdmr.models.sdm import SDM
from sdmr.models.sdp import SDP


class SDMR(TorchRecommender):
    """Combine a trained SDP and a trained SDM, which are frozen.

    `combine: learned`  o = ReLU(w_uᵀ [e_SDP; e_SDM] + b_u), only w_u and b_u are learned   (Eq. 20)
    `combine: sum`      o = β o_SDP + (1 − β) o_SDM, nothing is learned                      (Eq. 19)

    score = −o. w_u starts at [0.1 w_o; 0.9 w_e], b_u at 0.1 b_o + 0.9 b_e; the best epoch may be this start, 0.

    ReLU puts every candidate with a non-positive argument at distance 0, where they all *tie*. Read the optimistic and
    pessimistic metrics of this model with its expected ones. The history holds the share of validation candidates
    whose distance is exactly 0 (`zero_share`). It also holds the share of tied instances, and the metrics under every
    tie policy.
    """

    has_fitted_start = True

    @check_arguments
    def __init__(
        self,
        sdp: SDP,
        sdm: SDM,
        combine: Literal["learned", "sum"] = "learned",
        activation: Literal["relu", "identity"] = "relu",
        beta: Fraction = 0.5,
        optimization: OptimizationConfig = OptimizationConfig(negatives="hardest"),
    ) -> None:
        """Set the options.

        Args:
            sdp: A part; its embedding size may differ from the other's.
            sdm: The other part.
            combine: How to combine SDP and SDM: learned (Eq. 20), or as a weighted sum (Eq. 19).
            activation: Activation in Eq. 20, with combine=learned.
            beta: β of Eq. 19, the share of SDP, with combine=sum.
            optimization: How to train w_u and b_u.
        """
        super().__init__(optimization)
        if combine == "learned" and beta != 0.5:
            raise ValueError(f"beta={beta} has no effect with combine=learned: it is the weight of combine=sum")
        if combine == "sum" and activation != "relu":
            raise ValueError(f"activation={activation} has no effect with combine=sum: it is that of combine=learned")
        self.sdp, self.sdm = sdp, sdm
        self.combine, self.activation, self.beta = combine, activation, beta
        self.context_length = sdm.context_length

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
            e_sdp = self.sdp.compute_distances(users, candidates)
            e_sdm = self.sdm.compute_distances(users, contexts, candidates)
        o = self._combine(torch.cat([e_sdp, e_sdm], dim=-1))
        return -(torch.relu(o) if self.activation == "relu" else o)

    def _combine(self, e: Tensor) -> Tensor:
        """Compute w_uᵀ [e_SDP; e_SDM] + b_u of Eq. 20: [B, C]."""
        return self.output(e).squeeze(-1)

    def epoch_metrics(self, validation: HeldOut, scores: NDArray[np.floating] | None) -> dict[str, float]:
        scores = score_candidates(self, validation) if scores is None else scores
        ranks = count_ranks(scores, validation.target_columns)
        entry = {"zero_share": float((scores[np.isfinite(scores)] == 0).mean()), **count_ties(ranks)}
        for metric, values in summarize(ranks, cutoffs=(10,)).items():
            entry |= {f"{metric} {tie_policy}": value for tie_policy, value in values.items()}
        return entry

"""SDMR, the Signed Distance-based Deep Memory Recommender (Tran et al., WWW 2019, section 4.3)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from datasets.task import HeldOut
from harness.optimiser import Optimisation
from harness.training import TorchRecommender
from models.sdm import SDM
from models.sdp import SDP


class SDMR(TorchRecommender):
    """SDP and SDM, trained first, frozen, and combined.

    `combine: learned`  o = ReLU(w_uᵀ [e_SDP; e_SDM] + b_u), only w_u and b_u are learned   (Eq. 20)
    `combine: sum`      o = β o_SDP + (1 − β) o_SDM, nothing is learned                      (Eq. 19)

    score = −o. ReLU puts every candidate with a non-positive argument at distance 0, where they all *tie*: read this
    model's optimistic and pessimistic metrics with its expected ones. `zero_share` in the history is the share of
    development candidates whose distance is exactly 0. w_u starts at [0.1 w_o; 0.9 w_e], b_u at 0.1 b_o + 0.9 b_e.
    """

    def __init__(
        self,
        sdp: SDP,
        sdm: SDM,
        combine: Literal["learned", "sum"] = "learned",
        activation: Literal["relu", "identity"] = "relu",
        beta: float = 0.5,
        optimisation: Optimisation = Optimisation(learning_rate=0.01, negatives="hardest"),
    ) -> None:
        """`activation` is that of Eq. 20, `beta` the β of Eq. 19; the two parts' embedding sizes may differ.

        The default learning rate is ten times that of the other models: the few weights of w_u reach the same
        development NDCG@10 in a fifth of the epochs.
        """
        super().__init__(optimisation)
        if combine not in ("learned", "sum") or activation not in ("relu", "identity"):
            raise ValueError(f"SDMR knows no combine={combine!r} with activation={activation!r}")
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
            e = torch.cat([self.sdp.distances(users, candidates), self.sdm.distances(users, contexts, candidates)], -1)
        o = self.output(e).squeeze(-1)
        return -(torch.relu(o) if self.activation == "relu" else o)

    def observe(self, development: HeldOut) -> dict[str, float]:
        contexts = development.contexts.latest(self.context_length)
        blocks = np.array_split(np.arange(len(development)), len(development) // 256 + 1)
        scores = [self.score(development.users[b], contexts[b], development.candidates[b]) for b in blocks]
        return {"zero_share": float((np.concatenate(scores) == 0).mean())}

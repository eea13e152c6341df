"""PRME: personalized ranking metric embedding (Feng et al., IJCAI 2015).

PRME_s is its sequence form in the SDMR paper.
"""

from typing import Literal

import torch
from torch import Tensor

from sdmr.datasets.bounds import Fraction, PositiveInt, check_arguments
from sdmr.harness.training import Embedding, OptimizationConfig, TorchRecommender, takes_arrays
from sdmr.harness.training.layers import compute_squared_distances


class PRME(TorchRecommender):
    """Score an item by its distances from the user and from the context items.

    score = −(α ‖P_u − P_j‖² + (1 − α) · mean over the context items k of ‖S_k − S_j‖²), trained by BPR.

    With one context item, the last, this is PRME; with s of them it is PRME_s of the SDMR paper (WWW 2019). Without
    context only the user term remains, with weight 1.

    `spaces: 2` gives items an embedding for each term, P and S, as in the source. `spaces: 1` has one for both, as the
    SDMR paper writes it.

    Departures from the source:
    - There is no time threshold. If the last check-in is long ago, the source leaves out the second term; the SDMR
      paper's formula does not.
    - Adam replaces SGD, and the highest-scored one of several negatives counts (negatives=hardest).

    Embeddings start as normal with standard deviation 0.01.
    """

    @check_arguments
    def __init__(
        self,
        dim: PositiveInt = 64,
        alpha: Fraction = 0.5,
        context_length: PositiveInt = 1,
        spaces: Literal[1, 2] = 2,
        optimization: OptimizationConfig = OptimizationConfig(negatives="hardest"),
    ) -> None:
        """Set the options.

        Args:
            dim: d, the embedding size.
            alpha: α, the share of the user's preference; the rest is that of the context.
            context_length: s, the items before the target; 1 for PRME.
            spaces: Number of item tables: 2 as published, or 1 that serves as both.
        """
        super().__init__(optimization)
        self.dim, self.alpha, self.context_length, self.spaces = dim, alpha, context_length, spaces

    def build(self, n_users: int, n_items: int) -> None:
        self.users = Embedding(n_users, self.dim, std=0.01)  # P_u
        self.items = Embedding(n_items, self.dim, std=0.01, padding=True)  # S, or both
        self.preferred = Embedding(n_items, self.dim, std=0.01) if self.spaces == 2 else self.items  # P_j

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        preference = (self.users(users)[:, None] - self.preferred(candidates)).square().sum(-1)  # [B, C]
        mean, spread, alpha = self._summarize(contexts)
        succession = (mean[:, None] - self.items(candidates)).square().sum(-1) + spread  # [B, C]
        return -(alpha * preference + (1 - alpha) * succession)

    @takes_arrays
    def score_all(self, users: Tensor, contexts: Tensor) -> Tensor:
        preference = compute_squared_distances(self.users(users), self.preferred.rows)  # [B, n_items]
        mean, spread, alpha = self._summarize(contexts)
        succession = compute_squared_distances(mean, self.items.rows) + spread
        return -(alpha * preference + (1 - alpha) * succession)

    def _summarize(self, contexts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the context's mean [B, d], its spread [B, 1], and α [B, 1]."""
        is_context = contexts.ne(self.items.num_embeddings - 1)
        length = is_context.sum(dim=1, keepdim=True)  # [B, 1]
        previous = self.items(contexts)  # [B, s, d], zero on padding
        # The mean squared distance is that to the mean plus the spread around it: no [B, C, s, d] is needed.
        mean = previous.sum(1) / length.clamp(min=1)  # [B, d]
        spread = (previous - mean[:, None]).square().sum(-1).mul(is_context).sum(1, keepdim=True) / length.clamp(min=1)
        return mean, spread, torch.where(length > 0, self.alpha, 1.0)

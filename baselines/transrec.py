"""TransRec: translation-based recommendation (He, Kang and McAuley, RecSys 2017)."""

import torch
from torch import Tensor, nn

from sdmr.datasets.bounds import PositiveInt, check_arguments
from sdmr.harness.training import Embedding, OptimizationConfig, TorchRecommender, takes_arrays
from sdmr.harness.training.layers import compute_squared_distances


class TransRec(TorchRecommender):
    """Score an item by its distance from the translated last context item.

    score = β_j − ‖γ_k + t + t_u − γ_j‖₂², k the last context item, γ clipped to the unit ball after every step.

    Without context γ_k = 0. The source's distance is not squared (`squared: false`). The square, which some
    implementations have, is the default: on ML-100k it has the better validation NDCG@10 (.62 against .56).

    Departures from the source: the square; Adam in place of SGD; the highest-scored one of several negatives counts
    (negatives=hardest); λ does not act on β_j, nor on any other bias here. t, t_u and β start at 0, γ as normal with
    standard deviation 0.01.
    """

    context_length = 1

    @check_arguments
    def __init__(
        self,
        dim: PositiveInt = 64,
        squared: bool = True,
        optimization: OptimizationConfig = OptimizationConfig(negatives="hardest"),
    ) -> None:
        """Set the options.

        Args:
            dim: d, the embedding size.
            squared: Whether to take the square of the distance.
        """
        super().__init__(optimization)
        self.dim, self.squared = dim, squared

    def build(self, n_users: int, n_items: int) -> None:
        self.items = Embedding(n_items, self.dim, std=0.01, padding=True, unit_ball=True)  # γ
        self.translation = nn.Parameter(torch.zeros(self.dim))  # t
        self.user_translations = Embedding(n_users, self.dim, std=0.0)  # t_u
        self.bias = Embedding(n_items, 1, std=0.0)  # β

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        difference = self._translate(users, contexts)[:, None] - self.items(candidates)  # [B, C, d]
        squares = difference.square().sum(-1)
        distance = squares if self.squared else torch.linalg.vector_norm(difference, dim=-1)
        return self.bias(candidates).squeeze(-1) - distance

    @takes_arrays
    def score_all(self, users: Tensor, contexts: Tensor) -> Tensor:
        origin = self._translate(users, contexts)
        if self.squared:
            distance = compute_squared_distances(origin, self.items.rows)
        else:  # not by a product: the root of a small difference would enlarge its rounding
            distance = torch.cdist(origin, self.items.rows, compute_mode="donot_use_mm_for_euclid_dist")
        return self.bias.rows.squeeze(-1) - distance

    def _translate(self, users: Tensor, contexts: Tensor) -> Tensor:
        """Return γ_k + t + t_u [B, d]."""
        return self.items(contexts[:, 0]) + self.translation + self.user_translations(users)

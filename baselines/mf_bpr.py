"""MF-BPR: matrix factorization by Bayesian Personalized Ranking (Rendle et al., UAI 2009)."""

from torch import Tensor

from sdmr.datasets.bounds import PositiveInt, check_arguments
from sdmr.harness.training import Embedding, OptimizationConfig, TorchRecommender, takes_arrays


class MFBPR(TorchRecommender):
    """Score a pair by the inner product of two embeddings.

    score = uᵀ v_j (+ b_j), trained by BPR on uniform negatives.

    Departures from the source: Adam replaces its SGD, as for every model of the paper's comparison. The source draws
    one negative; here the highest-scored one of several counts (negatives=hardest). By default there is no item bias,
    since the SDMR paper's formula has none. λ acts on the negatives' rows too; that paper names those of user and
    positive alone. Embeddings start as normal with standard deviation 0.01.
    """

    @check_arguments
    def __init__(
        self,
        dim: PositiveInt = 64,
        item_bias: bool = False,
        optimization: OptimizationConfig = OptimizationConfig(regularization=0.01, negatives="hardest"),
    ) -> None:
        """Set the options.

        Args:
            dim: d, the embedding size.
            item_bias: Whether to add b_j, a bias of the item.
        """
        super().__init__(optimization)
        self.dim, self.item_bias = dim, item_bias

    def build(self, n_users: int, n_items: int) -> None:
        self.users = Embedding(n_users, self.dim, std=0.01)
        self.items = Embedding(n_items, self.dim, std=0.01)
        self.bias = Embedding(n_items, 1, std=0.0) if self.item_bias else None

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        scores = (self.users(users)[:, None] * self.items(candidates)).sum(-1)  # [B, C]
        return scores if self.bias is None else scores + self.bias(candidates).squeeze(-1)

    @takes_arrays
    def score_all(self, users: Tensor, contexts: Tensor) -> Tensor:
        scores = self.users(users) @ self.items.rows.T  # [B, n_items]
        return scores if self.bias is None else scores + self.bias.rows.squeeze(-1)

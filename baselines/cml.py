"""CML: collaborative metric learning (Hsieh et al., WWW 2017)."""

from torch import Tensor

from sdmr.datasets.bounds import PositiveInt, check_arguments
from sdmr.harness.training import Embedding, OptimizationConfig, TorchRecommender, takes_arrays
from sdmr.harness.training.layers import compute_squared_distances


class CML(TorchRecommender):
    """Score a pair by the squared distance of two embeddings.

    score = −‖u − v_j‖²; the rows of both tables are clipped to the unit ball after every step, as in the source. The
    ball bounds squared distances, and so the margins of BPR, by 4; `unit_ball: false` leaves the rows free.

    Departures from the source:
    - BPR replaces its hinge loss with weights by approximate rank, as the paper's comparison asks.
    - λ replaces its covariance regularization, also as the comparison asks.
    - Adam replaces AdaGrad.
    - There are no item features.

    Embeddings start as normal with standard deviation 0.01.
    """

    @check_arguments
    def __init__(
        self,
        dim: PositiveInt = 64,
        unit_ball: bool = True,
        optimization: OptimizationConfig = OptimizationConfig(negatives="hardest"),
    ) -> None:
        """Set the options.

        Args:
            dim: d, the embedding size.
            unit_ball: Whether every embedding stays in the unit ball.
            optimization: How to train.
        """
        super().__init__(optimization)
        self.dim, self.unit_ball = dim, unit_ball

    def build(self, n_users: int, n_items: int) -> None:
        self.users = Embedding(n_users, self.dim, std=0.01, unit_ball=self.unit_ball)
        self.items = Embedding(n_items, self.dim, std=0.01, unit_ball=self.unit_ball)

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        return -(self.users(users)[:, None] - self.items(candidates)).square().sum(-1)  # [B, C]

    @takes_arrays
    def score_all(self, users: Tensor, contexts: Tensor) -> Tensor:
        return -compute_squared_distances(self.users(users), self.items.rows)

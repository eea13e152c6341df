"""SDP, the Signed Distance-based Perceptron (Tran et al., WWW 2019, section 4.1)."""

import torch
from torch import Tensor, nn

from sdmr.datasets.bounds import Fraction, PositiveInt, check_arguments
from sdmr.harness.kernels import gather
from sdmr.harness.training import Dropout, Embedding, OptimizationConfig, TorchRecommender
from sdmr.harness.training.layers import init_he_normal, init_lecun_uniform
from sdmr.models.kernels.autograd import compute_squared_distances, tanh


class SDP(TorchRecommender):
    """Score a pair by a signed distance that a perceptron learns.

    For user u and item j:

    e⁰ = [u; v_j]                                (Eq. 1)
    e^l = tanh(W^l e^(l−1) + b^l), l = 1 … L     (Eq. 2-4)
    e^(L+1) = e^L ⊙ e^L                          (Eq. 5)
    o = w_oᵀ e^(L+1) + b_o, score = −o           (Eq. 6)

    The first layer maps 2d to d, each further one halves. The paper gives no initialization. This is that of the
    authors' code except for the biases, which start at 0. The first layer starts as [I, −I], so that
    e¹ = tanh(u − v_j). The embeddings start as normal with standard deviation 1/d. `sdmr.models.released` has the other
    differences of their code.
    """

    @check_arguments
    def __init__(
        self,
        dim: PositiveInt = 64,
        layers: PositiveInt = 1,
        dropout: Fraction = 0.0,
        optimization: OptimizationConfig = OptimizationConfig(regularization=0.01, negatives="hardest"),
    ) -> None:
        """Set the options.

        Args:
            dim: d, the embedding size.
            layers: L; d must be divisible by 2^(L − 1).
            dropout: The probability of dropout after the first layer, in training; 0 in the paper.
            optimization: How to train.
        """
        super().__init__(optimization)
        if dim % 2 ** (layers - 1):
            raise ValueError(f"SDP needs a dim divisible by 2^(layers − 1), not dim={dim} with layers={layers}")
        self.dim, self.layers, self.dropout = dim, layers, Dropout(dropout)

    def build(self, n_users: int, n_items: int) -> None:
        d = self.dim
        self.users = Embedding(n_users, d, std=1 / d)
        self.items = Embedding(n_items, d, std=1 / d)
        self.first_user = nn.Linear(d, d, bias=False)  # W¹ = [W_user, W_item]
        self.first_item = nn.Linear(d, d)
        further = [nn.Linear(d >> n, d >> (n + 1)) for n in range(self.layers - 1)]
        self.further = nn.ModuleList(further)
        self.output = nn.Linear(d >> (self.layers - 1), 1)
        with torch.no_grad():
            self.first_user.weight.copy_(torch.eye(d))
            self.first_item.weight.copy_(-torch.eye(d))
            self.first_item.bias.zero_()
        for layer in further:
            init_he_normal(layer)
        init_lecun_uniform(self.output)
        # BPR cancels b_o. Its gradient would be rounding noise, which Adam amplifies.
        self.output.bias.requires_grad_(False)

    def compute_distances(self, users: Tensor, candidates: Tensor) -> Tensor:
        """Compute e^(L+1) of Eq. 5: [B, C, d / 2^(L−1)]."""
        user, item, item_index = self._first_layer(users, candidates)
        e = self.dropout(tanh(user[:, None] + gather(item, item_index)))
        for layer in self.further:
            e = tanh(layer(e))
        return self._square(e)

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        if self._uses_kernel:  # the same in less time
            distances = compute_squared_distances(*self._first_layer(users, candidates), self.output.weight[0])
            return -distances - self.output.bias
        return -self.output(self.compute_distances(users, candidates)).squeeze(-1)

    def _first_layer(self, users: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the two summands of W¹e⁰ + b¹ in Eq. 2.

        Returns:
            The users' summand [B, d], the summand of each distinct candidate [n, d], and each candidate's row in the
            latter [B, C].
        """
        (item,) = self.items.project_unique((self.first_item, candidates))
        return self.first_user(self.users(users)), *item

    def _square(self, e: Tensor) -> Tensor:
        """Compute e ⊙ e of Eq. 5."""
        return e.square()

    @property
    def _uses_kernel(self) -> bool:
        """Return whether one compiled function computes the scores now."""
        return self.layers == 1 and not self.dropout.is_on and self.output.weight.device.type == "cpu"

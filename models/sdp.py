"""SDP, the Signed Distance-based Perceptron (Tran et al., WWW 2019, section 4.1)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from sdmr.harness.kernels.rows import gather
from sdmr.harness.training.base import TorchRecommender
from sdmr.harness.training.embedding import Embedding
from sdmr.harness.training.layers import Dropout, init_he_normal, init_lecun_uniform, init_torch_bias
from sdmr.harness.training.optimizer import OptimizationConfig
from sdmr.models.kernels.autograd import squared_distances, tanh
from sdmr.models.variant import AS_RELEASED, Differences, Variant, check_choices, resolve_differences


class SDP(TorchRecommender):
    """A signed distance between user u and item j, learned by a perceptron.

    e⁰ = [u; v_j]                                (Eq. 1)
    e^l = tanh(W^l e^(l−1) + b^l), l = 1 … L     (Eq. 2-4)
    e^(L+1) = e^L ⊙ e^L                          (Eq. 5)
    o = w_oᵀ e^(L+1) + b_o, score = −o           (Eq. 6)

    The first layer maps 2d to d, each further one halves. It starts as [I, −I], so that e¹ = tanh(u − v_j), and the
    embeddings as normal with standard deviation 1/d: the paper gives no initialization, this is the one its authors
    released but for the biases. Otherwise, too, their code differs, which is `variant: released`: see `__init__`.
    """

    DIFFERENCES: ClassVar[Differences] = {
        "distance": ("square", "absolute"),
        "dropout": (0.0, 0.2),
        "dropout_at_test": ("off", "off"),
        "initialization": ("he", "torch"),
        "optimization": (OptimizationConfig(regularization=0.01, negatives="hardest"), AS_RELEASED),
    }

    def __init__(
        self,
        dim: int = 64,
        layers: int = 1,
        variant: Variant = "paper",
        distance: Literal["square", "absolute"] | None = None,
        dropout: float | None = None,
        dropout_at_test: Literal["off", "on"] | None = None,
        initialization: Literal["he", "torch"] | None = None,
        optimization: OptimizationConfig | None = None,
    ) -> None:
        """`dim`: d, the embedding size. `layers`: L ≥ 1; d must be divisible by 2^(L − 1).

        None is the variant's choice (paper | released). `distance`: square | absolute, |e| for e ⊙ e in Eq. 5.
        `dropout`: 0 | 0.2, after the first layer, and not at test (`dropout_at_test`).
        `initialization`: he | torch, the biases start at 0, or as PyTorch makes them. `optimization`: see
        `sdmr.models.variant`.
        """
        choices = resolve_differences(
            self.DIFFERENCES,
            variant,
            distance=distance,
            dropout=dropout,
            dropout_at_test=dropout_at_test,
            initialization=initialization,
            optimization=optimization,
        )
        super().__init__(choices.optimization)
        check_choices(
            self,
            distance=(choices.distance, ("square", "absolute")),
            initialization=(choices.initialization, ("he", "torch")),
        )
        self.variant, self.distance, self.initialization = variant, choices.distance, choices.initialization
        self.dropout = Dropout(choices.dropout, choices.dropout_at_test)
        if layers < 1 or dim % 2 ** (layers - 1):
            raise ValueError(f"SDP needs layers ≥ 1 and a dim divisible by 2^(layers − 1), not {layers} and {dim}")
        self.dim, self.layers = dim, layers

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
        if self.initialization == "torch":
            init_torch_bias(self.first_item, fan_in=2 * d)
            for layer in further:
                init_torch_bias(layer)
        # BPR cancels b_o. What is left of its gradient is rounding noise, which Adam would amplify.
        self.output.bias.requires_grad_(False)

    def _first(self, users: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the two summands of W¹e⁰ + b¹ in Eq. 2.

        Returns:
            The users' summand [B, d], the summand of each distinct candidate [n, d], and each candidate's row in the
            latter [B, C].
        """
        (item,) = self.items.project_unique((self.first_item, candidates))
        return self.first_user(self.users(users)), *item

    def distances(self, users: Tensor, candidates: Tensor) -> Tensor:
        """Compute e^(L+1) of Eq. 5: [B, C, d / 2^(L−1)]."""
        user, item, item_index = self._first(users, candidates)
        e = self.dropout(tanh(user[:, None] + gather(item, item_index)))
        for layer in self.further:
            e = tanh(layer(e))
        return e.square() if self.distance == "square" else e.abs()

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        is_as_in_paper = self.layers == 1 and self.distance == "square" and not self.dropout.is_on
        if is_as_in_paper and self.output.weight.device.type == "cpu":  # the same in less time
            return -squared_distances(*self._first(users, candidates), self.output.weight[0]) - self.output.bias
        return -self.output(self.distances(users, candidates)).squeeze(-1)

"""NeuMF++: neural collaborative filtering (He et al., WWW 2017).

Its two parts, GMF and MLP, are pre-trained and then fused.
"""

import copy
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdmr.datasets.bounds import PositiveInt, check_arguments
from sdmr.harness.kernels import UniqueIndex, gather
from sdmr.harness.training import Embedding, OptimizationConfig, TorchRecommender
from sdmr.harness.training.layers import init_lecun_uniform


class GMF(TorchRecommender):
    """Score a pair by generalized matrix factorization (Eq. 9 of the source).

    score = hᵀ (p_u ⊙ q_j) + b

    Log loss (Eq. 7) on each positive and all its negatives, or BPR, under which b cancels.

    Departures from the source: the loss is a sum and λ acts on the batch's distinct rows, as for every model here. λ
    acts on h, too, which the source does not regularize.
    """

    @check_arguments
    def __init__(
        self,
        dim: PositiveInt = 64,
        objective: Literal["log", "bpr"] = "log",
        optimization: OptimizationConfig = OptimizationConfig(regularization=0.01),
    ) -> None:
        """Set the options.

        Args:
            dim: d, the embedding size.
            objective: "log" as a part of NeuMF, "bpr" as the start of CMN.
            optimization: How to train.
        """
        super().__init__(optimization.validate_for_log_loss() if objective == "log" else optimization)
        self.dim, self.objective = dim, objective

    def build(self, n_users: int, n_items: int) -> None:
        self.product = _Product(n_users, n_items, self.dim)
        self.output = nn.Linear(self.dim, 1)
        init_lecun_uniform(self.output)

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        return self.output(self.product(users, candidates)).squeeze(-1)

    def loss(self, scores: Tensor) -> Tensor:
        return _log_loss(scores) if self.objective == "log" else super().loss(scores)


class MLP(TorchRecommender):
    """Score a pair by a perceptron of X hidden ReLU layers (Eq. 10 of the source).

    score = hᵀ φ_X(… φ_1([p_u; q_j])) + b, trained by log loss.

    Departures from the source: as for GMF.
    """

    @check_arguments
    def __init__(
        self,
        dim: PositiveInt = 64,
        layers: PositiveInt = 2,
        optimization: OptimizationConfig = OptimizationConfig(regularization=0.01),
    ) -> None:
        """Set the options.

        Args:
            dim: d, the size of the last hidden layer.
            layers: X, of sizes d·2^(X−1) … 2d, d; the embeddings are as large as the first one.
            optimization: How to train.
        """
        super().__init__(optimization.validate_for_log_loss())
        self.dim, self.layers = dim, layers

    def build(self, n_users: int, n_items: int) -> None:
        self.tower = _Tower(n_users, n_items, self.dim, self.layers)
        self.output = nn.Linear(self.dim, 1)
        init_lecun_uniform(self.output)

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        return self.output(self.tower(users, candidates)).squeeze(-1)

    def loss(self, scores: Tensor) -> Tensor:
        return _log_loss(scores)


class NeuMF(TorchRecommender):
    """Fuse a trained GMF and a trained MLP, and fine-tune them by log loss (Eq. 12, 13).

    score = hᵀ [φ_GMF; φ_MLP] + b

    Embeddings and layers start as copies of the parts'. The output weights start at half of each part's, and the output
    bias at half of the two biases' sum. At the start, the score is the mean of the two parts' scores. That is a model,
    so the best epoch may be 0.

    Departures from the source: Adam fine-tunes by default; `optimizer: sgd` is the source's choice, since the moments
    of the parts' Adam are lost. The losses are sums, so a learning rate for SGD is not the source's.
    """

    has_fitted_start = True

    def __init__(
        self, gmf: GMF, mlp: MLP, optimization: OptimizationConfig = OptimizationConfig(regularization=0.01)
    ) -> None:
        """Set the options.

        Args:
            gmf: A part to fuse, trained by log loss; it does not change.
            mlp: The other part to fuse; it does not change.
            optimization: How to fine-tune.
        """
        super().__init__(optimization.validate_for_log_loss())
        if gmf.objective != "log":
            raise ValueError(f'NeuMF fuses a GMF with objective "log", not {gmf.objective!r}')
        self.gmf, self.mlp = gmf, mlp

    def build(self, n_users: int, n_items: int) -> None:
        self.product = copy.deepcopy(self.gmf.product).requires_grad_(True)
        self.tower = copy.deepcopy(self.mlp.tower).requires_grad_(True)
        self.output = nn.Linear(self.gmf.dim + self.mlp.dim, 1)
        with torch.no_grad():
            self.output.weight.copy_(torch.cat([self.gmf.output.weight, self.mlp.output.weight], dim=1) / 2)
            self.output.bias.copy_((self.gmf.output.bias + self.mlp.output.bias) / 2)

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        both = torch.cat([self.product(users, candidates), self.tower(users, candidates)], dim=-1)
        return self.output(both).squeeze(-1)

    def loss(self, scores: Tensor) -> Tensor:
        return _log_loss(scores)


class _Product(nn.Module):
    """Compute p_u ⊙ q_j [B, C, d] from users [B] and candidates [B, C]."""

    def __init__(self, n_users: int, n_items: int, dim: int) -> None:
        super().__init__()
        self.users = Embedding(n_users, dim, std=0.01)
        self.items = Embedding(n_items, dim, std=0.01)

    def forward(self, users: Tensor, candidates: Tensor) -> Tensor:
        return self.users(users)[:, None] * self.items(candidates)


class _Tower(nn.Module):
    """Compute φ_X(… φ_1([p_u; q_j])) [B, C, d] from users [B] and candidates [B, C]."""

    def __init__(self, n_users: int, n_items: int, dim: int, layers: int) -> None:
        super().__init__()
        widest = dim << (layers - 1)
        self.users = Embedding(n_users, widest, std=0.01)
        self.items = Embedding(n_items, widest, std=0.01)
        self.unique_index = UniqueIndex(n_items)
        self.first = nn.Linear(2 * widest, widest)
        self.further = nn.ModuleList(nn.Linear(widest >> n, widest >> (n + 1)) for n in range(layers - 1))
        for layer in (self.first, *self.further):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, users: Tensor, candidates: Tensor) -> Tensor:
        # W [p; q] = W_p p + W_q q: the user's half is computed once per instance, the item's once per distinct item.
        user_weight, item_weight = self.first.weight.chunk(2, dim=1)
        user = F.linear(self.users(users), user_weight, self.first.bias)
        distinct, positions = self.unique_index(candidates)
        item = gather(F.linear(self.items(distinct), item_weight), positions)
        hidden = torch.relu(user[:, None] + item)
        for layer in self.further:
            hidden = torch.relu(layer(hidden))
        return hidden


def _log_loss(scores: Tensor) -> Tensor:
    """Compute −Σ log σ(positive) − Σ log (1 − σ(negative)) of Eq. 7.

    `scores` is [B, 1 + n_negatives], the positive first.
    """
    return -F.logsigmoid(scores[:, 0]).sum() - F.logsigmoid(-scores[:, 1:]).sum()

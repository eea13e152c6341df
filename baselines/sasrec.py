"""SASRec: self-attentive sequential recommendation (Kang & McAuley, ICDM 2018)."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdmr.datasets.bounds import Fraction, PositiveInt, check_arguments
from sdmr.harness.training import Embedding, FastDropout, OptimizationConfig, SequenceRecommender


class SASRec(SequenceRecommender):
    """Attend from each item of a history to the items before it.

    x_t = dropout(√d m_t + p_t), m_t the row of the t-th item
    y_t = x_t + dropout(attention of norm(x_t) to norm(x_1) … norm(x_t)), in each block    (Eq. 2-4)
    x_t = y_t + dropout(W₂ dropout(ReLU(W₁ norm(y_t) + b₁)) + b₂)                          (Eq. 5)
    score = norm(x_t)ᵀ m_j                                                                 (Eq. 6)

    The loss of a target with score s, and of its negatives with scores s':

    - bce: −ln σ(s) − Σ ln(1 − σ(s')), the source's with one negative a position           (Eq. 7)
    - ce: −ln of the target's softmax among all items (Klenitskiy & Vasilev, RecSys 2023)
    - sampled: the same among the target and the negatives
    - gbce: −(β ln σ(s) + Σ ln(1 − σ(s'))) / (k + 1) (gSASRec: Petrov & Macdonald, RecSys 2023). k negatives of n items
      are a share α = k / (n − 1), and β = α (calibration (1 − 1/α) + 1/α).

    Departures from the source:
    - Longer histories are cut into several windows. The source learns from the latest items alone.
    - Positions count from the first item of a window, not from its last, so that a short context has the positions that
      short contexts have had in training.
    - √d and the dropout inside the second layer are those of the authors' code. Norms, residuals and biases follow the
      paper. In the code, keys and values are not normalized, the residuals add the normalized input, and query, key and
      value have biases; it also drops attention weights, has .98 as Adam's β₂, and takes the mean loss of a batch. Here
      the loss is a sum, so that a target counts the same in batches of all sizes.
    - Tables start as normal with standard deviation .02, not by Glorot's rule.
    - The source of sampled draws negatives for each user's sequence, that of gbce for each position from all items.
      Here negative_sampling decides for every loss.
    """

    @check_arguments
    def __init__(
        self,
        dim: PositiveInt = 64,
        layers: PositiveInt = 2,
        heads: PositiveInt = 1,
        context_length: PositiveInt = 100,
        dropout: Fraction = 0.4,
        loss: Literal["bce", "ce", "sampled", "gbce"] = "sampled",
        negative_sampling: Literal["position", "batch"] = "batch",
        calibration: Fraction = 0.75,
        optimization: OptimizationConfig = OptimizationConfig(
            learning_rate=0.003, regularization=0.0, batch_size=32, n_negatives=256, epochs=200, patience=20
        ),
    ) -> None:
        """Set the options.

        Args:
            dim: d, the size of embeddings and states.
            layers: The blocks of attention.
            heads: The heads of each; a divisor of dim.
            context_length: The items that a state reads, and a window has.
            dropout: The probability with which training drops an entry.
            loss: What is minimized.
            negative_sampling: Whether each position has negatives of its own, or all of a batch share them.
            calibration: t of gbce, from bce (0) to scores that are probabilities (1).
        """
        super().__init__(optimization.validate_for_log_loss())
        if dim % heads:
            raise ValueError(f"heads={heads} must divide dim={dim}")
        if loss == "ce" and negative_sampling != "batch":
            raise ValueError("negative_sampling has no effect on loss=ce, whose negatives are all items: leave it out")
        self.dim, self.n_blocks, self.heads, self.context_length = dim, layers, heads, context_length
        self.objective, self.calibration = loss, calibration
        self.negative_sampling = "catalog" if loss == "ce" else negative_sampling
        self.dropout = FastDropout(dropout)

    def build(self, n_users: int, n_items: int) -> None:
        self.items = Embedding(n_items, self.dim, std=0.02, padding=True)
        self.positions = nn.Parameter(0.02 * torch.randn(self.context_length, self.dim))
        self.blocks = nn.ModuleList(Block(self.dim, self.heads, self.dropout) for _ in range(self.n_blocks))
        self.norm = nn.LayerNorm(self.dim)

    def encode(self, items: Tensor) -> Tensor:
        x = self.dropout(self.items(items) * self.dim**0.5 + self.positions[: items.shape[1]])
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def loss(self, scores: Tensor) -> Tensor:
        if self.objective in ("ce", "sampled"):
            return F.cross_entropy(scores, scores.new_zeros(len(scores), dtype=torch.int64), reduction="sum")
        positive, negatives = F.softplus(-scores[:, 0]).sum(), F.softplus(scores[:, 1:]).sum()
        if self.objective == "bce":
            return positive + negatives
        n_negatives = self.optimization.n_negatives
        share = min(n_negatives / (self.padding - 1), 1.0)
        beta = share * (self.calibration * (1 - 1 / share) + 1 / share)
        return (beta * positive + negatives) / (n_negatives + 1)


class Block(nn.Module):
    """Apply attention to the earlier positions, then two layers to each position."""

    def __init__(self, dim: int, heads: int, dropout: FastDropout) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.attention_norm, self.layer_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = nn.Linear(dim, 3 * dim, bias=False)  # W^Q, W^K and W^V
        self.first, self.second = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.attention(self.attention_norm(x)).unflatten(-1, (3, self.heads, -1))  # [B, W, 3, heads, d / heads]
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind()
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        y = x + self.dropout(attended.transpose(1, 2).flatten(2))
        return y + self.dropout(self.second(self.dropout(F.relu(self.first(self.layer_norm(y))))))

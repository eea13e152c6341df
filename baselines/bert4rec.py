"""BERT4Rec: bidirectional attention, trained to fill gaps (Sun et al., CIKM 2019)."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from sdmr.datasets.bounds import Fraction, PositiveInt, check_arguments
from sdmr.datasets.interactions import IntArray
from sdmr.harness.training import Embedding, FastDropout, OptimizationConfig, SequenceRecommender

_LAST_ONLY = 1 / 11  # of the windows, as in the authors' data: ten copies with random gaps, and one of this sort


class BERT4Rec(SequenceRecommender):
    """Attend from each position to all others, and predict the items that are masked.

    x_t = dropout(m_t + p_t), m_t the row of the t-th item, or of the mask
    y_t = norm(x_t + dropout(W_o attention of x_t to x_1 … x_n)), in each block               (Eq. 1-4)
    x_t = norm(y_t + dropout(W₂ GELU(W₁ y_t + b₁) + b₂)), W₁ with 4d rows                     (Eq. 3, 5)
    score = GELU(W x_t + b)ᵀ m_j, t a masked position                                         (Eq. 7)

    In training a share of the items is masked, or only the last item of a window. The loss is the sum of −ln of their
    softmax, among all items or among themselves and negatives (Eq. 8). To score, a mask follows the context.

    Departures from the source:
    - Windows of a long history do not overlap; those of the authors' code overlap by half on ML-1M. Each item is masked
      with probability ρ; the code masks round(ρ n) of n.
    - As in the paper's equations, no norm follows the sum of embeddings, nor the last GELU; the code has both.
    - The loss is a sum over a batch's targets, not their mean, so that a target counts the same in any batch.
    - The learning rate is constant, .001 by default. The authors' code warms up to .0001, falls to 0 again, clips
      gradients at norm 5, and lets weights decay by .01.
    - Attention weights have no dropout, and items no bias. λ is that of all models here, 0 by default.
    """

    is_causal = False

    @check_arguments
    def __init__(
        self,
        dim: PositiveInt = 64,
        layers: PositiveInt = 2,
        heads: PositiveInt = 2,
        context_length: PositiveInt = 100,
        dropout: Fraction = 0.1,
        mask_share: Fraction = 0.2,
        negative_sampling: Literal["batch", "catalog"] = "catalog",
        optimization: OptimizationConfig = OptimizationConfig(
            regularization=0.0, batch_size=32, n_negatives=256, epochs=400, patience=40
        ),
    ) -> None:
        """Set the options.

        Args:
            dim: d, the size of embeddings and states.
            layers: The blocks of attention.
            heads: The heads of each; a divisor of dim.
            context_length: The items before the mask, and of a window less one.
            dropout: The probability with which training drops an entry.
            mask_share: ρ, the share of the items that training masks.
            negative_sampling: Whether the softmax is among all items, or negatives that a batch shares.
        """
        super().__init__(optimization.validate_for_log_loss())
        if dim % heads:
            raise ValueError(f"heads={heads} must divide dim={dim}")
        self.dim, self.n_blocks, self.heads, self.context_length = dim, layers, heads, context_length
        self.mask_share, self.negative_sampling, self.dropout = mask_share, negative_sampling, FastDropout(dropout)

    def build(self, n_users: int, n_items: int) -> None:
        self.items = Embedding(n_items, self.dim, std=0.02, padding=True)
        self.mask = nn.Parameter(0.02 * torch.randn(self.dim))
        self.positions = nn.Parameter(0.02 * torch.randn(self.context_length + 1, self.dim))
        self.blocks = nn.ModuleList(Block(self.dim, self.heads, self.dropout) for _ in range(self.n_blocks))
        self.output = nn.Linear(self.dim, self.dim)

    def encode(self, items: Tensor) -> Tensor:
        """Return a state after each of items [B, W]; n_items + 1 is the mask."""
        x = self.items(items.clamp(max=self.padding)) + (items > self.padding)[..., None] * self.mask
        x, is_item = self.dropout(x + self.positions[: items.shape[1]]), items != self.padding
        for block in self.blocks:
            x = block(x, is_item)
        return F.gelu(self.output(x))

    def choose_targets(self, windows: IntArray, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Return which items are masked: a random share, or the last one alone."""
        is_item = windows != self.padding
        is_target: NDArray[np.bool_] = is_item & (rng.random(windows.shape) < self.mask_share)
        rows = np.flatnonzero((rng.random(len(windows)) < _LAST_ONLY) | ~is_target.any(axis=1))
        is_target[rows] = False
        is_target[rows, is_item[rows].sum(axis=1) - 1] = True
        return is_target

    def encode_targets(self, windows: Tensor, is_target: Tensor) -> Tensor:
        return self.encode(windows.masked_fill(is_target, self.padding + 1))[is_target]

    def encode_contexts(self, items: Tensor, lengths: Tensor) -> Tensor:
        last = torch.arange(len(items), device=items.device), lengths
        items = F.pad(items, (0, 1), value=self.padding).index_put(last, items.new_tensor(self.padding + 1))
        return self.encode(items)[last]

    def loss(self, scores: Tensor) -> Tensor:
        return F.cross_entropy(scores, scores.new_zeros(len(scores), dtype=torch.int64), reduction="sum")


class Block(nn.Module):
    """Apply attention to all positions, then two layers to each; normalize after both."""

    def __init__(self, dim: int, heads: int, dropout: FastDropout) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.attention, self.joined = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)  # query, key and value; W_o
        self.first, self.second = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        self.attention_norm, self.layer_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(self, x: Tensor, is_item: Tensor) -> Tensor:
        parts = self.attention(x).unflatten(-1, (3, self.heads, -1))  # [B, W, 3, heads, d / heads]
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind()
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=is_item[:, None, None])
        y = self.attention_norm(x + self.dropout(self.joined(attended.transpose(1, 2).flatten(2))))
        return self.layer_norm(y + self.dropout(self.second(F.gelu(self.first(y)))))

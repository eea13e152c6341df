"""GRU4Rec: recurrent units over a history (Hidasi et al., ICLR 2016)."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdmr.datasets.bounds import Fraction, PositiveInt, check_arguments
from sdmr.harness.training import Embedding, FastDropout, OptimizationConfig, SequenceRecommender


class GRU4Rec(SequenceRecommender):
    """Read a history item by item into the state of gated recurrent units.

    r = σ(W_r m_t + U_r h_{t−1} + b_r), z = σ(W_z m_t + U_z h_{t−1} + b_z), m_t the row of the t-th item
    n = tanh(W_n m_t + b_n + r ∘ (U_n h_{t−1} + c_n)), h_t = (1 − z) ∘ n + z ∘ h_{t−1}
    score = dropout(h_t)ᵀ m_j

    The loss is the cross-entropy of the next item: −ln of its softmax among all items, or among itself and negatives.

    Departures from the source:
    - A history is one session, cut into windows; each starts from the state 0.
    - Items have one table, as in the source's constrained embeddings, and no bias.
    - Negatives are drawn uniformly, not from the other targets of the batch, and none is hardest: the loss is neither
      TOP1 nor BPR-max. Adam replaces Adagrad. Cross-entropy is that of Hidasi & Karatzoglou (CIKM 2018).
    - U_n acts before r does, as in PyTorch's compiled units.
    """

    @check_arguments
    def __init__(
        self,
        dim: PositiveInt = 64,
        layers: PositiveInt = 1,
        context_length: PositiveInt = 100,
        dropout: Fraction = 0.4,
        negative_sampling: Literal["batch", "catalog"] = "catalog",
        optimization: OptimizationConfig = OptimizationConfig(
            learning_rate=0.003, regularization=0.0, batch_size=32, n_negatives=256, epochs=200, patience=20
        ),
    ) -> None:
        """Set the options.

        Args:
            dim: d, the size of embeddings and states.
            layers: The recurrent layers.
            context_length: The items that a state reads, and a window has.
            dropout: The probability with which training drops an entry of embeddings and states.
            negative_sampling: Whether the softmax is among all items, or negatives that a batch shares.
        """
        super().__init__(optimization.validate_for_log_loss())
        self.dim, self.n_layers, self.context_length = dim, layers, context_length
        self.negative_sampling, self.dropout = negative_sampling, FastDropout(dropout)

    def build(self, n_users: int, n_items: int) -> None:
        self.items = Embedding(n_items, self.dim, std=self.dim**-0.5, padding=True)
        self.units = nn.GRU(self.dim, self.dim, self.n_layers, batch_first=True)

    def encode(self, items: Tensor) -> Tensor:
        return self.dropout(self.units(self.dropout(self.items(items)))[0])

    def loss(self, scores: Tensor) -> Tensor:
        return F.cross_entropy(scores, scores.new_zeros(len(scores), dtype=torch.int64), reduction="sum")

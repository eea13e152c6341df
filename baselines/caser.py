"""Caser, convolutional sequence embedding (Tang & Wang, WSDM 2018)."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdmr.baselines.kernels.caser import compute_gradients
from sdmr.datasets.bounds import Fraction, PositiveInt, check_arguments
from sdmr.harness.training import Dropout, Embedding, OptimizationConfig, TorchRecommender
from sdmr.harness.training.layers import draw_mask


class Caser(TorchRecommender):
    """Read the L latest items as an image of L × d, by convolutions.

    horizontal: n_h filters of each height 1 … L and width d, ReLU, maximum over time    (Eq. 4-6)
    vertical:   n_v filters of height L and width 1                                      (Eq. 7-9)
    z = ReLU(W dropout([õ; o]) + b)                                                      (Eq. 10)
    score = W'_jᵀ [z; P_u] + b'_j                                                        (Eq. 11)

    The log loss averages positives and negatives separately and multiplies by the positives of the batch: a positive
    weighs as much as its negatives together. W', b' are another table than the items' embeddings.

    Departures from the source:
    - Instances have one target (T = 1), since every model here has the same instances.
    - The embedding of the padding stays 0.
    - λ acts on the batch's distinct rows.

    Initialization is that of the authors' PyTorch code. Embeddings are normal with standard deviation 1/d, W' with
    1/2d, and b' is 0. Convolutions and the layer W have PyTorch's default.
    """

    @check_arguments
    def __init__(
        self,
        dim: PositiveInt = 64,
        context_length: PositiveInt = 5,
        horizontal: PositiveInt = 16,
        vertical: PositiveInt = 4,
        dropout: Fraction = 0.5,
        dropout_at_test: Literal["off", "on"] = "off",
        optimization: OptimizationConfig = OptimizationConfig(),
    ) -> None:
        """Set the options.

        Args:
            dim: d, the embedding size.
            context_length: L, the items before the target.
            horizontal: n_h, the filters of each height.
            vertical: n_v, the vertical filters.
            dropout: The probability with which training drops an entry of [õ; o].
            dropout_at_test: Whether scoring drops entries, too.
        """
        super().__init__(optimization.validate_for_log_loss())
        self.dim, self.context_length, self.dropout = dim, context_length, Dropout(dropout, dropout_at_test)
        self.n_horizontal, self.n_vertical = horizontal, vertical

    def build(self, n_users: int, n_items: int) -> None:
        d, length = self.dim, self.context_length
        self.users = Embedding(n_users, d, std=1 / d)  # P
        self.items = Embedding(n_items, d, std=1 / d, padding=True)
        # A filter of height h is a layer on h concatenated items. On a CPU this is faster than nn.Conv1d.
        self.horizontal = nn.ModuleList(nn.Linear(h * d, self.n_horizontal) for h in range(1, length + 1))
        self.vertical = nn.Linear(length, self.n_vertical)
        self.hidden = nn.Linear(self.n_vertical * d + self.n_horizontal * length, d)  # W, b
        self.output = Embedding(n_items, 2 * d, std=1 / (2 * d))  # W'
        self.output_bias = Embedding(n_items, 1, std=0.0)  # b'

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        image = self.items(contexts)  # [B, L, d]
        vertical = self.vertical(image.transpose(1, 2)).flatten(1)  # [B, d · n_v]
        rows = image.flatten(1)
        windows = [rows.unfold(1, h * self.dim, self.dim) for h in range(1, self.context_length + 1)]  # [B, L−h+1, h·d]
        # The maximum over time before ReLU, not after: the same value for less work.
        horizontal = [torch.relu(layer(w).amax(dim=1)) for layer, w in zip(self.horizontal, windows, strict=True)]
        convolved = self.dropout(torch.cat([vertical, *horizontal], dim=1))
        z = torch.relu(self.hidden(convolved))
        x = torch.cat([z, self.users(users)], dim=1)  # [B, 2d]
        return (self.output(candidates) @ x[:, :, None]).squeeze(2) + self.output_bias(candidates).squeeze(2)

    def compute_gradients(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> float:
        """Compute what autograd would leave for `forward`, in less time."""
        if users.device.type != "cpu" or type(self).forward is not Caser.forward:
            return super().compute_gradients(users, contexts, candidates)
        rows = self.items(contexts), self.users(users), self.output(candidates), self.output_bias(candidates)
        image, p, w, bias = (each.detach() for each in rows)
        mask, factor = draw_mask(len(users), self.hidden.in_features, self.dropout.p)
        layers = [self.vertical, self.hidden, *self.horizontal]
        parameters = [(layer.weight.detach(), layer.bias.detach()) for layer in layers]
        loss, grad_rows, grad_layers = compute_gradients(
            self.compute_score_gradients, mask, factor, image, p, w, bias, parameters
        )
        torch.autograd.backward(rows, grad_rows)
        for layer, (grad_weight, grad_bias) in zip(layers, grad_layers, strict=True):
            layer.weight.grad, layer.bias.grad = grad_weight, grad_bias
        return loss

    def loss(self, scores: Tensor) -> Tensor:
        positive, negative = scores[:, 0], scores[:, 1:]
        return len(scores) * (-F.logsigmoid(positive).mean() - F.logsigmoid(-negative).mean())

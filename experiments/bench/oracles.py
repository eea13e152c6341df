"""SDP and SDM from their equations as they stand: the oracles that the fast ones are measured against.

They are fair ones: batched PyTorch and its autograd, no loops over instances, candidates or context items. But every W
is whole and is applied to a concatenation, for each candidate and context item, and in each hop anew. Parameters,
training loop and ranking are those of the models themselves.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdmr.models.sdm import SDM
from sdmr.models.sdp import SDP


class LiteralSDP(SDP):
    """Eq. 1-6."""

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        e = _beside(self.users(users)[:, None], self.items(candidates))  # [B, C, 2d]
        e = torch.tanh(_whole(e, self.first_user, self.first_item))
        for layer in self.further:
            e = torch.tanh(layer(e))
        return -self.output(e * e).squeeze(-1)


class LiteralSDM(SDM):
    """Eq. 7-18."""

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        is_padding = contexts == self.items_in.num_embeddings - 1
        is_padding[:, -1] &= ~is_padding.all(dim=1)  # an empty context: one zero embedding, which padding is
        query = _beside(self.users_in(users)[:, None], self.items_in(candidates))  # [B, C, 2d]
        q = torch.tanh(_whole(query, self.a_user, self.a_item))  # [B, C, d]
        query = _beside(self.users_out(users)[:, None], self.items_out(candidates))
        p = torch.tanh(_whole(query, self.b_user, self.b_item))
        inputs, outputs = self.items_in(contexts)[:, None], self.items_out(contexts)[:, None]  # [B, 1, s, d]
        for hop in range(self.hops):
            near = torch.tanh(_whole(_beside(q[:, :, None], inputs), self.c_query, self.c_context))  # [B, C, s, d]
            z = near.square().sum(-1).masked_fill(is_padding[:, None], torch.inf)
            a = torch.softmax(-z, dim=-1)  # [B, C, s]
            value = torch.tanh(_whole(_beside(p[:, :, None], outputs), self.d_query, self.d_context)).square()
            e = (a[..., None] * value).sum(2)  # [B, C, d]
            if hop + 1 < self.hops:
                g = torch.sigmoid(self.gate(q))
                q = (1 - g) * e + g * q
        return -self.output(e).squeeze(-1)


def _beside(x: Tensor, y: Tensor) -> Tensor:
    """[x; y] of every pair, where the shapes broadcast."""
    return torch.cat(torch.broadcast_tensors(x, y), dim=-1)


def _whole(x: Tensor, first: nn.Linear, second: nn.Linear) -> Tensor:
    """W x + b of a layer that is kept in two halves."""
    return F.linear(x, torch.cat([first.weight, second.weight], dim=1), second.bias)

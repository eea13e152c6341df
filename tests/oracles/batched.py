"""Score by batched PyTorch, from the equations of SDP and SDM as they are printed.

`sdmr bench` times the models against these fair oracles: they use autograd, and no loops over instances, candidates or
context items. But every W is one matrix and is applied to a concatenation, for each candidate and context item, and in
each hop anew. Parameters, training loop and ranking are those of the models.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdmr.models.sdm import SDM
from sdmr.models.sdp import SDP


class LiteralSDP(SDP):
    """Compute Eq. 1-6."""

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        e = concatenate(self.users(users)[:, None], self.items(candidates))  # [B, C, 2d]
        e = torch.tanh(apply_halves(e, self.first_user, self.first_item))
        for layer in self.further:
            e = torch.tanh(layer(e))
        return -self.output(e * e).squeeze(-1)


class LiteralSDM(SDM):
    """Compute Eq. 7-18."""

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        is_padding = contexts == self.items_in.num_embeddings - 1
        is_padding[:, -1] &= ~is_padding.all(dim=1)  # an empty context: one zero embedding, which padding is
        query = concatenate(self.users_in(users)[:, None], self.items_in(candidates))  # [B, C, 2d]
        q = torch.tanh(apply_halves(query, self.a_user, self.a_item))  # [B, C, d]
        query = concatenate(self.users_out(users)[:, None], self.items_out(candidates))
        p = torch.tanh(apply_halves(query, self.b_user, self.b_item))
        inputs, outputs = self.items_in(contexts)[:, None], self.items_out(contexts)[:, None]  # [B, 1, s, d]
        for hop in range(self.hops):
            near = apply_halves(concatenate(q[:, :, None], inputs), self.c_query, self.c_context)  # [B, C, s, d]
            z = torch.tanh(near).square().sum(-1).masked_fill(is_padding[:, None], torch.inf)
            a = torch.softmax(-z, dim=-1)  # [B, C, s]
            value = apply_halves(concatenate(p[:, :, None], outputs), self.d_query, self.d_context)
            value = torch.tanh(value).square()
            e = (a[..., None] * value).sum(2)  # [B, C, d]
            if hop + 1 < self.hops:
                g = torch.sigmoid(self.gate(q))
                q = (1 - g) * e + g * q
        return -self.output(e).squeeze(-1)


def concatenate(x: Tensor, y: Tensor) -> Tensor:
    """Return [x; y] of every pair, where the shapes broadcast."""
    return torch.cat(torch.broadcast_tensors(x, y), dim=-1)


def join_halves(first: nn.Linear, second: nn.Linear) -> tuple[Tensor, Tensor]:
    """Join a layer that is stored as two halves: W [d, 2d] and b [d]."""
    return torch.cat([first.weight, second.weight], dim=1), second.bias


def apply_halves(x: Tensor, first: nn.Linear, second: nn.Linear) -> Tensor:
    """Return W x + b of such a layer."""
    return F.linear(x, *join_halves(first, second))

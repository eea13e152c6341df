"""Models as one writes them in plain PyTorch: nn.Embedding, autograd and torch.optim.Adam.

`sdmr bench` times the suite's models against them.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PlainMFBPR(nn.Module):
    """Score by uᵀ v_j."""

    context_length = 0

    def __init__(self, n_users: int, n_items: int, dim: int = 64) -> None:
        super().__init__()
        self.users, self.items = nn.Embedding(n_users, dim), nn.Embedding(n_items, dim)
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=0.01)

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        return torch.einsum("bd,bcd->bc", self.users(users), self.items(candidates))


class PlainTransRec(nn.Module):
    """Score by β_j − ‖γ_k + t + t_u − γ_j‖², k the last item, or padding."""

    context_length = 1

    def __init__(self, n_users: int, n_items: int, dim: int = 64) -> None:
        super().__init__()
        self.items = nn.Embedding(n_items + 1, dim, padding_idx=n_items)
        self.translations, self.bias = nn.Embedding(n_users, dim), nn.Embedding(n_items, 1)
        self.translation = nn.Parameter(torch.zeros(dim))
        nn.init.normal_(self.items.weight[:-1].detach(), std=0.01)
        for table in (self.translations, self.bias):
            nn.init.zeros_(table.weight)

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        origin = self.items(contexts[:, 0]) + self.translation + self.translations(users)
        return self.bias(candidates).squeeze(-1) - (origin[:, None] - self.items(candidates)).square().sum(-1)


MODELS = {"mf-bpr": PlainMFBPR, "transrec": PlainTransRec}


class PlainSteps:
    """Train by BPR on the highest-scored negative, and by dense Adam."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.adam = model, torch.optim.Adam(model.parameters(), lr=0.001)

    def run(self, batches: Iterable[list[Tensor]]) -> None:
        """Train on each batch of users, contexts and candidates, the positive first."""
        for batch in batches:
            scores = self.model(*batch)
            self.adam.zero_grad()
            F.softplus(scores[:, 1:].amax(1) - scores[:, 0]).sum().backward()
            self.adam.step()

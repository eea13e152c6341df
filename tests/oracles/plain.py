"""Models as one writes them in plain PyTorch: nn.Embedding, autograd and torch.optim.Adam.

`sdmr bench` times the suite's models against them.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdmr.datasets.task import Training
from sdmr.harness.training.sequence import cut_windows


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


class PlainSASRec(nn.Module):
    """Train on every position of windows by nn.TransformerEncoder, and a softmax of the target and shared negatives."""

    def __init__(self, n_items: int, dim: int, length: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.items, self.positions = nn.Embedding(n_items + 1, dim, padding_idx=n_items), nn.Embedding(length, dim)
        nn.init.normal_(self.items.weight[:-1].detach(), std=dim**-0.5)
        layer = nn.TransformerEncoderLayer(dim, heads, dim, dropout, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, nn.LayerNorm(dim), enable_nested_tensor=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, items: Tensor) -> Tensor:
        """Return the states [B, W, d] after items [B, W], padded on the right."""
        x = self.items(items) * self.items.embedding_dim**0.5 + self.positions.weight[: items.shape[1]]
        mask = nn.Transformer.generate_square_subsequent_mask(items.shape[1])
        return self.encoder(self.dropout(x), mask=mask, is_causal=True)


class PlainSASRecEpoch:
    """Train a plain SASRec on the windows of the suite's, all padded to one length."""

    def __init__(self, model: PlainSASRec, training: Training, batch_size: int, n_negatives: int) -> None:
        self.model, self.adam = model, torch.optim.Adam(model.parameters(), lr=0.001)
        self.batch_size, self.n_negatives, self.padding = batch_size, n_negatives, training.n_items
        length = model.positions.num_embeddings
        contexts, (_, first, size) = training.instances.contexts, cut_windows(training.instances, length)
        columns = np.arange(length + 1)
        items = np.append(contexts.items, training.n_items)
        index = np.where(columns < size[:, None], first[:, None] + columns, len(contexts.items))
        self.windows = torch.from_numpy(items[index])

    def run(self) -> float:
        """Train for an epoch, and return the loss."""
        self.model.train()
        total = 0.0
        for windows in self.windows[torch.randperm(len(self.windows))].split(self.batch_size):
            loss = self.compute_loss(windows, torch.randperm(self.padding)[: self.n_negatives])
            self.adam.zero_grad()
            loss.backward()
            self.adam.step()
            total += loss.item()
        return total

    def compute_loss(self, windows: Tensor, negatives: Tensor) -> Tensor:
        """Return the sum of −ln of each target's softmax, among itself and the negatives."""
        targets = windows[:, 1:]
        is_target = targets != self.padding
        states, target = self.model(windows[:, :-1])[is_target], targets[is_target]
        others = (states @ self.model.items(negatives).T).masked_fill(negatives == target[:, None], -torch.inf)
        positive = (states * self.model.items(target)).sum(-1, keepdim=True)
        scores = torch.cat([positive, others], 1)
        return F.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.int64), reduction="sum")

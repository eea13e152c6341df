"""CMN's attention over the neighbours of an item: ragged, in plain PyTorch, and compiled for the CPU.

Nothing of the size of all neighbours × d is made on the CPU, and the gradient is computed for those pairs alone that
have one: of a BPR loss with the hardest of four negatives, two in five.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sdmr.harness.loops import call, compiled


@dataclass(frozen=True, eq=False)
class Near:
    """The neighbours of P pairs (user, item), E entries: pair after pair, by ascending user."""

    first: Tensor  # [P + 1] where a pair's entries begin
    row: Tensor  # [E] the neighbour, as its place in `rows`
    rows: Tensor  # [R] the distinct users, ascending

    @property
    def pair(self) -> Tensor:
        """[E] the pair of each entry."""
        return torch.arange(len(self.first) - 1, device=self.first.device).repeat_interleave(self.first.diff())


def neighbours(users: Tensor, items: Tensor, taken_by: Tensor, first: Tensor, n_users: int) -> Near:
    """The users who took each item, less the pair's own.

    `users` and `items` [P], a user −1 if nobody is to be left out; `taken_by` [n_training] the users of one item after
    the other, each item's ascending, `first` [n_items + 1] where an item's begin.
    """
    pairs, taken = (users.cpu().numpy(), items.cpu().numpy()), (taken_by.cpu().numpy(), first.cpu().numpy())
    arrays = _neighbours(*pairs, *taken, n_users)
    return Near(*(torch.from_numpy(each).to(users.device) for each in arrays))


def attend(z: Tensor, memory: Tensor, external: Tensor, near: Near) -> tuple[Tensor, Tensor]:
    """o = Σ_v p_v c_v [P, d] and p = softmax(zᵀ m_v) [E] over each pair's entries; o is 0 where it has none.

    From z [P, d], m and c of the distinct users, `memory` and `external` [R, d]. p is not differentiable.
    """
    if z.device.type != "cpu":
        return _attend_in_torch(z, memory, external, near)
    o, p = _Attend.apply(z, memory, external, near.first, near.row)
    return o, p


def _attend_in_torch(z: Tensor, memory: Tensor, external: Tensor, near: Near) -> tuple[Tensor, Tensor]:
    pair, row = near.pair, near.row
    q = (z[pair] * memory[row]).sum(1)
    largest = q.new_zeros(len(z)).scatter_reduce(0, pair, q.detach(), "amax", include_self=False)
    p = (q - largest[pair]).exp()
    p = p / p.new_zeros(len(z)).index_add(0, pair, p)[pair]
    return torch.zeros_like(z).index_add(0, pair, p[:, None] * external[row]), p.detach()


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, z: Tensor, memory: Tensor, external: Tensor, first: Tensor, row: Tensor
    ) -> tuple[Tensor, Tensor]:
        starts, ends = first[:-1], first[1:]
        o, p = call(_attend, len(row) * z.shape[1], z, starts, ends, shared=(row, memory, external))
        ctx.save_for_backward(z, o, starts, ends, row, p, memory, external)
        ctx.mark_non_differentiable(p)
        return o, p

    @staticmethod
    def backward(ctx: Any, of_o: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        return *call(_attend_backward, 0, of_o, *ctx.saved_tensors), None, None


@compiled
def _neighbours(users, items, taken_by, first, n_users):  # type: ignore[no-untyped-def]
    most = 0
    for j in items:
        most += first[j + 1] - first[j]
    row, starts, n = np.empty(most, taken_by.dtype), np.zeros(len(items) + 1, first.dtype), 0
    place = np.zeros(n_users, taken_by.dtype)  # first 1 for those who are there, then their place in `rows`
    for i in range(len(items)):
        for k in range(first[items[i]], first[items[i] + 1]):
            if taken_by[k] != users[i]:
                row[n] = taken_by[k]
                place[row[n]] = 1
                n += 1
        starts[i + 1] = n
    rows = np.flatnonzero(place).astype(taken_by.dtype)
    for r in range(len(rows)):
        place[rows[r]] = r
    for k in range(n):
        row[k] = place[row[k]]
    return starts, row[:n], rows


# A block of rows of `memory` and `external` at a time, for all pairs, whose entries ascend: the block and its gradient
# stay in the cache, where a pair's neighbours in all of a large table would not. Loops are over indices: only these are
# vectorised.
_BLOCK = 1 << 15  # numbers of each table


@compiled
def _attend(z, starts, ends, row, memory, external):  # type: ignore[no-untyped-def]
    n, dim = z.shape
    block, zero = max(_BLOCK // dim, 1), z.dtype.type(0)
    shift = starts[0] if n else 0
    o, p = np.zeros_like(z), np.empty(ends[-1] - shift if n else 0, z.dtype)
    at = starts.copy()
    for end in range(block, len(memory) + block, block):
        for i in range(n):
            while at[i] < ends[i] and row[at[i]] < end:
                q, v = zero, row[at[i]]
                for d in range(dim):
                    q += z[i, d] * memory[v, d]
                p[at[i] - shift] = q
                at[i] += 1
    for i in range(n):
        weights = p[starts[i] - shift : ends[i] - shift]
        if len(weights):
            weights[:] = np.exp(weights - weights.max())
            weights /= weights.sum()
    at[:] = starts
    for end in range(block, len(memory) + block, block):
        for i in range(n):
            while at[i] < ends[i] and row[at[i]] < end:
                weight, v = p[at[i] - shift], row[at[i]]
                for d in range(dim):
                    o[i, d] += weight * external[v, d]
                at[i] += 1
    return o, p


@compiled
def _attend_backward(of_o, z, o, starts, ends, row, p, memory, external):  # type: ignore[no-untyped-def]
    """of_x is the loss's gradient by x. The softmax's is of_q = p (of_p − Σ p of_p), and Σ p of_p = of_oᵀ o."""
    n, dim = z.shape
    block, zero = max(_BLOCK // dim, 1), z.dtype.type(0)
    of_z, of_memory, of_external = np.zeros_like(z), np.zeros_like(memory), np.zeros_like(external)
    mean, at = np.zeros(n, z.dtype), starts.copy()
    for i in range(n):
        has_gradient = False
        for d in range(dim):
            mean[i] += of_o[i, d] * o[i, d]
            has_gradient |= of_o[i, d] != 0  # NaN included
        if not has_gradient:
            at[i] = ends[i]
    for end in range(block, len(memory) + block, block):
        for i in range(n):
            while at[i] < ends[i] and row[at[i]] < end:
                of_p, v, weight = zero, row[at[i]], p[at[i]]
                for d in range(dim):
                    of_p += of_o[i, d] * external[v, d]
                of_q = weight * (of_p - mean[i])
                for d in range(dim):
                    of_z[i, d] += of_q * memory[v, d]
                    of_memory[v, d] += of_q * z[i, d]
                    of_external[v, d] += weight * of_o[i, d]
                at[i] += 1
    return of_z, of_memory, of_external

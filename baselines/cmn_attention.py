"""Attend to the ragged neighborhoods of items, for CMN.

PyTorch's operations do the work or, on the CPU, compiled loops. The loops make no tensor of all neighbors × d. Only
pairs with a nonzero gradient take part in the backward pass: a BPR loss on the hardest of four negatives leaves two of
five.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sdmr.harness.kernels import compiled, run_loop


@dataclass(frozen=True, eq=False)
class Neighborhoods:
    """The neighbors of P pairs (user, item): E entries, pair after pair, by ascending user."""

    offsets: Tensor  # [P + 1] where a pair's entries begin
    row: Tensor  # [E] the neighbor, as an index into `users`
    users: Tensor  # [R] the distinct users, ascending

    @property
    def pair(self) -> Tensor:
        """Return the pair of each entry, [E]."""
        return torch.arange(len(self.offsets) - 1, device=self.offsets.device).repeat_interleave(self.offsets.diff())


def find_neighborhoods(
    users: Tensor, items: Tensor, item_users: Tensor, item_offsets: Tensor, n_users: int
) -> Neighborhoods:
    """Find the training users of each pair's item, without the pair's user.

    Args:
        users: [P]; −1 to leave out nobody.
        items: [P].
        item_users: [n_training], the users of one item after the other, each item's ascending.
        item_offsets: [n_items + 1], where an item's users begin.
        n_users: The number of users in all.
    """
    pairs = users.cpu().numpy(), items.cpu().numpy()
    arrays = _find_neighborhoods(*pairs, item_users.cpu().numpy(), item_offsets.cpu().numpy(), n_users)
    return Neighborhoods(*(torch.from_numpy(array).to(users.device) for array in arrays))


def attend(z: Tensor, memory: Tensor, external: Tensor, neighborhoods: Neighborhoods) -> tuple[Tensor, Tensor]:
    """Compute o = Σ_v p_v c_v and p = softmax(zᵀ m_v) over each pair's neighbors.

    Args:
        z: [P, d].
        memory: m of the distinct users, [R, d].
        external: c of the distinct users, [R, d].
        neighborhoods: The neighbors of the P pairs.

    Returns:
        o [P, d], 0 where a pair has no neighbor, and p [E], which is not differentiable.
    """
    if z.device.type != "cpu":
        return _attend_in_torch(z, memory, external, neighborhoods)
    return _Attend.apply(z, memory, external, neighborhoods.offsets, neighborhoods.row)


def _attend_in_torch(
    z: Tensor, memory: Tensor, external: Tensor, neighborhoods: Neighborhoods
) -> tuple[Tensor, Tensor]:
    pair, row = neighborhoods.pair, neighborhoods.row
    q = (z[pair] * memory[row]).sum(1)
    max_q = q.new_zeros(len(z)).scatter_reduce(0, pair, q.detach(), "amax", include_self=False)
    p = (q - max_q[pair]).exp()
    p = p / p.new_zeros(len(z)).index_add(0, pair, p)[pair]
    return torch.zeros_like(z).index_add(0, pair, p[:, None] * external[row]), p.detach()


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, z: Tensor, memory: Tensor, external: Tensor, offsets: Tensor, row: Tensor
    ) -> tuple[Tensor, Tensor]:
        starts, ends = offsets[:-1], offsets[1:]
        o, p = run_loop(_attend, len(row) * z.shape[1], z, starts, ends, shared=(row, memory, external))
        ctx.save_for_backward(z, o, starts, ends, row, p, memory, external)
        ctx.mark_non_differentiable(p)
        return o, p

    @staticmethod
    def backward(ctx: Any, grad_o: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        return *run_loop(_attend_backward, 0, grad_o, *ctx.saved_tensors), None, None


@compiled
def _find_neighborhoods(users, items, item_users, item_offsets, n_users):  # type: ignore[no-untyped-def]
    max_entries = 0
    for j in items:
        max_entries += item_offsets[j + 1] - item_offsets[j]
    row, offsets, n = np.empty(max_entries, item_users.dtype), np.zeros(len(items) + 1, item_offsets.dtype), 0
    user_index = np.zeros(n_users, item_users.dtype)  # first 1 for every neighbor, then its index in `distinct`
    for i in range(len(items)):
        for k in range(item_offsets[items[i]], item_offsets[items[i] + 1]):
            if item_users[k] != users[i]:
                row[n] = item_users[k]
                user_index[row[n]] = 1
                n += 1
        offsets[i + 1] = n
    distinct = np.flatnonzero(user_index).astype(item_users.dtype)
    for r in range(len(distinct)):
        user_index[distinct[r]] = r
    for k in range(n):
        row[k] = user_index[row[k]]
    return offsets, row[:n], distinct


# The loops take a block of rows of `memory` and `external` at a time, for all pairs, whose entries ascend. So the block
# and its gradient stay in the cache; a pair's neighbors in all of a large table would not. Loops run over indices:
# Numba vectorizes only these.
_BLOCK = 1 << 15  # entries of each table


@compiled
def _attend(z, starts, ends, row, memory, external):  # type: ignore[no-untyped-def]
    n, dim = z.shape
    block, zero = max(_BLOCK // dim, 1), z.dtype.type(0)
    shift = starts[0] if n else 0
    o, p = np.zeros_like(z), np.empty(ends[-1] - shift if n else 0, z.dtype)
    cursor = starts.copy()
    for end in range(block, len(memory) + block, block):
        for i in range(n):
            while cursor[i] < ends[i] and row[cursor[i]] < end:
                q, v = zero, row[cursor[i]]
                for d in range(dim):
                    q += z[i, d] * memory[v, d]
                p[cursor[i] - shift] = q
                cursor[i] += 1
    for i in range(n):
        weights = p[starts[i] - shift : ends[i] - shift]
        if len(weights):
            weights[:] = np.exp(weights - weights.max())
            weights /= weights.sum()
    cursor[:] = starts
    for end in range(block, len(memory) + block, block):
        for i in range(n):
            while cursor[i] < ends[i] and row[cursor[i]] < end:
                weight, v = p[cursor[i] - shift], row[cursor[i]]
                for d in range(dim):
                    o[i, d] += weight * external[v, d]
                cursor[i] += 1
    return o, p


@compiled
def _attend_backward(grad_o, z, o, starts, ends, row, p, memory, external):  # type: ignore[no-untyped-def]
    """Compute the gradients of o with respect to z, memory and external.

    `grad_x` is the gradient of the loss with respect to x. The softmax has grad_q = p (grad_p − Σ p grad_p), and
    Σ p grad_p = grad_oᵀ o.
    """
    n, dim = z.shape
    block, zero = max(_BLOCK // dim, 1), z.dtype.type(0)
    grad_z, grad_memory, grad_external = np.zeros_like(z), np.zeros_like(memory), np.zeros_like(external)
    mean, cursor = np.zeros(n, z.dtype), starts.copy()
    for i in range(n):
        has_gradient = False
        for d in range(dim):
            mean[i] += grad_o[i, d] * o[i, d]
            has_gradient |= grad_o[i, d] != 0  # NaN included
        if not has_gradient:
            cursor[i] = ends[i]
    for end in range(block, len(memory) + block, block):
        for i in range(n):
            while cursor[i] < ends[i] and row[cursor[i]] < end:
                grad_p, v, weight = zero, row[cursor[i]], p[cursor[i]]
                for d in range(dim):
                    grad_p += grad_o[i, d] * external[v, d]
                grad_q = weight * (grad_p - mean[i])
                for d in range(dim):
                    grad_z[i, d] += grad_q * memory[v, d]
                    grad_memory[v, d] += grad_q * z[i, d]
                    grad_external[v, d] += weight * grad_o[i, d]
                cursor[i] += 1
    return grad_z, grad_memory, grad_external

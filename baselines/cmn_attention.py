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
        work = len(row) * z.shape[1] // 2
        (q,) = run_loop(_compute_q, work, z, starts, ends, shared=(row, memory))
        p = q.exp_()  # which PyTorch computes several at a time
        (o,) = run_loop(_sum_external, work, starts, ends, shared=(row, p, external))
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
# and its gradient stay in the cache; a pair's neighbors in all of a large table would not. They take four neighbors at
# a time, so that what belongs to the pair is read and written once for four. Loops run over indices: Numba vectorizes
# only these.
_BLOCK = 1 << 15  # entries of each table, in the backward pass; twice as many fit in the forward pass, which reads one


@compiled
def _compute_q(z, starts, ends, row, memory):  # type: ignore[no-untyped-def]
    """Compute zᵀ m_v, less the pair's maximum."""
    n, dim = z.shape
    block, zero = max(2 * _BLOCK // dim, 1), z.dtype.type(0)
    shift = starts[0] if n else 0
    q, cursor = np.empty(ends[-1] - shift if n else 0, z.dtype), starts.copy()
    for end in range(block, len(memory) + block, block):
        for i in range(n):
            k, last = cursor[i], ends[i]
            while k + 4 <= last and row[k + 3] < end:
                v0, v1, v2, v3 = row[k], row[k + 1], row[k + 2], row[k + 3]
                q0 = q1 = q2 = q3 = zero
                for d in range(dim):
                    q0 += z[i, d] * memory[v0, d]
                    q1 += z[i, d] * memory[v1, d]
                    q2 += z[i, d] * memory[v2, d]
                    q3 += z[i, d] * memory[v3, d]
                q[k - shift], q[k + 1 - shift], q[k + 2 - shift], q[k + 3 - shift] = q0, q1, q2, q3
                k += 4
            while k < last and row[k] < end:
                q0, v0 = zero, row[k]
                for d in range(dim):
                    q0 += z[i, d] * memory[v0, d]
                q[k - shift] = q0
                k += 1
            cursor[i] = k
    for i in range(n):
        logits = q[starts[i] - shift : ends[i] - shift]
        if len(logits):
            logits -= logits.max()
    return (q,)


@compiled
def _sum_external(starts, ends, row, p, external):  # type: ignore[no-untyped-def]
    """Divide p by its sum over a pair, and compute o = Σ_v p_v c_v."""
    n, dim = len(starts), external.shape[1]
    block, o, cursor = max(2 * _BLOCK // dim, 1), np.zeros((n, dim), p.dtype), starts.copy()
    for i in range(n):
        weights = p[starts[i] : ends[i]]
        if len(weights):
            weights /= weights.sum()
    for end in range(block, len(external) + block, block):
        for i in range(n):
            k, last = cursor[i], ends[i]
            while k + 4 <= last and row[k + 3] < end:
                v0, v1, v2, v3 = row[k], row[k + 1], row[k + 2], row[k + 3]
                p0, p1, p2, p3 = p[k], p[k + 1], p[k + 2], p[k + 3]
                for d in range(dim):
                    o[i, d] += (
                        p0 * external[v0, d] + p1 * external[v1, d] + (p2 * external[v2, d] + p3 * external[v3, d])
                    )
                k += 4
            while k < last and row[k] < end:
                p0, v0 = p[k], row[k]
                for d in range(dim):
                    o[i, d] += p0 * external[v0, d]
                k += 1
            cursor[i] = k
    return (o,)


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
            k, last = cursor[i], ends[i]
            while k + 4 <= last and row[k + 3] < end:
                v0, v1, v2, v3 = row[k], row[k + 1], row[k + 2], row[k + 3]
                p0, p1, p2, p3 = p[k], p[k + 1], p[k + 2], p[k + 3]
                g0 = g1 = g2 = g3 = zero  # grad_p, then grad_q
                for d in range(dim):
                    g0 += grad_o[i, d] * external[v0, d]
                    g1 += grad_o[i, d] * external[v1, d]
                    g2 += grad_o[i, d] * external[v2, d]
                    g3 += grad_o[i, d] * external[v3, d]
                g0, g1, g2, g3 = p0 * (g0 - mean[i]), p1 * (g1 - mean[i]), p2 * (g2 - mean[i]), p3 * (g3 - mean[i])
                for d in range(dim):
                    grad_z[i, d] += g0 * memory[v0, d] + g1 * memory[v1, d] + (g2 * memory[v2, d] + g3 * memory[v3, d])
                for d in range(dim):
                    grad_memory[v0, d] += g0 * z[i, d]
                    grad_memory[v1, d] += g1 * z[i, d]
                    grad_memory[v2, d] += g2 * z[i, d]
                    grad_memory[v3, d] += g3 * z[i, d]
                for d in range(dim):
                    grad_external[v0, d] += p0 * grad_o[i, d]
                    grad_external[v1, d] += p1 * grad_o[i, d]
                    grad_external[v2, d] += p2 * grad_o[i, d]
                    grad_external[v3, d] += p3 * grad_o[i, d]
                k += 4
            while k < last and row[k] < end:
                g0, v0, p0 = zero, row[k], p[k]
                for d in range(dim):
                    g0 += grad_o[i, d] * external[v0, d]
                g0 = p0 * (g0 - mean[i])
                for d in range(dim):
                    grad_z[i, d] += g0 * memory[v0, d]
                    grad_memory[v0, d] += g0 * z[i, d]
                    grad_external[v0, d] += p0 * grad_o[i, d]
                k += 1
            cursor[i] = k
    return grad_z, grad_memory, grad_external

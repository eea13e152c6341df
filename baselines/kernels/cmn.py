"""Attend to neighbors, and compute CMN's loss and all its gradients, on a CPU.

PyTorch computes the products of layers; compiled loops pass over the neighbors, user by user. A user's rows stay in the
processor's registers while a loop passes over the pairs that the user is a neighbor of. For this the number of columns
is a constant of the loop, and the arrays of its arguments share no memory.

P pairs of user and item have E neighbors in all, who are R distinct users. The pairs are in T parts, one a thread. A
part lists its neighbors by user: `offsets` [T, R + 1] says where a user's entries begin, `pair` [E] is that of each.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sdmr.harness.kernels import compiled_disjoint, run_blocks

Array = NDArray[Any]
Layer = tuple[Tensor, Tensor]  # weight and bias


def attend(
    offsets: Tensor, pair: Tensor, z: Tensor, memory: Tensor, external: Tensor, p: Tensor, scale: Tensor
) -> Tensor:
    """Return o = Σ_v p_v c_v [P, d]; fill `p` [E] and `scale` [P].

    The softmax of zᵀ m_v is p times the pair's scale. z is [P, d]; m and c are [R, d].
    """
    o, total, loops = torch.zeros_like(z), torch.zeros_like(scale), _make_loops(z.shape[1])
    parts = [(part,) for part in offsets.numpy()]
    _run(loops.compute_q, parts, pair, z, memory, p, torch.full_like(scale, -torch.inf))
    p.exp_()  # several at a time, as a compiled loop could not
    _run(loops.sum_external, parts, pair, p, external, o, total)
    scale.copy_(torch.where(total == 0, 0, 1 / total))  # 0 without neighbors
    return o.mul_(scale[:, None])


def compute_gradients(
    compute_loss: Callable[[Array], tuple[float, Array]],
    offsets: Tensor,
    pair: Tensor,
    rows: Sequence[Tensor],
    output: Tensor,
    layers: Sequence[Layer],
) -> tuple[float, list[Tensor], Tensor, list[Layer]]:
    """Compute CMN's loss, and its gradients with respect to rows of tables and to layers.

    Only pairs with a nonzero gradient take part in the backward pass: a BPR loss on the hardest of four negatives
    leaves two of five.

    Args:
        compute_loss: Returns the loss of scores [B, C] and its gradient.
        offsets: See above.
        pair: See above; pair b · C + c is candidate c of instance b.
        rows: m and c of the neighbors [R, d], m of the users [B, d], e of the candidates [B, C, d].
        output: v, [1, d].
        layers: Weight and bias of U, and of W_h of each further hop.

    Returns:
        The loss, the gradients of the rows, that of v, and those of the layers.
    """
    memory, external, users, candidates = rows
    (weight, bias), *further = layers
    user, item = users.repeat_interleave(candidates.shape[1], dim=0), candidates.flatten(0, 1)
    p, scales = memory.new_empty(len(layers), len(pair)), memory.new_empty(len(layers), len(user))
    z = [user + item]
    o = [attend(offsets, pair, z[0], memory, external, p[0], scales[0])]
    for hop, layer in enumerate(further, start=1):
        z.append(torch.addmm(o[-1] + layer[1], z[-1], layer[0].T).relu_())
        o.append(attend(offsets, pair, z[-1], memory, external, p[hop], scales[hop]))
    inputs = torch.cat([user * item, o[-1]], dim=1)
    hidden = torch.addmm(bias, inputs, weight.T).relu_()
    loss, grad_scores = compute_loss((hidden @ output[0]).view(candidates.shape[:2]).numpy())

    grad_score = torch.from_numpy(grad_scores).flatten()
    active = grad_score.nonzero().flatten()  # NaN included
    positions = torch.full_like(grad_score, -1, dtype=torch.int32)
    positions[active] = torch.arange(len(active), dtype=torch.int32)
    room = [[np.zeros(part.shape, np.int32), *np.empty((2, part[-1] - part[0]), np.int32)] for part in offsets.numpy()]
    _run(_select_entries, [(part, *lists) for part, lists in zip(offsets.numpy(), room, strict=True)], pair, positions)
    select = partial(torch.index_select, dim=0, index=active)
    grad_score, user, item, inputs, hidden = map(select, (grad_score, user, item, inputs, hidden))
    z, o = list(map(select, z)), list(map(select, o))
    grad_hidden = torch.where(hidden > 0, grad_score[:, None] * output, 0)
    grad_product, grad_o = (grad_hidden @ weight).chunk(2, dim=1)
    grad_hops: list[Layer] = []
    grad_z, loop = torch.zeros_like(user), _make_loops(user.shape[1]).attend_backward
    grad_tables = [np.zeros((len(room), *table.shape), table.numpy().dtype) for table in (memory, external)]
    for hop in reversed(range(len(layers))):
        blocks = [(*lists, *grads) for lists, *grads in zip(room, *grad_tables, strict=True)]
        grad_o = grad_o * scales[hop, active][:, None]
        _run(loop, blocks, p[hop], grad_o, (grad_o * o[hop]).sum(1), z[hop], memory, external, grad_z)
        if hop:
            grad_o = torch.where(z[hop] > 0, grad_z, 0)
            grad_hops.insert(0, (grad_o.T @ z[hop - 1], grad_o.sum(0)))
            grad_z = grad_o @ further[hop - 1][0]
    grad_user, grad_item = (
        torch.zeros_like(candidates).flatten(0, 1).index_copy_(0, active, grad_product * factor + grad_z)
        for factor in (item, user)
    )
    grad_memory, grad_external = (torch.from_numpy(sum(table[1:], table[0])) for table in grad_tables)
    grad_rows = [grad_memory, grad_external, grad_user.view_as(candidates).sum(1), grad_item.view_as(candidates)]
    grad_layers = [(grad_hidden.T @ inputs, grad_hidden.sum(0)), *grad_hops]
    return loss, grad_rows, (grad_score @ hidden)[None], grad_layers


def _run(loop: Callable[..., Any], blocks: Sequence[Sequence[Any]], *shared: Tensor) -> list[Any]:
    """Call a loop with each block and what all share, a thread a block."""
    arrays = [tensor.contiguous().numpy() for tensor in shared]
    return run_blocks(lambda *block: loop(*block, *arrays), *blocks)


def find_neighbors(
    users: Array, items: Array, item_users: Array, item_offsets: Array, n_users: int, n_parts: int
) -> tuple[Array, Array, Array]:
    """Find the neighbors in all, and the pairs of each.

    Args:
        users: [P]; the user to leave out of a pair's neighbors, −1 for nobody.
        items: [P].
        item_users: The users of one item after the other.
        item_offsets: [n_items + 1], where an item's users begin.
        n_users: The number of users in all.
        n_parts: T.

    Returns:
        The distinct users [R], ascending, `offsets`, and `pair`.
    """
    sizes = item_offsets[items + 1] - item_offsets[items]
    # Pairs with many neighbors come first in the list of every user, so that their rows stay in the cache.
    parts = [part[np.argsort(-sizes[part], kind="stable")] for part in np.array_split(np.arange(len(items)), n_parts)]
    shared, counts = (users, items, item_users, item_offsets), np.zeros((n_parts, n_users), np.int32)
    blocks = list(zip(parts, counts, strict=True))
    run_blocks(lambda part, count: _count_pairs(part, count, *shared), *blocks)
    distinct = np.flatnonzero(counts.any(axis=0))
    offsets = np.zeros((n_parts, len(distinct) + 1), np.int32)
    offsets[:, 1:] = counts[:, distinct].cumsum(axis=1)
    offsets[1:] += offsets[:-1, -1].cumsum()[:, None]
    counts[:, distinct] = offsets[:, :-1]
    pair = np.empty(offsets[-1, -1], np.int32)
    run_blocks(lambda part, starts: _list_pairs(part, starts, *shared, pair), *blocks)
    return distinct, offsets, pair


@compiled_disjoint
def _count_pairs(part, counts, users, items, item_users, item_offsets):  # type: ignore[no-untyped-def]
    """Count the pairs of a part that each user is a neighbor of."""
    for i in part:
        u = users[i]
        for v in item_users[item_offsets[items[i]] : item_offsets[items[i] + 1]]:
            counts[v] += v != u


@compiled_disjoint
def _list_pairs(part, next_entries, users, items, item_users, item_offsets, pair):  # type: ignore[no-untyped-def]
    """Fill the part's entries, from where each user's begin."""
    for i in part:
        u = users[i]
        for v in item_users[item_offsets[items[i]] : item_offsets[items[i] + 1]]:
            if v != u:
                pair[next_entries[v]] = i
                next_entries[v] += 1


@compiled_disjoint
def _select_entries(offsets, new_offsets, new_pair, entries, pair, positions):  # type: ignore[no-untyped-def]
    """List a part's entries of active pairs alone.

    Args:
        offsets: [R + 1] of the part, as are `new_offsets`.
        positions: [P], the new number of each pair; −1 if it is not active.
    """
    n = 0
    for v in range(len(offsets) - 1):
        for k in range(offsets[v], offsets[v + 1]):
            position = positions[pair[k]]
            new_pair[n], entries[n] = position, k
            n += position >= 0  # else the next entry takes its room
        new_offsets[v + 1] = n


class _Loops(NamedTuple):
    compute_q: Callable[..., None]
    sum_external: Callable[..., None]
    attend_backward: Callable[..., None]


@cache
def _make_loops(dim: int) -> _Loops:
    """Make the loops over rows of `dim` numbers."""

    @compiled_disjoint
    def compute_q(offsets, pair, z, memory, q, max_q):  # type: ignore[no-untyped-def]
        """Fill q with zᵀ m_v, less the pair's maximum."""
        for v in range(len(memory)):
            for k in range(offsets[v], offsets[v + 1]):
                product = z.dtype.type(0)
                for d in range(dim):
                    product += z[pair[k], d] * memory[v, d]
                q[k] = product
        for k in range(offsets[0], offsets[-1]):
            max_q[pair[k]] = max(max_q[pair[k]], q[k])
        for k in range(offsets[0], offsets[-1]):
            q[k] -= max_q[pair[k]]

    @compiled_disjoint
    def sum_external(offsets, pair, p, external, o, total):  # type: ignore[no-untyped-def]
        """Add Σ_v p_v c_v to o, and Σ_v p_v to the total, of each pair."""
        for v in range(len(external)):
            for k in range(offsets[v], offsets[v + 1]):
                total[pair[k]] += p[k]
                for d in range(dim):
                    o[pair[k], d] += p[k] * external[v, d]

    @compiled_disjoint
    def attend_backward(  # type: ignore[no-untyped-def]
        offsets, pair, entries, grad_memory, grad_external, p, grad_o, mean, z, memory, external, grad_z
    ):
        """Add to the gradients of o with respect to memory, external and z.

        `grad_x` is the gradient of the loss with respect to x. The softmax has grad_q = p (grad_p − Σ p grad_p), and
        the mean, Σ p grad_p, is grad_oᵀ o. Here grad_o and the mean are times the scale that p lacks.
        """
        for v in range(len(memory)):
            for k in range(offsets[v], offsets[v + 1]):
                i, weight, grad_q = pair[k], p[entries[k]], z.dtype.type(0)
                for d in range(dim):
                    grad_q += grad_o[i, d] * external[v, d]
                grad_q = weight * (grad_q - mean[i])
                for d in range(dim):
                    grad_memory[v, d] += grad_q * z[i, d]
                    grad_external[v, d] += weight * grad_o[i, d]
                    grad_z[i, d] += grad_q * memory[v, d]

    return _Loops(compute_q, sum_external, attend_backward)

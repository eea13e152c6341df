"""Attend to the ragged neighborhoods of items, for CMN.

PyTorch's operations do the work or, on the CPU where no gradient is asked for, compiled loops.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sdmr.baselines.kernels import cmn as kernels
from sdmr.harness.kernels import count_threads


@dataclass(frozen=True, eq=False)
class Neighborhoods:
    """The neighbors of P pairs (user, item), E entries in all.

    The pairs are in T parts. A part's entries are ordered by user.
    """

    users: Tensor  # [R] the distinct users, ascending
    offsets: Tensor  # [T, R + 1] where a user's entries begin
    pair: Tensor  # [E] the pair of each entry

    @property
    def row(self) -> Tensor:
        """Return the neighbor of each entry, as an index into `users`, [E]."""
        rows = torch.arange(len(self.users), device=self.users.device).repeat(len(self.offsets))
        return rows.repeat_interleave(self.offsets.diff().flatten())


def find_neighborhoods(
    users: Tensor, items: Tensor, item_users: Tensor, item_offsets: Tensor, n_users: int, dim: int
) -> Neighborhoods:
    """Find the training users of each pair's item, without the pair's user.

    Args:
        users: [P]; −1 to leave out nobody.
        items: [P].
        item_users: [n_training], the users of one item after the other.
        item_offsets: [n_items + 1], where an item's users begin.
        n_users: The number of users in all.
        dim: d, which decides with the number of neighbors on the number of threads.
    """
    left_out, pair_items, neighbors, offsets = (ids.cpu().numpy() for ids in (users, items, item_users, item_offsets))
    n_parts = count_threads(int(np.diff(offsets)[pair_items].sum()) * dim // 2)
    arrays = kernels.find_neighbors(left_out, pair_items, neighbors, offsets, n_users, n_parts)
    return Neighborhoods(*(torch.from_numpy(array).to(users.device) for array in arrays))


def attend(z: Tensor, memory: Tensor, external: Tensor, neighborhoods: Neighborhoods) -> tuple[Tensor, Tensor]:
    """Compute o = Σ_v p_v c_v and p = softmax(zᵀ m_v) over each pair's neighbors.

    Args:
        z: [P, d].
        memory: m of the distinct users, [R, d].
        external: c of the distinct users, [R, d].
        neighborhoods: The neighbors of the P pairs.

    Returns:
        o [P, d], 0 where a pair has no neighbor, and p [E], which has no gradient.
    """
    if z.device.type != "cpu" or z.requires_grad:
        return _attend_in_torch(z, memory, external, neighborhoods)
    p, scale = z.new_empty(len(neighborhoods.pair)), z.new_empty(len(z))
    o = kernels.attend(neighborhoods.offsets, neighborhoods.pair, z, memory, external, p, scale)
    return o, p.mul_(scale[neighborhoods.pair])


def _attend_in_torch(
    z: Tensor, memory: Tensor, external: Tensor, neighborhoods: Neighborhoods
) -> tuple[Tensor, Tensor]:
    pair, row = neighborhoods.pair, neighborhoods.row
    q = (z[pair] * memory[row]).sum(1)
    max_q = q.new_zeros(len(z)).scatter_reduce(0, pair.long(), q.detach(), "amax", include_self=False)
    p = (q - max_q[pair]).exp()
    p = p / p.new_zeros(len(z)).index_add(0, pair, p)[pair]
    return torch.zeros_like(z).index_add(0, pair, p[:, None] * external[row]), p.detach()

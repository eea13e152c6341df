"""CMN++: the Collaborative Memory Network (Ebesu, Shen & Fang, SIGIR 2018), started from GMF."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.neumf import GMF
from datasets.task import Training
from harness.embedding import Embedding
from harness.initialise import he_normal
from harness.optimiser import Optimisation
from harness.training import TorchRecommender

MOST_ENTRIES = 1 << 22  # (user, item, neighbour) triples in memory at once; a triple takes about 50 bytes

warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")


class CMN(TorchRecommender):
    """User u attends, in one to four hops, to the neighbours of item j: N(j), the users who took j in training.

    z¹ = m_u + e_j
    q_v = zᵀ m_v, p = softmax(q) over v ∈ N(j)               (Eq. 1, 2)
    o = Σ_v p_v c_v                                          (Eq. 3)
    z' = ReLU(W_h z + o + b_h), W_h and b_h of each hop      (Eq. 6)
    score = vᵀ ReLU(U [m_u ⊙ e_j; o] + b), o of the last hop (Eq. 4)

    Trained by BPR. m and e start as half of the tables of a GMF, trained first; o = 0 if N(j) is empty. The whole of
    N(j) is attended to, never a sample of it.

    Departures from the source: *u is left out of N(j)*, in training and in scoring. There, a training positive's
    neighbourhood holds u and a negative's does not, so that u's presence gives the label away; `keep_self` imitates
    that. Adam in place of RMSProp with clipped gradients, λ on the batch's distinct rows as well as on weights, losses
    as sums, as for every model here. Its pre-trained GMF has a ReLU on the score, which ours has not: it would tie
    every candidate of a negative score and stop their gradient.
    """

    def __init__(
        self,
        gmf: GMF,
        hops: int = 2,
        keep_self: bool = False,
        optimisation: Optimisation = Optimisation(regularisation=0.01, negatives="hardest"),
    ) -> None:
        """`gmf`: the start of m and e; its size is d, and it is trained by BPR, as in the source. `hops`: H ≥ 1.

        `keep_self`: leave u in N(j), as the source does.
        """
        super().__init__(optimisation)
        if hops < 1:
            raise ValueError(f"CMN needs hops ≥ 1, not {hops}")
        if gmf.objective != "bpr":
            raise ValueError(f'CMN starts from a GMF with objective "bpr", not {gmf.objective!r}')
        self.gmf, self.hops, self.keep_self = gmf, hops, keep_self
        # N(j) for every item, one after the other; not in the parameters, since its size is the data's.
        self.register_buffer("first", torch.zeros(1, dtype=torch.int64), persistent=False)  # [n_items + 1]
        self.register_buffer("neighbours", torch.zeros(0, dtype=torch.int64), persistent=False)  # [n_training]

    def fit(self, training: Training) -> None:
        self.read(training.matrix)
        super().fit(training)

    def read(self, matrix: csr_matrix) -> None:
        """Take every N(j) from a matrix [n_users, n_items] of the interactions that may be attended to."""
        by_item = matrix.tocsc()
        by_item.sort_indices()
        self.first = torch.from_numpy(by_item.indptr).long()
        self.neighbours = torch.from_numpy(by_item.indices).long()

    def get_extra_state(self) -> dict[str, Tensor]:
        """The neighbourhoods: what a saved CMN must hold beside its parameters."""
        return {"first": self.first, "neighbours": self.neighbours}

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        self.first, self.neighbours = state["first"], state["neighbours"]

    def build(self, n_users: int, n_items: int) -> None:
        d = self.gmf.dim
        self.memory = Embedding(n_users, d, std=0.01)  # m
        self.items = Embedding(n_items, d, std=0.01)  # e
        self.external = Embedding(n_users, d, std=0.01)  # c
        with torch.no_grad():
            self.memory.weight.copy_(self.gmf.product.users.weight / 2)
            self.items.weight.copy_(self.gmf.product.items.weight / 2)
        further = [nn.Linear(d, d) for _ in range(self.hops - 1)]
        for layer in further:
            he_normal(layer)
            nn.init.ones_(layer.bias)  # so that ReLU fires
        self.further = nn.ModuleList(further)  # W_h, b_h
        self.hidden = nn.Linear(2 * d, d)  # U, b
        he_normal(self.hidden)
        self.output = nn.Linear(d, 1, bias=False)  # v
        nn.init.xavier_uniform_(self.output.weight)

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        scores = [self._hops(*block)[0] for block in self._blocks(users, candidates)]
        return torch.cat(scores).view_as(candidates)

    def attention(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        """p of every hop: [H, B, C, n_users], zero outside N(j). It is dense, and so meant for few pairs."""
        n_users = self.memory.num_embeddings
        dense = self.memory.weight.new_zeros(self.hops, candidates.numel(), n_users)
        done = 0
        for block in self._blocks(users, candidates):
            _, attention, near = self._hops(*block)
            dense[:, done + near.pair, near.rows[near.row]] = torch.stack(attention)
            done += len(block[0])
        return dense.view(self.hops, *candidates.shape, -1)

    def _blocks(self, users: Tensor, candidates: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """The pairs of users [B] and candidates [B, C], in order, in blocks of about MOST_ENTRIES neighbours."""
        pair_users, pair_items = users.repeat_interleave(candidates.shape[1]), candidates.flatten()
        ends = (self.first[pair_items + 1] - self.first[pair_items]).cumsum(0)
        sizes = torch.bincount(ends // MOST_ENTRIES).tolist()
        blocks = zip(pair_users.split(sizes), pair_items.split(sizes), strict=True)
        return (block for block in blocks if len(block[0]))

    def _hops(self, users: Tensor, items: Tensor) -> tuple[Tensor, list[Tensor], _Near]:
        """Scores [P] of P pairs, the attention of every hop ([E] each), and the entries that it is over."""
        near = self._near(users, items)
        memory, external = self.memory(near.rows), self.external(near.rows)
        user, item = self.memory(users), self.items(items)  # [P, d]
        z = user + item
        o, p = _Attend.apply(z, memory, external, near)
        attention = [p]
        for layer in self.further:
            z = torch.relu(layer(z) + o)
            o, p = _Attend.apply(z, memory, external, near)
            attention.append(p)
        hidden = torch.relu(self.hidden(torch.cat([user * item, o], dim=1)))
        return self.output(hidden).squeeze(1), attention, near

    def _near(self, users: Tensor, items: Tensor) -> _Near:
        """The neighbours of P pairs: N(j) for each, without u unless `keep_self`."""
        count = self.first[items + 1] - self.first[items]
        pair = torch.arange(len(items), device=items.device).repeat_interleave(count)
        shift = self.first[items] - (count.cumsum(0) - count)  # from a place among the entries to one in `neighbours`
        # index_select and masked_select: on one-dimensional tensors, several times faster than indexing by brackets.
        place = shift.index_select(0, pair) + torch.arange(len(pair), device=pair.device)
        neighbour = self.neighbours.index_select(0, place)
        if not self.keep_self:
            is_other = neighbour != users.index_select(0, pair)
            pair, neighbour = pair.masked_select(is_other), neighbour.masked_select(is_other)
        present = torch.bincount(neighbour, minlength=self.memory.num_embeddings) > 0
        row_of_user = present.cumsum(0) - 1
        row = row_of_user.index_select(0, neighbour)
        return _Near(_ends(pair, len(items)), pair, row, present.nonzero().squeeze(1))


@dataclass(frozen=True, eq=False)
class _Near:
    """The neighbours of P pairs (user, item), ragged: E entries, pair after pair, by ascending user.

    The entries are the pattern of a sparse matrix, pairs × distinct users. Nothing of size [E, d] is ever made: a
    product of two dense matrices is taken at the entries alone, and a weighted sum is a sparse matrix times a dense
    one.
    """

    first: Tensor  # [P + 1] where a pair's entries begin
    pair: Tensor  # [E]
    row: Tensor  # [E] the neighbour's place in `rows`
    rows: Tensor  # [R] the distinct users

    @cached_property
    def _by_row(self) -> tuple[Tensor, Tensor]:
        """Where a row's entries begin [R + 1], and the entries in the order of their rows [E]."""
        return _ends(self.row, len(self.rows)), torch.argsort(self.row, stable=True)

    def products(self, x: Tensor, y: Tensor) -> Tensor:
        """x_pairᵀ y_row of every entry, [E], from x [P, d] and y [R, d]."""
        zeros = torch.zeros(len(self.pair), dtype=x.dtype, device=x.device)
        pattern = torch.sparse_csr_tensor(self.first, self.row, zeros, (len(x), len(y)), check_invariants=False)
        return torch.sparse.sampled_addmm(pattern, x, y.T).values()

    def softmax(self, q: Tensor) -> Tensor:
        """[E] softmax of q [E] over each pair's entries."""
        largest = torch.segment_reduce(q, "max", offsets=self.first)
        p = (q - largest.index_select(0, self.pair)).exp_()
        total = torch.segment_reduce(p, "sum", offsets=self.first)
        return p.div_(total.index_select(0, self.pair))

    def sum_by_pair(self, weights: Tensor, y: Tensor) -> Tensor:
        """Σ weights · y_row over each pair's entries: [P, d] from weights [E] and y [R, d]."""
        return _bags(self.row, y, self.first, weights)

    def sum_by_row(self, weights: Tensor, x: Tensor) -> Tensor:
        """Σ weights · x_pair over each row's entries: [R, d] from weights [E] and x [P, d]."""
        first, order = self._by_row
        return _bags(self.pair.index_select(0, order), x, first, weights.index_select(0, order))


class _Attend(torch.autograd.Function):
    """p = softmax(zᵀ m), o = Σ p c and its gradient: (o [P, d], p [E]) from z [P, d], m [R, d] and c [R, d]."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, m: Tensor, c: Tensor, near: _Near) -> tuple[Tensor, Tensor]:
        p = near.softmax(near.products(z, m))
        o = near.sum_by_pair(p, c)
        ctx.near = near
        ctx.save_for_backward(z, m, c, p, o)
        ctx.mark_non_differentiable(p)
        return o, p

    @staticmethod
    def backward(ctx: Any, do: Tensor, _: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        near: _Near = ctx.near
        z, m, c, p, o = ctx.saved_tensors
        # The softmax's gradient is p (dp − Σ p dp), and Σ p dp = doᵀ Σ p c = doᵀ o.
        dq = p * (near.products(do, c) - (do * o).sum(1).index_select(0, near.pair))
        return near.sum_by_pair(dq, m), near.sum_by_row(dq, z), near.sum_by_row(p, do), None


def _ends(group: Tensor, number: int) -> Tensor:
    """[number + 1]: how many entries belong to groups below each; `group` [E] holds numbers below `number`."""
    return F.pad(torch.bincount(group, minlength=number).cumsum(0), (1, 0))


def _bags(columns: Tensor, table: Tensor, first: Tensor, weights: Tensor) -> Tensor:
    """Sparse times dense: row i is Σ weights · table[columns] over the entries first[i] … first[i + 1] − 1."""
    return F.embedding_bag(columns, table, first, mode="sum", per_sample_weights=weights, include_last_offset=True)

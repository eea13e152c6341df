"""CMN++: the Collaborative Memory Network (Ebesu, Shen & Fang, SIGIR 2018), started from GMF."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from sdmr.baselines.cmn_attention import Near, attend, neighbours
from sdmr.baselines.neumf import GMF
from sdmr.datasets.task import Training
from sdmr.harness.embedding import Embedding
from sdmr.harness.initialise import he_normal
from sdmr.harness.optimiser import Optimisation
from sdmr.harness.training import TorchRecommender

MOST_ENTRIES = 1 << 20  # (user, item, neighbour) triples scored at a time


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
        # N(j) for every item, one after the other; no buffers, since they stay on the CPU, where they are read.
        self.first = torch.zeros(1, dtype=torch.int64)  # [n_items + 1]
        self.neighbours = torch.zeros(0, dtype=torch.int64)  # [n_training]

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
        items = pair_items.cpu()
        ends = (self.first[items + 1] - self.first[items]).cumsum(0)
        sizes = torch.bincount(ends // MOST_ENTRIES).tolist()
        blocks = zip(pair_users.split(sizes), pair_items.split(sizes), strict=True)
        return (block for block in blocks if len(block[0]))

    def _hops(self, users: Tensor, items: Tensor) -> tuple[Tensor, list[Tensor], Near]:
        """Scores [P] of P pairs, the attention of every hop ([E] each), and the entries that it is over."""
        near = self._near(users, items)
        memory, external = self.memory(near.rows), self.external(near.rows)
        user, item = self.memory(users), self.items(items)  # [P, d]
        z = user + item
        o, p = attend(z, memory, external, near)
        attention = [p]
        for layer in self.further:
            z = torch.relu(layer(z) + o)
            o, p = attend(z, memory, external, near)
            attention.append(p)
        hidden = torch.relu(self.hidden(torch.cat([user * item, o], dim=1)))
        return self.output(hidden).squeeze(1), attention, near

    def _near(self, users: Tensor, items: Tensor) -> Near:
        """The neighbours of P pairs: N(j) for each, without u unless `keep_self`."""
        left_out = torch.full_like(users, -1) if self.keep_self else users
        return neighbours(left_out, items, self.neighbours, self.first, self.memory.num_embeddings)

"""CMN++: the Collaborative Memory Network (Ebesu, Shen & Fang, SIGIR 2018), started from GMF."""

from collections.abc import Iterator
from typing import Literal

import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from sdmr.baselines.cmn_attention import Neighborhoods, attend, find_neighborhoods
from sdmr.baselines.kernels.cmn import compute_gradients
from sdmr.baselines.neumf import GMF
from sdmr.datasets.bounds import PositiveInt, check_arguments
from sdmr.datasets.task import Training
from sdmr.harness.training import Embedding, OptimizationConfig, TorchRecommender
from sdmr.harness.training.layers import init_he_normal

MAX_ENTRIES = 1 << 20  # (user, item, neighbor) triples scored at a time


class CMN(TorchRecommender):
    """Let user u attend, in several hops, to the neighbors of item j.

    N(j), the neighborhood, is the users who took j in training.

    z¹ = m_u + e_j
    q_v = zᵀ m_v, p = softmax(q) over v ∈ N(j)               (Eq. 1, 2)
    o = Σ_v p_v c_v                                          (Eq. 3)
    z' = ReLU(W_h z + o + b_h), W_h and b_h of each hop      (Eq. 6)
    score = vᵀ ReLU(U [m_u ⊙ e_j; o] + b), o of the last hop (Eq. 4)

    Trained by BPR. m and e start as half of the tables of a GMF, trained first; o = 0 if N(j) is empty. The model
    attends to all of N(j), never to a sample of it. The start is no model, since U and v are random: the best epoch is
    at least 1.

    Departures from the source:
    - *u is left out of N(j)*, in training and in scoring. In the source, a training positive's neighborhood holds u and
      a negative's does not, so the presence of u reveals the label; `keep_self` imitates that.
    - Adam replaces RMSProp with clipped gradients, and losses are sums, as for every model here.
    - λ acts on the batch's distinct rows as well as on weights, also as everywhere. But here most rows are those of
      neighbors: `regularization_rows: pair` leaves them out, and `none` is the source's, on weights alone.
    - The pre-trained GMF has no ReLU on the score: it would tie all candidates of negative score and stop their
      gradient.
    """

    @check_arguments
    def __init__(
        self,
        gmf: GMF,
        hops: PositiveInt = 2,
        keep_self: bool = False,
        regularization_rows: Literal["batch", "pair", "none"] = "batch",
        optimization: OptimizationConfig = OptimizationConfig(regularization=0.01, negatives="hardest"),
    ) -> None:
        """Set the options.

        Args:
            gmf: The start of m and e; its size is d, and it is trained by BPR, as in the source.
            hops: H, the number of hops.
            keep_self: Whether u stays in N(j), as in the source.
            regularization_rows: What λ acts on beside weights: the rows of the batch, those of its pairs of user and
                candidate without neighbors, or none.
            optimization: How to train.
        """
        super().__init__(optimization)
        if gmf.objective != "bpr":
            raise ValueError(f'CMN starts from a GMF with objective "bpr", not {gmf.objective!r}')
        if regularization_rows != "batch" and optimization.regularization_scope == "all":
            raise ValueError(
                f"regularization_rows={regularization_rows} has no effect with regularization_scope=all, Adam's weight "
                "decay: set regularization_scope=batch"
            )
        self.gmf, self.hops, self.keep_self, self.regularization_rows = gmf, hops, keep_self, regularization_rows
        # N(j) for every item, one after the other. No buffers: they stay on the CPU, which reads them.
        self.item_offsets = torch.zeros(1, dtype=torch.int64)  # [n_items + 1]
        self.item_users = torch.zeros(0, dtype=torch.int32)  # [n_training]

    def fit(self, training: Training) -> None:
        self.set_neighborhoods(training.matrix)
        super().fit(training)

    def set_neighborhoods(self, matrix: csr_matrix) -> None:
        """Set every N(j) to the users of column j of a matrix [n_users, n_items]."""
        columns = matrix.tocsc()
        columns.sort_indices()
        self.item_offsets = torch.from_numpy(columns.indptr).long()
        self.item_users = torch.from_numpy(columns.indices).int()

    def get_extra_state(self) -> dict[str, Tensor]:
        """Return the neighborhoods, which a saved CMN holds beside its parameters."""
        return {"item_offsets": self.item_offsets, "item_users": self.item_users}

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        self.item_offsets, self.item_users = state["item_offsets"], state["item_users"].int()

    def build(self, n_users: int, n_items: int) -> None:
        d = self.gmf.dim
        has_batch, has_pair = self.regularization_rows == "batch", self.regularization_rows != "none"
        self.memory = Embedding(n_users, d, std=0.01, regularized=has_batch)  # m
        self.items = Embedding(n_items, d, std=0.01, regularized=has_pair)  # e
        self.external = Embedding(n_users, d, std=0.01, regularized=has_batch)  # c
        with torch.no_grad():
            self.memory.weight.copy_(self.gmf.product.users.weight / 2)
            self.items.weight.copy_(self.gmf.product.items.weight / 2)
        further = [nn.Linear(d, d) for _ in range(self.hops - 1)]
        for layer in further:
            init_he_normal(layer)
            nn.init.ones_(layer.bias)  # so that ReLU fires
        self.further = nn.ModuleList(further)  # W_h, b_h
        self.hidden = nn.Linear(2 * d, d)  # U, b
        init_he_normal(self.hidden)
        self.output = nn.Linear(d, 1, bias=False)  # v
        nn.init.xavier_uniform_(self.output.weight)

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        scores = [self._hops(*block)[0] for block in self._blocks(users, candidates)]
        return torch.cat(scores).view_as(candidates)

    def compute_gradients(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> float:
        """Compute what autograd would leave for `forward`, in less time on a CPU."""
        if users.device.type == "cpu" and type(self).forward is CMN.forward and type(self)._hops is CMN._hops:
            loss = self._compute_gradients(users, candidates)
        else:
            loss = super().compute_gradients(users, contexts, candidates)
        if self.regularization_rows == "pair":  # of m, a batch looks up the rows of neighbors too
            (self.optimization.regularization * self.memory(users.unique()).square().sum()).backward()
        return loss

    def _compute_gradients(self, users: Tensor, candidates: Tensor) -> float:
        pairs = users.repeat_interleave(candidates.shape[1]), candidates.flatten()
        neighborhoods = self._find_neighborhoods(*pairs)
        memory, user = self.memory.lookup_many(neighborhoods.users, users)
        rows = memory, self.external(neighborhoods.users), user, self.items(candidates)
        layers = [self.hidden, *self.further]
        loss, grad_rows, self.output.weight.grad, grad_layers = compute_gradients(
            self.compute_score_gradients,
            neighborhoods.offsets,
            neighborhoods.pair,
            [each.detach() for each in rows],
            self.output.weight.detach(),
            [(layer.weight.detach(), layer.bias.detach()) for layer in layers],
        )
        torch.autograd.backward(rows, grad_rows)
        for layer, (grad_weight, grad_bias) in zip(layers, grad_layers, strict=True):
            layer.weight.grad, layer.bias.grad = grad_weight, grad_bias
        return loss

    @torch.no_grad()
    def compute_attention(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        """Compute p of every hop: [H, B, C, n_users], zero outside N(j).

        The result is dense, and so meant for few pairs.
        """
        n_users = self.memory.num_embeddings
        dense = self.memory.weight.new_zeros(self.hops, candidates.numel(), n_users)
        done = 0
        for block in self._blocks(users, candidates):
            _, attention, neighborhoods = self._hops(*block)
            neighbors = neighborhoods.users[neighborhoods.row]
            dense[:, done + neighborhoods.pair, neighbors] = torch.stack(attention)
            done += len(block[0])
        return dense.view(self.hops, *candidates.shape, -1)

    def _blocks(self, users: Tensor, candidates: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Split pairs of users [B] and candidates [B, C] into blocks of about MAX_ENTRIES neighbors."""
        pair_users, pair_items = users.repeat_interleave(candidates.shape[1]), candidates.flatten()
        items = pair_items.cpu()
        ends = (self.item_offsets[items + 1] - self.item_offsets[items]).cumsum(0)
        sizes = torch.bincount(ends // MAX_ENTRIES).tolist()
        blocks = zip(pair_users.split(sizes), pair_items.split(sizes), strict=True)
        return (block for block in blocks if len(block[0]))

    def _find_neighborhoods(self, users: Tensor, items: Tensor) -> Neighborhoods:
        excluded = torch.full_like(users, -1) if self.keep_self else users
        sizes = self.memory.num_embeddings, self.memory.embedding_dim
        return find_neighborhoods(excluded, items, self.item_users, self.item_offsets, *sizes)

    def _hops(self, users: Tensor, items: Tensor) -> tuple[Tensor, list[Tensor], Neighborhoods]:
        """Compute the scores [P] of pairs, every hop's attention [E], and the neighborhoods."""
        neighborhoods = self._find_neighborhoods(users, items)
        memory, external = self.memory(neighborhoods.users), self.external(neighborhoods.users)
        user, item = self.memory(users), self.items(items)  # [P, d]
        z = user + item
        o, p = attend(z, memory, external, neighborhoods)
        attention = [p]
        for layer in self.further:
            z = torch.relu(layer(z) + o)
            o, p = attend(z, memory, external, neighborhoods)
            attention.append(p)
        hidden = torch.relu(self.hidden(torch.cat([user * item, o], dim=1)))
        return self.output(hidden).squeeze(1), attention, neighborhoods

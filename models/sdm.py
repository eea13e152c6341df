"""SDM, the Signed Distance-based Memory network (Tran et al., WWW 2019, section 4.2)."""

from typing import Any

import torch
from torch import Tensor, nn

from sdmr.datasets.bounds import Fraction, PositiveInt, check_arguments
from sdmr.harness.kernels import gather
from sdmr.harness.training import Dropout, Embedding, OptimizationConfig, TorchRecommender, takes_arrays
from sdmr.harness.training.layers import init_he_normal, init_lecun_uniform
from sdmr.models.kernels.autograd import tanh
from sdmr.models.kernels.sdm_step import Step

Parts = tuple[Tensor, Tensor, Tensor]


class SDM(TorchRecommender):
    """Score a pair by a signed distance that attends to the context items.

    For user u, item j and the context items k, in H hops:

    q¹ = tanh(W_a [u⁽ⁱ⁾; v_j⁽ⁱ⁾] + b_a)                               (Eq. 7)
    p  = tanh(W_b [u⁽ᵒ⁾; v_j⁽ᵒ⁾] + b_b)                               (Eq. 8)
    z_k = ‖tanh(W_c [q^h; v_k⁽ⁱ⁾] + b_c)‖², a^h = softmax(−z)          (Eq. 9, 10, 16)
    e^h = Σ_k a_k^h · square(tanh(W_d [p; v_k⁽ᵒ⁾] + b_d))              (Eq. 13, 18)
    g = σ(W_g q^h + b_g), q^(h+1) = (1 − g) ⊙ e^h + g ⊙ q^h            (Eq. 14, 15)
    o = w_eᵀ e^H + b_e, score = −o                                     (Eq. 12, 17)

    All hops share the memories and the weights, the gate included: this is the paper's weight constraint. An empty
    context attends to one zero embedding. The paper gives no initialization. This is that of the authors' code except
    for W_g and the biases. `sdmr.models.released` has the other differences of their code.
    """

    scores_by_pair = True  # also in `score_all`: attention depends on the candidate

    @check_arguments
    def __init__(
        self,
        dim: PositiveInt = 64,
        hops: PositiveInt = 3,
        context_length: PositiveInt = 5,
        dropout: Fraction = 0.0,
        optimization: OptimizationConfig = OptimizationConfig(negatives="hardest"),
    ) -> None:
        """Set the options.

        Args:
            dim: d, the embedding size.
            hops: H, the number of hops.
            context_length: s, the context items to attend to.
            dropout: The probability of dropout in training, on both queries and after tanh in Eq. 9 and 13; 0 in the
                paper. On p it is drawn anew at each hop.
            optimization: How to train.
        """
        super().__init__(optimization)
        self.dim, self.hops, self.context_length = dim, hops, context_length
        self.query_dropout, self.dropout = Dropout(dropout), Dropout(dropout)

    def build(self, n_users: int, n_items: int) -> None:
        d = self.dim
        self.users_in = Embedding(n_users, d, std=0.01)  # U⁽ⁱ⁾
        self.items_in = Embedding(n_items, d, std=0.01, padding=True)  # V⁽ⁱ⁾
        self.users_out = Embedding(n_users, d, std=0.01)  # U⁽ᵒ⁾
        self.items_out = Embedding(n_items, d, std=0.01, padding=True)  # V⁽ᵒ⁾
        # W_a … W_d map 2d to d. Each is kept as two halves: W [x; y] = W_x x + W_y y, so that the half of the context
        # is computed once per instance, not once per candidate and hop.
        self.a_user, self.a_item = _create_halves(d)
        self.b_user, self.b_item = _create_halves(d)
        self.c_query, self.c_context = _create_halves(d)
        self.d_query, self.d_context = _create_halves(d)
        self.gate = nn.Linear(d, d)
        init_he_normal(self.gate)
        self.output = nn.Linear(d, 1)
        init_lecun_uniform(self.output)
        # BPR cancels b_e. Its gradient would be rounding noise, which Adam amplifies.
        self.output.bias.requires_grad_(False)
        self._step = Step(self)

    def compute_distances(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        """Compute e^H of Eq. 18: [B, C, d]."""
        return self._hops(users, contexts, candidates)[0]

    def compute_attention(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        """Compute a^h of Eq. 16 for every hop: [H, B, C, s].

        It is zero on padding; an empty context attends to its last entry.
        """
        return self._hops(users, contexts, candidates)[1]

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        if self._scores_by_kernel:  # the same in less time
            return self._score_hops(users, contexts, candidates, has_trace=False)[0]
        return -self.output(self.compute_distances(users, contexts, candidates)).squeeze(-1)

    @takes_arrays
    def score_all(self, users: Tensor, contexts: Tensor) -> Tensor:
        items = torch.arange(self.items_in.num_embeddings - 1, device=users.device)
        blocks = items.expand(len(users), -1).split(len(items) if self._uses_kernel else 100, dim=1)
        return torch.cat([self(users, contexts, block) for block in blocks], dim=1)

    def _hops(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """Compute e^H [B, C, d] and the attention of every hop [H, B, C, s]."""
        if self._scores_by_kernel:
            return self._score_hops(users, contexts, candidates, has_trace=True)[1:]
        is_padding = self._find_padding(contexts)
        item_index, context_index, (a_user, a_item, keys), (b_user, b_item, values) = self._read(
            users, contexts, candidates
        )
        q = tanh(a_user[:, None] + gather(a_item, item_index))  # [B, C, d]
        p = tanh(b_user[:, None] + gather(b_item, item_index))
        keys, values = gather(keys, context_index), gather(values, context_index)  # [B, s, d]
        attention = []
        q = self.query_dropout(q)
        for hop in range(self.hops):
            if hop == 0 or self.query_dropout.is_on:
                output = self.d_query(self.query_dropout(p))  # the part of W_d [p; v_k] that all context items share
            e, a = self._attend(self.c_query(q), output, keys, values, is_padding)
            attention.append(a)
            if hop + 1 < self.hops:
                q = self._update(q, e)
        return e, torch.stack(attention)

    def _read(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor, Parts, Parts]:
        """Apply W_a … W_d to what is read from the memories.

        Returns:
            The row of each candidate [B, C] and of each context item [B, s] in what follows. W_a's part for the users
            [B, d], W_a's for candidates, and W_c's for context items; the same of W_b, W_b and W_d.
        """
        (a_item, item_index), (keys, context_index) = self.items_in.project_unique(
            (self.a_item, candidates), (self.c_context, contexts)
        )
        (b_item, _), (values, _) = self.items_out.project_unique((self.b_item, candidates), (self.d_context, contexts))
        a_user, b_user = self.a_user(self.users_in(users)), self.b_user(self.users_out(users))
        return item_index, context_index, (a_user, a_item, keys), (b_user, b_item, values)

    def _attend(
        self, query: Tensor, output: Tensor, keys: Tensor, values: Tensor, is_padding: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute e [B, C, d] and the attention [B, C, s] of one hop."""
        z = self.dropout(tanh(query[:, :, None] + keys[:, None])).square().sum(-1)  # [B, C, s]
        a = self._softmax(z, is_padding[:, None])
        distances = self.dropout(tanh(output[:, :, None] + values[:, None])).square()  # [B, C, s, d]
        return self._sum(a[..., None] * distances, is_padding[:, None, :, None]), a.detach()

    def _find_padding(self, contexts: Tensor) -> Tensor:
        """Find the entries [B, s] that get no attention.

        An empty context attends to its last entry.
        """
        is_padding = contexts.eq(self.items_in.num_embeddings - 1)
        is_padding[:, -1] &= ~is_padding.all(dim=1)
        return is_padding

    def _softmax(self, z: Tensor, is_padding: Tensor) -> Tensor:
        """Compute a^h of Eq. 16 from z [B, C, s]; is_padding is [B, 1, s]."""
        return torch.softmax((-z).masked_fill(is_padding, -torch.inf), dim=-1)

    def _sum(self, weighted: Tensor, is_padding: Tensor) -> Tensor:
        """Sum a_k · square(…) [B, C, s, d] over k in Eq. 13; is_padding is [B, 1, s, 1]."""
        return weighted.sum(2)

    def _update(self, q: Tensor, e: Tensor) -> Tensor:
        """Compute q^(h+1) of Eq. 14 and 15 from q^h and e^h."""
        g = torch.sigmoid(self.gate(q))
        return (1 - g) * e + g * q

    @property
    def _uses_kernel(self) -> bool:
        """Return whether compiled functions may compute the hops."""
        return self.output.weight.device.type == "cpu"

    @property
    def _scores_by_kernel(self) -> bool:
        is_dropping = self.dropout.is_on or self.query_dropout.is_on
        return self._uses_kernel and not (is_dropping or torch.is_grad_enabled())

    def _score_hops(self, users: Tensor, contexts: Tensor, candidates: Tensor, has_trace: bool) -> Any:
        item_index, context_index, inputs, outputs = self._read(users, contexts, candidates)
        context_index = context_index.masked_fill(self._find_padding(contexts), -1)
        return self._step.score(self, (item_index, context_index), inputs, outputs, has_trace)

    def compute_gradients(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> float:
        is_bpr = getattr(self.loss, "__func__", None) is TorchRecommender.loss
        if is_bpr and type(self).forward is SDM.forward and self._uses_kernel:
            return self._step.compute_gradients(self, users, contexts, candidates)
        return super().compute_gradients(users, contexts, candidates)


def _create_halves(d: int) -> tuple[nn.Linear, nn.Linear]:
    """Create a layer from 2d to d as two halves, the bias in the second."""
    first, second = nn.Linear(d, d, bias=False), nn.Linear(d, d)
    for half in (first, second):
        init_he_normal(half, fan_in=2 * d)
    return first, second

"""SDM, the Signed Distance-based Memory network (Tran et al., WWW 2019, section 4.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.embedding import Embedding
from harness.initialise import he_normal, lecun_uniform
from harness.optimiser import Optimisation
from harness.training import TorchRecommender
from models.kernels import attend, mix, tanh_of_sum


class SDM(TorchRecommender):
    """A signed distance between user u and item j by way of the context items k, in one to four hops.

    q¹ = tanh(W_a [u⁽ⁱ⁾; v_j⁽ⁱ⁾] + b_a)                               (Eq. 7)
    p  = tanh(W_b [u⁽ᵒ⁾; v_j⁽ᵒ⁾] + b_b)                               (Eq. 8)
    z_k = ‖tanh(W_c [q^h; v_k⁽ⁱ⁾] + b_c)‖², a^h = softmax(−z)          (Eq. 9, 10, 16)
    e^h = Σ_k a_k^h · square(tanh(W_d [p; v_k⁽ᵒ⁾] + b_d))              (Eq. 13, 18)
    g = σ(W_g q^h + b_g), q^(h+1) = (1 − g) ⊙ e^h + g ⊙ q^h            (Eq. 14, 15)
    o = w_eᵀ e^H + b_e, score = −o                                     (Eq. 12, 17)

    Memories and weights are shared by all hops, the gate included, as the paper's weight constraint says. An empty
    context attends to one zero embedding. The paper gives no initialisation; this is the one its authors released.
    """

    def __init__(
        self,
        dim: int = 64,
        hops: int = 3,
        context_length: int = 5,
        optimisation: Optimisation = Optimisation(negatives="hardest"),
    ) -> None:
        """`dim`: d, the embedding size. `hops`: H ≥ 1. `context_length`: s ≥ 1, the context items attended to."""
        super().__init__(optimisation)
        if hops < 1 or context_length < 1:
            raise ValueError(f"SDM needs hops ≥ 1 and context_length ≥ 1, not {hops} and {context_length}")
        self.dim, self.hops, self.context_length = dim, hops, context_length

    def build(self, n_users: int, n_items: int) -> None:
        d = self.dim
        self.users_in = Embedding(n_users, d, std=0.01)  # U⁽ⁱ⁾
        self.items_in = Embedding(n_items, d, std=0.01, padding=True)  # V⁽ⁱ⁾
        self.users_out = Embedding(n_users, d, std=0.01)  # U⁽ᵒ⁾
        self.items_out = Embedding(n_items, d, std=0.01, padding=True)  # V⁽ᵒ⁾
        # W_a … W_d map 2d to d. Each is kept as its two halves: W [x; y] = W_x x + W_y y, so that what depends on the
        # context alone is computed once per instance, not once per candidate and hop.
        self.a_user, self.a_item = _halves(d)
        self.b_user, self.b_item = _halves(d)
        self.c_query, self.c_context = _halves(d)
        self.d_query, self.d_context = _halves(d)
        self.gate = nn.Linear(d, d)
        he_normal(self.gate)
        self.output = nn.Linear(d, 1)
        lecun_uniform(self.output)
        # BPR cancels b_e. What is left of its gradient is rounding noise, which Adam would amplify.
        self.output.bias.requires_grad_(False)

    def distances(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        """e^H of Eq. 18: [B, C, d]."""
        return self._hops(users, contexts, candidates)[0]

    def attention(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        """a^h of Eq. 16 for every hop: [H, B, C, s]; zero on padding, an empty context attends to its last place."""
        return torch.stack(self._hops(users, contexts, candidates)[1])

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        return -self.output(self.distances(users, contexts, candidates)).squeeze(-1)

    def _hops(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> tuple[Tensor, list[Tensor]]:
        candidates_in, contexts_in = self.items_in.each(candidates, contexts)  # [B, C, d] and [B, s, d]
        candidates_out, contexts_out = self.items_out.each(candidates, contexts)
        q = tanh_of_sum(self.a_user(self.users_in(users)), self.a_item(candidates_in))  # [B, C, d]
        p = tanh_of_sum(self.b_user(self.users_out(users)), self.b_item(candidates_out))
        keys = self.c_context(contexts_in)  # [B, s, d]
        values = self.d_context(contexts_out)  # [B, s, d]
        p = self.d_query(p)  # the part of W_d [p; v_k] that is the same for every context item and hop
        is_padding = contexts.eq(self.items_in.num_embeddings - 1)
        is_padding[:, -1] &= ~is_padding.all(dim=1)
        attention = []
        for hop in range(self.hops):
            e, a = attend(self.c_query(q), p, keys, values, is_padding)  # [B, C, d] and [B, C, s]
            attention.append(a)
            if hop + 1 < self.hops:
                q = mix(self.gate(q), q, e)
        return e, attention


def _halves(d: int) -> tuple[nn.Linear, nn.Linear]:
    """A layer from 2d to d in two pieces, the bias in the second."""
    first, second = nn.Linear(d, d, bias=False), nn.Linear(d, d)
    for half in (first, second):
        he_normal(half, fan_in=2 * d)
    return first, second

"""SDM, the Signed Distance-based Memory network (Tran et al., WWW 2019, section 4.2)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from sdmr.harness.dropout import Dropout
from sdmr.harness.embedding import Embedding
from sdmr.harness.initialise import he_normal, lecun_uniform, torch_bias
from sdmr.harness.optimiser import Optimisation
from sdmr.harness.rows import gather
from sdmr.harness.training import TorchRecommender
from sdmr.models.kernels import hops, tanh
from sdmr.models.variant import AS_RELEASED, Differences, Variant, chosen, refuse_unknown


class SDM(TorchRecommender):
    """A signed distance between user u and item j by way of the context items k, in one to four hops.

    q¹ = tanh(W_a [u⁽ⁱ⁾; v_j⁽ⁱ⁾] + b_a)                               (Eq. 7)
    p  = tanh(W_b [u⁽ᵒ⁾; v_j⁽ᵒ⁾] + b_b)                               (Eq. 8)
    z_k = ‖tanh(W_c [q^h; v_k⁽ⁱ⁾] + b_c)‖², a^h = softmax(−z)          (Eq. 9, 10, 16)
    e^h = Σ_k a_k^h · square(tanh(W_d [p; v_k⁽ᵒ⁾] + b_d))              (Eq. 13, 18)
    g = σ(W_g q^h + b_g), q^(h+1) = (1 − g) ⊙ e^h + g ⊙ q^h            (Eq. 14, 15)
    o = w_eᵀ e^H + b_e, score = −o                                     (Eq. 12, 17)

    Memories and weights are shared by all hops, the gate included, as the paper's weight constraint says. An empty
    context attends to one zero embedding. The paper gives no initialisation; this is the one its authors released but
    for W_g and the biases. Otherwise, too, their code differs, which is `variant: released`: see `__init__`.
    """

    DIFFERENCES: ClassVar[Differences] = {
        "dropout": (0.0, 0.2),
        "dropout_at_test": ("off", "on"),
        "before_sum": ("nothing", "layer"),
        "mixed": ("distance", "negated"),
        "padding": ("excluded", "scaled"),
        "short": ("padded", "left-over"),
        "initialisation": ("he", "torch"),
        "optimisation": (Optimisation(negatives="hardest"), AS_RELEASED),
    }

    def __init__(
        self,
        dim: int = 64,
        hops: int = 3,
        context_length: int = 5,
        variant: Variant = "paper",
        dropout: float | None = None,
        dropout_at_test: Literal["off", "on"] | None = None,
        before_sum: Literal["nothing", "layer"] | None = None,
        mixed: Literal["distance", "negated"] | None = None,
        padding: Literal["excluded", "scaled"] | None = None,
        short: Literal["padded", "left-over"] | None = None,
        initialisation: Literal["he", "torch"] | None = None,
        optimisation: Optimisation | None = None,
    ) -> None:
        """`dim`: d, the embedding size. `hops`: H ≥ 1. `context_length`: s ≥ 1, the context items attended to.

        None is the variant's choice (paper | released):
        - `dropout`: 0 | 0.2, on both queries, and after tanh and before squaring in Eq. 9 and 13. The output query is
          dropped anew at each hop.
        - `dropout_at_test`: off | on, for the two queries; the other two end with training.
        - `before_sum`: nothing | layer. Each a_k · square(…) passes one more d × d layer and ReLU before Σ in Eq. 13.
        - `mixed`: distance | negated. With o = −e^h, it is g = σ(W_g o + b_g) and q^(h+1) = (1 − g) ⊙ q^h + g ⊙ o.
        - `padding`: excluded | scaled. Padding is in the softmax and in the sum, and its −z is multiplied by 65,535.
        - `short`: padded | left-over. In training, the places that a short context leaves empty hold what the instance
          before it in the batch has there: the released program writes all contexts into one buffer.
        - `initialisation`: he | torch. W_g and the layer of `before_sum` start He-normal and all biases at 0, or those
          three as PyTorch makes them.
        - `optimisation`: see `sdmr.models.variant`.
        """
        own = chosen(
            self.DIFFERENCES,
            variant,
            dropout=dropout,
            dropout_at_test=dropout_at_test,
            before_sum=before_sum,
            mixed=mixed,
            padding=padding,
            short=short,
            initialisation=initialisation,
            optimisation=optimisation,
        )
        super().__init__(own.optimisation)
        refuse_unknown(
            self,
            before_sum=(own.before_sum, ("nothing", "layer")),
            mixed=(own.mixed, ("distance", "negated")),
            padding=(own.padding, ("excluded", "scaled")),
            short=(own.short, ("padded", "left-over")),
            initialisation=(own.initialisation, ("he", "torch")),
        )
        self.variant, self.before_sum, self.mixed, self.padding = variant, own.before_sum, own.mixed, own.padding
        self.short, self.initialisation = own.short, own.initialisation
        self.query_dropout = Dropout(own.dropout, own.dropout_at_test)
        self.dropout = Dropout(own.dropout)
        if hops < 1 or context_length < 1:
            raise ValueError(f"SDM needs hops ≥ 1 and context_length ≥ 1, not {hops} and {context_length}")
        self.dim, self.hops, self.context_length = dim, hops, context_length

    @property
    def _is_as_in_paper(self) -> bool:
        """Whether the recurrence is the paper's own, now: dropout may be off at test."""
        is_dropping = self.dropout.is_on or self.query_dropout.is_on
        return not is_dropping and (self.before_sum, self.mixed, self.padding) == ("nothing", "distance", "excluded")

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
        if self.before_sum == "layer":
            self.layer = nn.Linear(d, d)
            he_normal(self.layer)
        if self.initialisation == "torch":
            for half in (self.a_item, self.b_item, self.c_context, self.d_context):  # which have the biases
                torch_bias(half, fan_in=2 * d)
            for layer in (self.gate, *([self.layer] if self.before_sum == "layer" else [])):
                layer.reset_parameters()

    def distances(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        """e^H of Eq. 18: [B, C, d]."""
        return self._hops(users, contexts, candidates)[0]

    def attention(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        """a^h of Eq. 16 for every hop: [H, B, C, s]; zero on padding, an empty context attends to its last place."""
        return self._hops(users, contexts, candidates)[1]

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        return -self.output(self.distances(users, contexts, candidates)).squeeze(-1)

    def _hops(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """e^H [B, C, d], and the attention of every hop [H, B, C, s]."""
        if self.short == "left-over" and self.training:
            contexts = _left_over(contexts, self.items_in.num_embeddings - 1)
        is_padding = contexts.eq(self.items_in.num_embeddings - 1)
        if self.padding == "excluded":
            is_padding[:, -1] &= ~is_padding.all(dim=1)
        (a_item, place), (keys, context) = self.items_in.through((self.a_item, candidates), (self.c_context, contexts))
        (b_item, _), (values, _) = self.items_out.through((self.b_item, candidates), (self.d_context, contexts))
        a_user, b_user = self.a_user(self.users_in(users)), self.b_user(self.users_out(users))
        if self._is_as_in_paper and keys.device.type == "cpu":  # what follows, in less time
            weights = self.c_query.weight, self.d_query.weight, self.gate.weight, self.gate.bias
            inputs, outputs = (a_user, a_item, keys), (b_user, b_item, values)
            return hops(self.hops, place, context, is_padding, inputs, outputs, *weights)
        q = tanh(a_user[:, None] + gather(a_item, place))  # [B, C, d]
        p = tanh(b_user[:, None] + gather(b_item, place))
        keys, values = gather(keys, context), gather(values, context)  # [B, s, d]
        attention = []
        q = self.query_dropout(q)
        for hop in range(self.hops):
            if hop == 0 or self.query_dropout.is_on:
                output = self.d_query(self.query_dropout(p))  # what of W_d [p; v_k] is the same for every context item
            e, a = self._attend(self.c_query(q), output, keys, values, is_padding)  # [B, C, d] and [B, C, s]
            attention.append(a)
            if hop + 1 < self.hops:
                here, there = (q, e) if self.mixed == "distance" else (-e, q)
                g = torch.sigmoid(self.gate(here))
                q = (1 - g) * there + g * here
        return e, torch.stack(attention)

    def _attend(
        self, query: Tensor, output: Tensor, keys: Tensor, values: Tensor, is_padding: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One hop: e [B, C, d] and the attention [B, C, s]."""
        z = self.dropout(tanh(query[:, :, None] + keys[:, None])).square().sum(-1)  # [B, C, s]
        is_excluded, outside = self.padding == "excluded", is_padding[:, None]
        a = torch.softmax((-z).masked_fill(outside, -torch.inf) if is_excluded else -z.where(~outside, 65_535 * z), -1)
        each = a[..., None] * self.dropout(tanh(output[:, :, None] + values[:, None])).square()  # [B, C, s, d]
        if self.before_sum == "layer":
            each = torch.relu(self.layer(each))
            if is_excluded:
                each = each.masked_fill(outside[..., None], 0)
        return each.sum(2), a.detach()


def _halves(d: int) -> tuple[nn.Linear, nn.Linear]:
    """A layer from 2d to d in two pieces, the bias in the second."""
    first, second = nn.Linear(d, d, bias=False), nn.Linear(d, d)
    for half in (first, second):
        he_normal(half, fan_in=2 * d)
    return first, second


def _left_over(contexts: Tensor, padding: int) -> Tensor:
    """Contexts [B, s] whose padding, but for the last place, is what the nearest instance before has there."""
    rows = torch.arange(len(contexts), device=contexts.device)[:, None]
    latest = torch.where(contexts == padding, 0, rows).cummax(dim=0).values
    return torch.cat([contexts.gather(0, latest)[:, :-1], contexts[:, -1:]], dim=1)

"""SDM, the Signed Distance-based Memory network (Tran et al., WWW 2019, section 4.2)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from sdmr.harness.kernels.rows import gather
from sdmr.harness.training.base import TorchRecommender
from sdmr.harness.training.embedding import Embedding
from sdmr.harness.training.layers import Dropout, init_he_normal, init_lecun_uniform, init_torch_bias
from sdmr.harness.training.optimizer import OptimizationConfig
from sdmr.models.kernels.autograd import hops, tanh
from sdmr.models.variant import AS_RELEASED, Differences, Variant, check_choices, resolve_differences


class SDM(TorchRecommender):
    """A signed distance between user u and item j by way of the context items k, in one to four hops.

    q¹ = tanh(W_a [u⁽ⁱ⁾; v_j⁽ⁱ⁾] + b_a)                               (Eq. 7)
    p  = tanh(W_b [u⁽ᵒ⁾; v_j⁽ᵒ⁾] + b_b)                               (Eq. 8)
    z_k = ‖tanh(W_c [q^h; v_k⁽ⁱ⁾] + b_c)‖², a^h = softmax(−z)          (Eq. 9, 10, 16)
    e^h = Σ_k a_k^h · square(tanh(W_d [p; v_k⁽ᵒ⁾] + b_d))              (Eq. 13, 18)
    g = σ(W_g q^h + b_g), q^(h+1) = (1 − g) ⊙ e^h + g ⊙ q^h            (Eq. 14, 15)
    o = w_eᵀ e^H + b_e, score = −o                                     (Eq. 12, 17)

    Memories and weights are shared by all hops, the gate included, as the paper's weight constraint says. An empty
    context attends to one zero embedding. The paper gives no initialization; this is the one its authors released but
    for W_g and the biases. Otherwise, too, their code differs, which is `variant: released`: see `__init__`.
    """

    DIFFERENCES: ClassVar[Differences] = {
        "dropout": (0.0, 0.2),
        "dropout_at_test": ("off", "on"),
        "value_layer": ("nothing", "layer"),
        "gate_update": ("distance", "negated"),
        "padding": ("excluded", "scaled"),
        "short_context": ("padded", "left-over"),
        "initialization": ("he", "torch"),
        "optimization": (OptimizationConfig(negatives="hardest"), AS_RELEASED),
    }

    def __init__(
        self,
        dim: int = 64,
        hops: int = 3,
        context_length: int = 5,
        variant: Variant = "paper",
        dropout: float | None = None,
        dropout_at_test: Literal["off", "on"] | None = None,
        value_layer: Literal["nothing", "layer"] | None = None,
        gate_update: Literal["distance", "negated"] | None = None,
        padding: Literal["excluded", "scaled"] | None = None,
        short_context: Literal["padded", "left-over"] | None = None,
        initialization: Literal["he", "torch"] | None = None,
        optimization: OptimizationConfig | None = None,
    ) -> None:
        """`dim`: d, the embedding size. `hops`: H ≥ 1. `context_length`: s ≥ 1, the context items attended to.

        None is the variant's choice (paper | released):
        - `dropout`: 0 | 0.2, on both queries, and after tanh and before squaring in Eq. 9 and 13. The output query is
          dropped anew at each hop.
        - `dropout_at_test`: off | on, for the two queries; the other two end with training.
        - `value_layer`: nothing | layer. Each a_k · square(…) passes one more d × d layer and ReLU before Σ in Eq. 13.
        - `gate_update`: distance | negated. With o = −e^h: g = σ(W_g o + b_g), q^(h+1) = (1 − g) ⊙ q^h + g ⊙ o.
        - `padding`: excluded | scaled. Padding is in the softmax and in the sum, and its −z is multiplied by 65,535.
        - `short_context`: padded | left-over. In training, the empty entries of a short context hold what the instance
          before it in the batch has there: the released program writes all contexts into one buffer.
        - `initialization`: he | torch. W_g and the layer of `value_layer` start He-normal and all biases at 0, or those
          three as PyTorch makes them.
        - `optimization`: see `sdmr.models.variant`.
        """
        choices = resolve_differences(
            self.DIFFERENCES,
            variant,
            dropout=dropout,
            dropout_at_test=dropout_at_test,
            value_layer=value_layer,
            gate_update=gate_update,
            padding=padding,
            short_context=short_context,
            initialization=initialization,
            optimization=optimization,
        )
        super().__init__(choices.optimization)
        check_choices(
            self,
            value_layer=(choices.value_layer, ("nothing", "layer")),
            gate_update=(choices.gate_update, ("distance", "negated")),
            padding=(choices.padding, ("excluded", "scaled")),
            short_context=(choices.short_context, ("padded", "left-over")),
            initialization=(choices.initialization, ("he", "torch")),
        )
        self.variant, self.value_layer, self.gate_update, self.padding = (
            variant,
            choices.value_layer,
            choices.gate_update,
            choices.padding,
        )
        self.short_context, self.initialization = choices.short_context, choices.initialization
        self.query_dropout = Dropout(choices.dropout, choices.dropout_at_test)
        self.dropout = Dropout(choices.dropout)
        if hops < 1 or context_length < 1:
            raise ValueError(f"SDM needs hops ≥ 1 and context_length ≥ 1, not {hops} and {context_length}")
        self.dim, self.hops, self.context_length = dim, hops, context_length

    @property
    def _is_as_in_paper(self) -> bool:
        """Whether the recurrence is the paper's own, now: dropout may be off at test."""
        is_dropping = self.dropout.is_on or self.query_dropout.is_on
        return not is_dropping and (self.value_layer, self.gate_update, self.padding) == (
            "nothing",
            "distance",
            "excluded",
        )

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
        init_he_normal(self.gate)
        self.output = nn.Linear(d, 1)
        init_lecun_uniform(self.output)
        # BPR cancels b_e. What is left of its gradient is rounding noise, which Adam would amplify.
        self.output.bias.requires_grad_(False)
        if self.value_layer == "layer":
            self.layer = nn.Linear(d, d)
            init_he_normal(self.layer)
        if self.initialization == "torch":
            for half in (self.a_item, self.b_item, self.c_context, self.d_context):  # which have the biases
                init_torch_bias(half, fan_in=2 * d)
            for layer in (self.gate, *([self.layer] if self.value_layer == "layer" else [])):
                layer.reset_parameters()

    def distances(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        """Compute e^H of Eq. 18: [B, C, d]."""
        return self._hops(users, contexts, candidates)[0]

    def attention(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        """Compute a^h of Eq. 16 for every hop: [H, B, C, s].

        It is zero on padding; an empty context attends to its last entry.
        """
        return self._hops(users, contexts, candidates)[1]

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        return -self.output(self.distances(users, contexts, candidates)).squeeze(-1)

    def _hops(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """Compute e^H [B, C, d] and the attention of every hop [H, B, C, s]."""
        if self.short_context == "left-over" and self.training:
            contexts = _left_over(contexts, self.items_in.num_embeddings - 1)
        is_padding = contexts.eq(self.items_in.num_embeddings - 1)
        if self.padding == "excluded":
            is_padding[:, -1] &= ~is_padding.all(dim=1)
        (a_item, item_index), (keys, context_index) = self.items_in.project_unique(
            (self.a_item, candidates), (self.c_context, contexts)
        )
        (b_item, _), (values, _) = self.items_out.project_unique((self.b_item, candidates), (self.d_context, contexts))
        a_user, b_user = self.a_user(self.users_in(users)), self.b_user(self.users_out(users))
        if self._is_as_in_paper and keys.device.type == "cpu":  # the same in less time
            weights = self.c_query.weight, self.d_query.weight, self.gate.weight, self.gate.bias
            inputs, outputs = (a_user, a_item, keys), (b_user, b_item, values)
            return hops(self.hops, item_index, context_index, is_padding, inputs, outputs, *weights)
        q = tanh(a_user[:, None] + gather(a_item, item_index))  # [B, C, d]
        p = tanh(b_user[:, None] + gather(b_item, item_index))
        keys, values = gather(keys, context_index), gather(values, context_index)  # [B, s, d]
        attention = []
        q = self.query_dropout(q)
        for hop in range(self.hops):
            if hop == 0 or self.query_dropout.is_on:
                output = self.d_query(self.query_dropout(p))  # what of W_d [p; v_k] is the same for every context item
            e, a = self._attend(self.c_query(q), output, keys, values, is_padding)  # [B, C, d] and [B, C, s]
            attention.append(a)
            if hop + 1 < self.hops:
                gate_input, update = (q, e) if self.gate_update == "distance" else (-e, q)
                g = torch.sigmoid(self.gate(gate_input))
                q = (1 - g) * update + g * gate_input
        return e, torch.stack(attention)

    def _attend(
        self, query: Tensor, output: Tensor, keys: Tensor, values: Tensor, is_padding: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute e [B, C, d] and the attention [B, C, s] of one hop."""
        z = self.dropout(tanh(query[:, :, None] + keys[:, None])).square().sum(-1)  # [B, C, s]
        is_excluded, outside = self.padding == "excluded", is_padding[:, None]
        a = torch.softmax((-z).masked_fill(outside, -torch.inf) if is_excluded else -z.where(~outside, 65_535 * z), -1)
        summands = a[..., None] * self.dropout(tanh(output[:, :, None] + values[:, None])).square()  # [B, C, s, d]
        if self.value_layer == "layer":
            summands = torch.relu(self.layer(summands))
            if is_excluded:
                summands = summands.masked_fill(outside[..., None], 0)
        return summands.sum(2), a.detach()


def _halves(d: int) -> tuple[nn.Linear, nn.Linear]:
    """Create a layer from 2d to d as two halves, the bias in the second."""
    first, second = nn.Linear(d, d, bias=False), nn.Linear(d, d)
    for half in (first, second):
        init_he_normal(half, fan_in=2 * d)
    return first, second


def _left_over(contexts: Tensor, padding: int) -> Tensor:
    """Replace padding in contexts [B, s], except the last entry, by what the instance before has there."""
    rows = torch.arange(len(contexts), device=contexts.device)[:, None]
    latest = torch.where(contexts == padding, 0, rows).cummax(dim=0).values
    return torch.cat([contexts.gather(0, latest)[:, :-1], contexts[:, -1:]], dim=1)

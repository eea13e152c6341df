"""Layers that models share: embedding tables with sparse gradients, dropout, and initializations."""

import math
from collections.abc import Callable
from typing import Any, Literal, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdmr.harness.kernels import UniqueIndex, scatter_sum

_LEVELS = 1 << 16  # of a random number


class Embedding(nn.Embedding):
    """Store a table [n_rows (+ 1 padding row), dim] of normal numbers.

    Its gradient is sparse, so that the optimizer knows the distinct rows of the batch: λ applies to those. In training
    the other rows move later (see `Optimizer`), before `forward` and the like read them. Reading `weight` moves them
    all. The padding row is zero, stays zero, and lies outside λ.
    """

    pending_moves: Callable[[Tensor | None], None] | None = None  # set by the optimizer

    def __init__(
        self,
        n_rows: int,
        dim: int,
        std: float,
        *,
        padding: bool = False,
        unit_ball: bool = False,
        regularized: bool = True,
    ) -> None:
        """Draw the table.

        Args:
            n_rows: The number of rows, without padding.
            dim: The length of a row.
            std: The standard deviation of the numbers.
            padding: Whether to append the row `n_rows` for "no item".
            unit_ball: Whether to clip every row to length 1 after a step.
            regularized: Whether λ acts on the rows of a batch.
        """
        super().__init__(n_rows + padding, dim, padding_idx=n_rows if padding else None, sparse=True)
        self.unit_ball, self.regularized = unit_ball, regularized
        self._unique_index = UniqueIndex(len(self.weight))
        self._outputs: dict[int, Any] = {}  # of layers, in evaluation: see `project_unique`
        with torch.no_grad():
            self.weight.normal_(std=std)
            if padding:
                self.weight[n_rows] = 0

    def __getattr__(self, name: str) -> Any:
        """Return an attribute; before the weight is read, make the moves that are left."""
        if name == "weight":
            self.catch_up()
        return super().__getattr__(name)

    @property
    def _table(self) -> Tensor:
        """Return the weight, in which moves may be left to make."""
        return cast(Tensor, self._parameters["weight"])

    @property
    def rows(self) -> Tensor:
        """Return all rows [n_rows, dim] but the padding."""
        return self.weight[: self.padding_idx]

    def catch_up(self, ids: Tensor | None = None) -> None:
        """Make the moves that rows of ids [...], or all rows, have missed under Adam."""
        if self.pending_moves is not None:
            self.pending_moves(ids)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the rows [..., dim] of ids [...]."""
        return self.lookup_many(ids)[0]

    def lookup_many(self, *ids: Tensor) -> tuple[Tensor, ...]:
        """Return the rows of several tensors of ids, with one gradient for them all.

        One gradient is faster than the sum of several.
        """
        for each in ids:
            self.catch_up(each)
        if not torch.is_grad_enabled():
            return tuple(F.embedding(each, self._table) for each in ids)
        return _LookUp.apply(self._table, self.padding_idx, *ids)

    def project_unique(self, *layers_and_ids: tuple[nn.Linear, Tensor]) -> tuple[tuple[Tensor, Tensor], ...]:
        """Apply each layer once to each distinct row of its ids [...].

        In evaluation a layer is applied once to the complete table, and its output is kept until training continues.

        Returns:
            For each layer its outputs [n, out] for the distinct rows, and the position [...] of each id among them.
            `gather(outputs, positions)` is [..., out].
        """
        unique = [self._unique_index(ids) for _, ids in layers_and_ids]
        layers, positions = [layer for layer, _ in layers_and_ids], [position for _, position in unique]
        if self.training or torch.is_grad_enabled():
            looked_up = self.lookup_many(*(rows for rows, _ in unique))
            outputs = [layer(rows) for layer, rows in zip(layers, looked_up, strict=True)]
        else:
            outputs = [self._project_table(layer)[rows] for layer, (rows, _) in zip(layers, unique, strict=True)]
        return tuple(zip(outputs, positions, strict=True))

    def _project_table(self, layer: nn.Linear) -> Tensor:
        state = [(id(parameter), parameter._version) for parameter in (self.weight, *layer.parameters())]
        if self._outputs.get(id(layer), (None,))[0] != state:
            self._outputs[id(layer)] = state, layer(self.weight)
        return self._outputs[id(layer)][1]

    def train(self, mode: bool = True) -> Self:
        """Set the mode as in PyTorch; training clears the outputs that `project_unique` keeps.

        PyTorch's versions of a parameter do not count the steps of the compiled Adam. Evaluation reads every row.
        """
        if mode:
            self._outputs.clear()
        else:
            self.catch_up()
        return super().train(mode)

    def sum_gradient_rows(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Return a sparse gradient's distinct rows [n] and its sum in each [n, dim]."""
        if gradient.is_coalesced():
            return gradient._indices()[0], gradient._values()
        rows, positions = self._unique_index(gradient._indices()[0])
        return rows, scatter_sum(positions, gradient._values(), len(rows))

    @torch.no_grad()
    def clip_rows(self, rows: Tensor) -> None:
        """Bring rows ([n] distinct ids) back into the unit ball, if the table has one."""
        if self.unit_ball:
            values = self._table[rows]
            self._table[rows] = values / values.norm(dim=1, keepdim=True).clamp(min=1)


class _LookUp(torch.autograd.Function):
    """Look rows up as PyTorch's sparse embedding does; the gradient of padding is zero.

    PyTorch selects the entries without padding instead, which is slower.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, padding: int | None, *ids: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(*ids)
        ctx.shape, ctx.padding = weight.shape, padding
        return tuple(F.embedding(each, weight) for each in ids)

    @staticmethod
    def backward(ctx: Any, *grad_rows: Tensor) -> Any:
        rows = torch.cat([ids.reshape(-1) for ids in ctx.saved_tensors])
        if len(grad_rows) == 1 and ctx.padding is None:
            values = grad_rows[0].reshape(-1, ctx.shape[1])
        else:
            values = torch.cat([gradient.reshape(-1, ctx.shape[1]) for gradient in grad_rows])
        if ctx.padding is not None:
            values[rows == ctx.padding] = 0
        grad_weight = torch.sparse_coo_tensor(rows[None], values, ctx.shape, check_invariants=False)
        return grad_weight, None, *(None for _ in grad_rows)


class Dropout(nn.Dropout):
    """Zero entries with probability `p` in training, and in every scoring if `test_mode` is "on"."""

    def __init__(self, p: float, test_mode: Literal["off", "on"] = "off") -> None:
        super().__init__(p)
        if test_mode == "on" and p == 0:
            raise ValueError("dropout_at_test=on has no effect with dropout=0: set dropout, or dropout_at_test=off")
        self.test_mode = test_mode

    @property
    def is_on(self) -> bool:
        """Tell whether a forward pass drops entries now."""
        return self.p > 0 and (self.training or self.test_mode == "on")

    def forward(self, values: Tensor) -> Tensor:
        return F.dropout(values, self.p, self.is_on)


class FastDropout(Dropout):
    """Drop entries as `Dropout` does; on a CPU four of them by one random number."""

    def forward(self, values: Tensor) -> Tensor:
        if not self.is_on or values.device.type != "cpu":
            return super().forward(values)
        mask, factor = draw_mask(values.numel() // values.shape[-1], values.shape[-1], self.p)
        return values * (mask.view(values.shape) * factor)


def draw_mask(n_rows: int, n_columns: int, p: float) -> tuple[Tensor, float]:
    """Draw which entries dropout mask, and the factor that mask their mean.

    Four entries share a number of PyTorch's generator, so `p` has steps of 1/65,536. PyTorch itself draws each entry
    for itself, which takes eight times as long.

    Returns:
        The mask [n_rows, n_columns], and the factor.
    """
    n_dropped = round(p * _LEVELS)
    if n_dropped in (0, _LEVELS):
        return torch.full((n_rows, n_columns), not n_dropped), float(not n_dropped)
    size = n_rows * n_columns
    numbers = torch.empty(-(-size // 4), dtype=torch.int64).random_(-(1 << 63), None).view(torch.int16)[:size]
    return (numbers >= n_dropped - _LEVELS // 2).view(n_rows, n_columns), _LEVELS / (_LEVELS - n_dropped)


def compute_squared_distances(points: Tensor, rows: Tensor) -> Tensor:
    """Return ‖x − y‖² [B, n] of points x [B, d] and rows [n, d].

    For a row y it is ‖x‖² + ‖y‖² − 2xᵀy: one matrix product. The rounding is that of the squared lengths.
    """
    lengths = points.square().sum(1, keepdim=True) + rows.square().sum(1)
    return torch.addmm(lengths, points, rows.T, alpha=-2)


@torch.no_grad()
def init_he_normal(layer: nn.Linear, fan_in: int | None = None) -> None:
    """Draw weights with standard deviation √(2 / fan-in) (He et al. 2015); zero the bias.

    Args:
        layer: The layer to initialize.
        fan_in: The number of inputs, where `layer` is only a piece of a layer and sees a part of them.
    """
    layer.weight.normal_(std=math.sqrt(2 / (fan_in or layer.in_features)))
    if layer.bias is not None:
        layer.bias.zero_()


@torch.no_grad()
def init_lecun_uniform(layer: nn.Linear) -> None:
    """Draw weights uniformly within ± √(3 / fan-in) (LeCun et al. 1998); zero the bias."""
    bound = math.sqrt(3 / layer.in_features)
    layer.weight.uniform_(-bound, bound)
    if layer.bias is not None:
        layer.bias.zero_()


@torch.no_grad()
def init_torch_bias(layer: nn.Linear, fan_in: int | None = None) -> None:
    """Draw the bias uniformly within ± 1/√fan-in, as PyTorch does."""
    bound = 1 / math.sqrt(fan_in or layer.in_features)
    layer.bias.uniform_(-bound, bound)

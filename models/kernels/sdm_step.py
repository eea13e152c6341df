"""Score candidates, or compute a batch's gradients, by SDM's compiled hops."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401  loads the BLAS that Numba calls
import torch
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController
from torch import Tensor, nn

from sdmr.harness.kernels import UniqueIndex, count_threads, run_blocks, run_loop
from sdmr.models.kernels.autograd import exponential
from sdmr.models.kernels.sdm_forward import BLOCK, Dropout, Indices, Memory, Weights
from sdmr.models.kernels.sdm_loops import Layers, Rows, score, train

if TYPE_CHECKING:
    from sdmr.models.sdm import SDM

_LEVELS = 1 << 16  # of a random number


class Step:
    """Hold what SDM's compiled functions need of a built model."""

    def __init__(self, model: "SDM") -> None:
        """List the parameters in the order of `train`."""
        self.tables = model.users_in, model.items_in, model.users_out, model.items_out
        self.weights = [table.weight for table in self.tables]
        self.inputs = _list_parameters(model.a_user, model.a_item, model.c_context)
        self.outputs = _list_parameters(model.b_user, model.b_item, model.d_context)
        self.hops = _list_parameters(model.c_query, model.d_query, model.gate, model.output)
        self.unused = self.hops[2:4] if model.hops == 1 else []  # a single hop does not use the gate
        self._find_users, self._find_items = (UniqueIndex(table.num_embeddings) for table in self.tables[:2])
        _keep_scipy_to_one_thread()

    @torch.no_grad()
    def compute_gradients(self, model: "SDM", users: Tensor, contexts: Tensor, candidates: Tensor) -> float:
        """Leave the gradients in the parameters' `grad`, and return the loss."""
        threads = min(count_threads(_count_tanh(model, candidates, contexts)), len(users))
        blocks = zip(*(ids.tensor_split(threads) for ids in (users, contexts, candidates)), strict=True)
        ids, batches = zip(*(self._read(model, *block) for block in blocks), strict=True)
        layers = [Layers(*map(_to_numpy, parameters)) for parameters in (self.inputs, self.outputs)]
        options = *layers, self._get_weights(), model.hops, model.optimization.negatives == "hardest"
        results = run_blocks(lambda *batch: train(*batch, *options), *batches)
        losses, gradients, rows = zip(*results, strict=True)
        parameters = self.inputs, self.outputs, self.hops
        for group, parts in zip(parameters, zip(*gradients, strict=True), strict=True):
            for parameter, arrays in zip(group, zip(*parts, strict=True), strict=True):
                parameter.grad = torch.from_numpy(sum(arrays[1:], arrays[0])).view_as(parameter)
        for parameter in self.unused:
            parameter.grad = None
        for n, (weight, arrays) in enumerate(zip(self.weights, zip(*rows, strict=True), strict=True)):
            weight.grad = _to_sparse([each[n % 2] for each in ids], arrays, self.tables[n].padding_idx, weight.shape)
        return float(sum(losses))

    def score(
        self,
        model: "SDM",
        indices: Sequence[Tensor],
        inputs: Iterable[Tensor],
        outputs: Iterable[Tensor],
        has_trace: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the scores [B, C], e of the last hop and the attention.

        Args:
            model: The model, without dropout.
            indices: [B, C], the row of each candidate in the parts below; [B, s], that of each context item, or −1.
            inputs: W_a's part for the users [B, d], W_a's for candidates, and W_c's for context items.
            outputs: The same of W_b, W_b and W_d.
            has_trace: Whether to return e [B, C, d] and the attention of all hops [H, B, C, s]; else they are empty.
        """
        memories = [Memory(*(exponential(part).numpy() for part in parts)) for parts in (inputs, outputs)]
        options = *memories, self._get_weights(), Dropout(), model.hops, has_trace
        work, (b, c) = _count_tanh(model, *indices), indices[0].shape
        results = run_loop(lambda *arrays: score(Indices(*arrays), *options), work, torch.arange(b), *indices)
        scores, e, attention = results
        if has_trace:
            e, attention = e.view(b, c, -1), attention.view(b, c, model.hops, -1).permute(2, 0, 1, 3)
        return scores.view(b, c), e, attention

    def _read(self, model: "SDM", users: Tensor, contexts: Tensor, candidates: Tensor) -> tuple[Any, Any]:
        """Return the distinct users and items of a batch, and what `train` reads of them."""
        user_ids, user_index = self._find_users(users)
        item_ids, index = self._find_items(torch.cat([candidates.flatten(), contexts.flatten()]))
        item_index, context_index = index.split([candidates.numel(), contexts.numel()])
        context_rows, context_index = self._find_items(context_index.view_as(contexts))
        context_index.masked_fill_(model._find_padding(contexts), -1)
        indices = Indices(*map(_to_numpy, (user_index, item_index.view_as(candidates), context_index)))
        ids = user_ids, item_ids
        users_in, items_in, users_out, items_out = (
            _to_numpy(table.lookup_many(ids[n % 2])[0]) for n, table in enumerate(self.tables)
        )
        dropout = _create_dropout(model, contexts.shape[1], max(BLOCK, candidates.shape[1]))
        return ids, (indices, _to_numpy(context_rows), Rows(users_in, items_in), Rows(users_out, items_out), dropout)

    def _get_weights(self) -> Weights:
        *weights, output, output_bias = map(_to_numpy, self.hops)
        return Weights._make((*weights, output[0], output_bias))


def _list_parameters(*layers: nn.Module) -> list[nn.Parameter]:
    return [parameter for layer in layers for parameter in layer.parameters()]


def _to_numpy(tensor: Tensor) -> NDArray[Any]:
    return tensor.detach().numpy()


def _count_tanh(model: "SDM", candidates: Tensor, contexts: Tensor) -> int:
    return 2 * model.hops * candidates.numel() * contexts.shape[1] * model.dim


def _to_sparse(ids: Sequence[Tensor], values: Sequence[NDArray[Any]], padding: int | None, shape: torch.Size) -> Tensor:
    """Return a table's gradient from that of rows.

    They are distinct unless several threads have read them.
    """
    rows = ids[0] if len(ids) == 1 else torch.cat(list(ids))
    gradient = values[0] if len(ids) == 1 else np.concatenate(values)
    if padding is not None:
        gradient[rows.numpy() == padding] = 0
    arguments = rows[None], torch.from_numpy(gradient), shape
    return torch.sparse_coo_tensor(*arguments, check_invariants=False, is_coalesced=len(ids) == 1)


def _create_dropout(model: "SDM", n_context: int, n_pairs: int) -> Dropout:
    """Create the dropout of a batch.

    PyTorch's generator, which the training loop sets in each epoch, gives the key.
    """
    thresholds = [round(layer.p * _LEVELS) if layer.is_on else 0 for layer in (model.query_dropout, model.dropout)]
    if not any(thresholds):
        return Dropout()
    query_factor, factor = (_LEVELS / max(1, _LEVELS - threshold) for threshold in thresholds)
    shape, hops = (n_pairs, model.dim), (model.hops, n_pairs)
    shapes = shape, (*hops, model.dim), *[(*hops, n_context * model.dim)] * 2
    masks = (np.empty(each, np.bool_) for each in shapes)
    return Dropout._make((int(torch.randint(2**62, ())), *thresholds, query_factor, factor**2, *masks))


@cache
def _keep_scipy_to_one_thread() -> None:
    """Keep SciPy's BLAS, which Numba calls, to one thread: here threads share the instances."""
    for library in ThreadpoolController().lib_controllers:
        if "scipy" in library.filepath:
            library.set_num_threads(1)

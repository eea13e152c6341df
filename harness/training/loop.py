"""Train a model by epochs, and keep the parameters of the best one."""

import inspect
import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from sdmr.datasets.errors import DataError
from sdmr.datasets.sampling import NegativeSampler
from sdmr.datasets.task import HeldOut, Instances, Training
from sdmr.harness.evaluation import score_candidates
from sdmr.harness.files import load_tensors_of, save_tensors
from sdmr.harness.metrics import count_ranks
from sdmr.harness.recommender import ModelError
from sdmr.harness.records import read_clocks
from sdmr.harness.training.optimizer import OptimizationConfig, Optimizer
from sdmr.harness.training.probe import check_probe, compute_probe

if TYPE_CHECKING:
    from sdmr.harness.training.base import TorchRecommender

_BATCHES_A_TRANSFER = 64  # whose ids go to the device at once

Batches = Iterator[tuple[int, tuple[Tensor, ...]]]  # positives of each, and the arguments of `compute_gradients`


class StopTraining(Exception):
    """The end of a training before its time, by `watch_history`. Its checkpoint stays, so that it can go on later."""


def train(model: "TorchRecommender", training: Training) -> None:
    """Train a built model, and restore the parameters of its best validation epoch.

    With `training.epochs`, train for so many, and keep the parameters of the last one. Batch order, negatives and
    dropout of an epoch depend on (seed, epoch) alone. An interrupted training therefore resumes from its last finished
    epoch to the same bits. Raises DataError if there are no validation instances to choose the epoch, and StopTraining
    if `watch_history` does.
    """
    options = model.optimization
    is_fixed = training.epochs is not None
    if not is_fixed and not len(training.validation):
        raise DataError(f"{type(model).__name__} cannot choose its epoch: there are no validation instances")
    try:
        inspect.signature(getattr(model.loss, "forward", model.loss)).bind(None)
    except TypeError as error:
        raise ModelError(f"{type(model).__name__}.loss must take the scores alone: loss(scores)") from error
    model.check_training(training)
    optimizer = Optimizer(model, options)
    is_trainable = any(parameter.requires_grad for parameter in model.parameters())
    validation = _sample(training.validation, options.validation_instances)
    negatives = NegativeSampler(training.matrix)
    best = _copy(model)
    initial: dict[str, float] = {}
    if not is_fixed:
        initial = _validate(model, validation) if model.has_fitted_start else model.epoch_metrics(validation, None)
    model.history = [{"epoch": 0, **initial}]
    identity = _identify(model, training)
    saved = load_tensors_of(training.checkpoint, model.device, **identity) if training.checkpoint else None
    if saved:
        optimizer.load_state(saved["optimizer"])
        best, model.history = saved["best"], saved["history"]
        _restore(model, saved["parameters"])
        check_probe(model, saved, training.n_users, training.n_items)

    while is_trainable and not _is_finished(model.history, options, training.epochs):
        if model.watch_history is not None:
            model.watch_history(model.history)
        epoch, start = len(model.history), read_clocks()
        optimizer.start_epoch(epoch)
        loss = _train_epoch(model, optimizer, training, negatives, epoch)
        optimizer.catch_up()
        fitted = read_clocks()
        entry = {"epoch": epoch, "loss": loss, **({} if is_fixed else _validate(model, validation))}
        ranked = read_clocks()
        for clock, name in enumerate(("seconds", "cpu_seconds")):
            entry |= {f"fit_{name}": fitted[clock] - start[clock], f"rank_{name}": ranked[clock] - fitted[clock]}
        model.history.append(entry)
        if is_fixed or find_best_epoch(model.history) == epoch:
            best = _copy(model)
        if training.checkpoint is not None:
            state = {"parameters": _copy(model), "optimizer": optimizer.get_state(), "best": best}
            state |= compute_probe(model, training.n_users, training.n_items)
            save_tensors({**state, **identity, "history": model.history}, training.checkpoint)
    optimizer.close()
    _restore(model, best)


def compute_scores(model: "TorchRecommender", users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
    """Return the scores [B, C] of `forward`, in 32 bits or more.

    Raises ModelError for another shape or type, and for a table without a row for the padding.
    """
    try:
        scores = model(users, contexts, candidates)
    except IndexError as error:
        if str(error) != "index out of range in self":  # PyTorch's words
            raise
        hint = "contexts are padded with n_items, so a table of their items needs n_items + 1 rows"
        raise ModelError(f"{type(model).__name__}.forward looks up a row that a table lacks; {hint}") from error
    if not isinstance(scores, Tensor) or not scores.is_floating_point() or scores.shape != candidates.shape:
        shape, expected = list(getattr(scores, "shape", [])), list(candidates.shape)
        returned = f"a {scores.dtype} tensor {shape}" if isinstance(scores, Tensor) else type(scores).__name__
        raise ModelError(
            f"{type(model).__name__}.forward returned {returned}, expected a floating-point tensor {expected}: "
            "a score for each of the candidates"
        )
    return scores.to(torch.promote_types(scores.dtype, torch.float32))


def compute_loss(model: "TorchRecommender", scores: Tensor) -> Tensor:
    """Return the loss of scores [B, 1 + n_negatives].

    Raises ModelError unless it is one number with a gradient.
    """
    loss = model.loss(scores)
    if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.requires_grad:
        returned = f"a tensor {list(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise ModelError(
            f"{type(model).__name__}.loss returned {returned}, expected one number with a gradient: "
            "a sum over the batch"
        )
    return loss


def find_best_epoch(history: list[dict[str, float]]) -> int:
    """Return the first epoch with the best validation NDCG@10.

    The start, epoch 0, counts if it was validated, and is returned if no epoch was. A history with hit@10 is ordered by
    hit@10 first, then by NDCG@10.
    """
    validated = [(epoch, entry) for epoch, entry in enumerate(history) if "validation" in entry]
    scores = {epoch: (entry.get("validation_hit", 0.0), entry["validation"]) for epoch, entry in validated}
    return max(scores, key=scores.__getitem__, default=0)


def _validate(model: "TorchRecommender", validation: HeldOut) -> dict[str, float]:
    """Return what the history holds of the model's scores."""
    scores = score_candidates(model, validation)
    ranks = count_ranks(scores, validation.target_columns)
    entry = {"validation": float(ranks.ndcg(10).mean())}
    if model.optimization.selection_metric == "hit@10":
        entry["validation_hit"] = float(ranks.hit(10).mean())
    return entry | model.epoch_metrics(validation, scores)


def _train_epoch(
    model: "TorchRecommender", optimizer: Optimizer, training: Training, negatives: NegativeSampler, epoch: int
) -> float:
    """Pass once over the training data; return the mean loss of a positive."""
    rng = np.random.default_rng([training.seed, epoch])
    torch.manual_seed(int(rng.integers(2**63)))  # dropout
    n_batches, batches = model.draw_batches(training, negatives, rng)
    model.train()
    total, n_positives = 0.0, 0
    label = f"{type(model).__name__} epoch {epoch}"
    if epoch > 1 and "validation" in model.history[-1]:
        label += f", validation NDCG@10 {model.history[-1]['validation']:.3f}"
    bar = tqdm(batches, desc=label, total=n_batches, unit="batch", leave=False, disable=None)
    for number, (size, inputs) in enumerate(bar):
        optimizer.zero_grad()
        loss = model.compute_gradients(*inputs)
        optimizer.step()
        total, n_positives = total + loss, n_positives + size
        if not math.isfinite(total):
            raise ModelError(f"{type(model).__name__}: the loss is {loss} in epoch {epoch}")
        if number % 50 == 0:
            bar.set_postfix(loss=f"{loss / size:.4f}", refresh=False)
    return total / n_positives


def draw_instances(
    model: "TorchRecommender", training: Training, negatives: NegativeSampler, rng: np.random.Generator
) -> tuple[int, Batches]:
    """Return the number of batches, and batches of users, contexts and candidates, the positive first."""
    options, instances = model.optimization, training.instances
    rows = np.flatnonzero(negatives.n_unseen[instances.users])
    if len(rows) < len(instances):  # a user with every item has no negative
        instances = Instances(instances.users[rows], instances.targets[rows], instances.contexts.take(rows))
    candidates = np.column_stack([instances.targets, negatives.sample(instances.users, options.n_negatives, rng)])
    order = rng.permutation(len(instances))

    def gather() -> Batches:
        step = _BATCHES_A_TRANSFER * options.batch_size
        for rows in np.split(order, range(step, len(order), step)):
            ids = (instances.users[rows], instances.contexts.last_n(model.context_length, rows), candidates[rows])
            blocks = (torch.from_numpy(one).to(model.device).split(options.batch_size) for one in ids)
            for batch in zip(*blocks, strict=True):
                yield len(batch[0]), batch

    return -(-len(order) // options.batch_size), gather()


def _identify(model: "TorchRecommender", training: Training) -> dict[str, Any]:
    """Return what a training must have in common with the one that it continues."""
    options = {name: value for name, value in asdict(model.optimization).items() if name not in ("epochs", "patience")}
    tensors = [*model.named_parameters(), *model.named_buffers()]
    shapes = {name: list(tensor.shape) for name, tensor in tensors}
    return {"class": type(model).__qualname__, "optimization": options, "seed": training.seed, "shapes": shapes}


def _is_finished(history: list[dict[str, float]], options: OptimizationConfig, number: int | None) -> bool:
    epochs = len(history) - 1
    if number is not None:
        return epochs >= number
    return epochs >= options.epochs or epochs - find_best_epoch(history) >= options.patience


def _get_learned(model: nn.Module) -> dict[str, Tensor]:
    """Return what training changes: trainable parameters, and buffers such as the averages of BatchNorm."""
    state = {name: one for name, one in model.state_dict(keep_vars=True).items() if isinstance(one, Tensor)}
    return {name: one for name, one in state.items() if one.requires_grad or not isinstance(one, nn.Parameter)}


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in _get_learned(model).items()}


def _restore(model: nn.Module, values: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in _get_learned(model).items():
            tensor.copy_(values[name])


def _sample(instances: HeldOut, number: int | Literal["all"]) -> HeldOut:
    """Return at most `number` of the instances, always the same ones."""
    if number == "all" or len(instances) <= number:
        return instances
    return instances.take(np.sort(np.random.default_rng(0).choice(len(instances), number, replace=False)))

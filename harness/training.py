"""The one training loop, and the base of every model that is trained by it."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from sdmr.datasets.interactions import IntArray
from sdmr.datasets.parsing import DataError
from sdmr.datasets.task import HeldOut, Training
from sdmr.datasets.unseen import Unseen
from sdmr.harness.bpr import bpr
from sdmr.harness.files import load, save
from sdmr.harness.optimiser import Optimisation, Optimiser
from sdmr.harness.ranking import count_ranks, scores_of


class TorchRecommender(nn.Module):
    """A recommender trained by gradient.

    A subclass writes `build` (its parameters) and `forward` (scores), and, if it is not trained by BPR, `loss`.
    A recommender that a subclass holds as an attribute is a *part*: it is fitted first, if it is not fitted yet, and is
    frozen at its best development epoch; this is how models are pre-trained.
    """

    context_length = 0

    def __init__(self, optimisation: Optimisation = Optimisation()) -> None:
        super().__init__()
        self.optimisation = optimisation
        self.fitted = False
        self.history: list[dict[str, float]] = []  # an entry an epoch, from 0: before training

    def build(self, n_users: int, n_items: int) -> None:
        """Make the parameters. Parts are fitted by now."""
        raise NotImplementedError

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        """Scores [B, C] from users [B], contexts [B, context_length] and candidates [B, C]."""
        raise NotImplementedError

    def observe(self, development: HeldOut, scores: NDArray[np.floating] | None) -> dict[str, float]:
        """What else the history should hold: called before training and after every epoch.

        `scores`: [n, C] of the development candidates, those that have just been ranked to choose the epoch; None
        before training, when nothing is ranked.
        """
        return {}

    def loss(self, scores: Tensor) -> Tensor:
        """Loss of a batch, a sum: scores [B, 1 + n_negatives], the positive first. BPR (Eq. 21) if not overridden."""
        return bpr(scores, self.optimisation.negatives)

    @property
    def parts(self) -> dict[str, TorchRecommender]:
        """The recommenders this one is made from, by attribute name."""
        return {name: child for name, child in self.named_children() if isinstance(child, TorchRecommender)}

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def train(self, mode: bool = True) -> Self:
        """As in PyTorch, but parts are frozen: they stay in evaluation mode."""
        super().train(mode)
        for part in self.parts.values():
            part.eval()
        return self

    def fit(self, training: Training) -> None:
        """Fit the parts that are not fitted, build, and train until development NDCG@10 no longer grows."""
        for part in self.parts.values():
            if not part.fitted:
                part.fit(training.without_checkpoint())
            part.requires_grad_(False)
        torch.manual_seed(training.seed)
        self.build(training.n_users, training.n_items)
        self.to(_device(self.optimisation.device))
        _train(self, training)
        self.eval()
        self.fitted = True

    def score(self, users: IntArray, contexts: IntArray, candidates: IntArray) -> NDArray[np.float32]:
        """Scores [B, C] of candidates [B, C] (see `sdmr.harness.recommender.Recommender`)."""
        self.eval()
        with torch.inference_mode():
            inputs = (torch.from_numpy(ids).to(self.device) for ids in (users, contexts, candidates))
            return self(*inputs).cpu().numpy()

    def save(self, path: Path) -> None:
        """Write the fitted parameters, atomically."""
        save({"parameters": self.state_dict(), "history": self.history}, path)

    def load(self, path: Path, n_users: int, n_items: int) -> None:
        """Read what `save` has written for a recommender of the same configuration."""
        saved = load(path, "cpu")
        self._build_with_parts(n_users, n_items)
        self.load_state_dict(saved["parameters"])
        self.to(_device(self.optimisation.device))
        self.history, self.fitted = saved["history"], True
        self.eval()

    def _build_with_parts(self, n_users: int, n_items: int) -> None:
        """Make the parameters, those of the parts (and of theirs) first, as `fit` does."""
        for part in self.parts.values():
            part._build_with_parts(n_users, n_items)
            part.requires_grad_(False)
            part.fitted = True
        self.build(n_users, n_items)


def _device(name: str) -> torch.device:
    return torch.device(name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu")


def _train(model: TorchRecommender, training: Training) -> None:
    """Epochs of Adam steps; the parameters of the best development epoch are restored at the end.

    Batch order, negatives and dropout of an epoch follow from (seed, epoch) alone, so that a fit which is killed and
    started again goes on from its last finished epoch to the same bits.
    """
    options = model.optimisation
    if not len(training.development):
        raise DataError(f"{type(model).__name__} cannot choose its epoch: there are no development instances")
    optimiser = Optimiser(model, options)
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    development = _sample(training.development, options.development_instances)
    negatives = Unseen(training.matrix)
    best = _copy(trainable)
    model.history = [{"epoch": 0, **model.observe(development, None)}]
    if training.checkpoint is not None and training.checkpoint.exists():
        saved = load(training.checkpoint, model.device)
        optimiser.load(saved["optimiser"])
        best, model.history = saved["best"], saved["history"]
        _restore(trainable, saved["parameters"])

    while trainable and not _is_finished(model.history, options):
        epoch, start = len(model.history), time.perf_counter()
        optimiser.start_epoch(epoch)
        loss = _train_epoch(model, optimiser, training, negatives, epoch)
        fitted = time.perf_counter()
        scores = scores_of(model, development)
        ranks = count_ranks(scores, development.target_columns)
        entry = {"epoch": epoch, "loss": loss, "development": float(ranks.ndcg(10).mean())}
        if options.select_by == "hit@10":
            entry["development_hit"] = float(ranks.hit(10).mean())
        entry |= model.observe(development, scores)
        entry |= {"fit_seconds": fitted - start, "rank_seconds": time.perf_counter() - fitted}
        model.history.append(entry)
        if best_epoch(model.history) == epoch:
            best = _copy(trainable)
        if training.checkpoint is not None:
            state = {"parameters": _copy(trainable), "optimiser": optimiser.state(), "best": best}
            save({**state, "history": model.history}, training.checkpoint)
    _restore(trainable, best)


def _train_epoch(
    model: TorchRecommender, optimiser: Optimiser, training: Training, negatives: Unseen, epoch: int
) -> float:
    """One pass over the training instances. Returns the mean loss of a positive."""
    options, instances = model.optimisation, training.instances
    rng = np.random.default_rng([training.seed, epoch])
    torch.manual_seed(int(rng.integers(2**63)))  # dropout
    candidates = np.column_stack([instances.targets, negatives.draw(instances.users, options.n_negatives, rng)])
    order = rng.permutation(len(instances))
    model.train()
    total = 0.0
    label = f"{type(model).__name__} epoch {epoch}"
    if epoch > 1:
        label += f", development NDCG@10 {model.history[-1]['development']:.3f}"
    bar = tqdm(range(0, len(order), options.batch_size), desc=label, unit="batch", leave=False, disable=None)
    for done, start in enumerate(bar):
        rows = order[start : start + options.batch_size]
        contexts = instances.contexts.latest(model.context_length, rows)
        inputs = (torch.from_numpy(ids).to(model.device) for ids in (instances.users[rows], contexts, candidates[rows]))
        optimiser.zero_grad()
        loss = model.loss(model(*inputs))
        loss.backward()
        optimiser.step()
        total += loss.item()
        if not math.isfinite(total):
            raise FloatingPointError(f"{type(model).__name__}: the loss is {loss.item()} in epoch {epoch}")
        if done % 50 == 0:
            bar.set_postfix(loss=f"{loss.item() / len(rows):.4f}", refresh=False)
    return total / len(order)


def best_epoch(history: list[dict[str, float]]) -> int:
    """The (first) epoch of the best development NDCG@10, from 1; 0 before there is any.

    Where hit@10 is to choose, and is therefore in the history, it comes before NDCG@10.
    """
    scores = [(entry.get("development_hit", 0.0), entry["development"]) for entry in history[1:]]
    return scores.index(max(scores)) + 1 if scores else 0


def _is_finished(history: list[dict[str, float]], options: Optimisation) -> bool:
    epochs = len(history) - 1
    return epochs >= options.epochs or epochs - best_epoch(history) >= options.patience


def _copy(parameters: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in parameters.items()}


def _restore(parameters: dict[str, nn.Parameter], values: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(values[name])


def _sample(instances: HeldOut, number: int | Literal["all"]) -> HeldOut:
    """At most `number` of the instances, always the same ones."""
    if number == "all" or len(instances) <= number:
        return instances
    return instances.take(np.sort(np.random.default_rng(0).choice(len(instances), number, replace=False)))

"""The cases of the speed benchmark, group by group, all on the same random data of ML-100k's shape.

A training step takes 256 positives with four negatives each: it draws them, gathers contexts, goes forward and
backward, and updates the parameters. Settings are the defaults of `sdmr run`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from sdmr.datasets.sampling import NegativeSampler
from sdmr.datasets.task import Task, Training
from sdmr.experiments.benchmark.models import (
    OPTIMIZER,
    ORACLE_CLASSES,
    ORACLES,
    import_oracles,
    make_model,
    make_oracle,
    make_with_oracle,
)
from sdmr.experiments.benchmark.synthetic import draw_excerpt, make_task
from sdmr.experiments.benchmark.timing import (
    Entry,
    Measure,
    best_of,
    run_in_subprocess,
    time_call,
    time_training_step,
)
from sdmr.experiments.core.registry import MODELS
from sdmr.harness.evaluation import rank
from sdmr.harness.metrics import count_ranks
from sdmr.harness.records import get_peak_memory
from sdmr.harness.training.base import TorchRecommender

BATCH = 256


@dataclass(frozen=True)
class Scale:
    """Say how much is measured."""

    shape: tuple[int, int, int] = (943, 1_682, 100_000)  # users, items and interactions of ML-100k
    n_candidates: int = 100
    steps: int = 40  # of a training epoch
    few_steps: int = 6  # where a step takes long
    many_steps: int = 100  # where memory must be touched first
    repeats: int = 3
    models: tuple[str, ...] = tuple(MODELS)
    large: tuple[str, ...] = ("model.dim=128", "model.hops=4", "context_length=20")
    catalogs: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    dims: tuple[int, ...] = (16, 32, 64, 128, 256)
    hops: tuple[int, ...] = (1, 2, 3, 4)
    lengths: tuple[int, ...] = (2, 5, 10, 20, 40)
    n_negatives: int = 400_000

    def make_task(self) -> Task:
        """Make the task that most groups measure on."""
        return make_task(*self.shape, self.n_candidates)

    def make_training(self, steps: int) -> Training:
        """Make training data of so many steps an epoch."""
        return draw_excerpt(self.make_task().training, steps * BATCH)


TINY = Scale(
    shape=(40, 60, 700),
    n_candidates=8,
    steps=1,
    few_steps=1,
    many_steps=1,
    repeats=1,
    models=("popularity", "mf-bpr", "sdp", "sdm"),
    large=("model.dim=8", "context_length=6"),
    catalogs=(50, 100),
    dims=(4, 8),
    hops=(1, 2),
    lengths=(1, 3),
    n_negatives=100,
)


def measure_models(scale: Scale) -> Iterator[Entry]:
    """Measure every model: a training step, and ranking the test items."""
    task = scale.make_task()
    training = draw_excerpt(task.training, scale.steps * BATCH)
    for name in scale.models:
        compared = make_with_oracle(name)
        if isinstance(compared[0], TorchRecommender):
            steps = [time_training_step(model, training) for model in compared]
            yield Entry("train", _describe_step(training, model=name), *best_of(scale.repeats, *steps))
        else:
            setting = {"count": len(task.training.instances), "of": "interactions", "model": name}
            yield Entry("fit", setting, *best_of(1, time_call(partial(compared[0].fit, task.training))))
        setting = {"count": task.test.candidates.size, "of": "candidates", "model": name}
        yield Entry("rank", setting, *best_of(scale.repeats, *(_time_ranking(model, task) for model in compared)))


def _describe_step(training: Training, **setting: Any) -> dict[str, Any]:
    return {"count": min(BATCH, len(training.instances)), "of": "interactions", **setting}


def _time_ranking(model: Any, task: Task) -> Measure:
    return time_call(lambda: rank(model, task.test))


def measure_large(scale: Scale) -> Iterator[Entry]:
    """Measure SDM at the largest size of the paper's search."""
    training = scale.make_training(scale.few_steps)
    steps = [time_training_step(model, training) for model in make_with_oracle("sdm", *scale.large)]
    setting = _describe_step(training, model="sdm", size="large", **_shorten_keys(scale.large))
    yield Entry("train", setting, *best_of(scale.repeats - 1 or 1, *steps))


def _shorten_keys(overrides: Sequence[str]) -> dict[str, str]:
    pairs = (override.partition("=") for override in overrides)
    return {key.rpartition(".")[2]: value for key, _, value in pairs}


def measure_parts(scale: Scale) -> Iterator[Entry]:
    """Measure the sampler, contexts and counting of ranks, each alone."""
    task = scale.make_task()
    instances, rng = task.training.instances, np.random.default_rng(0)
    small, negatives = NegativeSampler(task.training.matrix), {"count": scale.n_negatives, "of": "negatives"}
    users = rng.choice(instances.users, scale.n_negatives // 4)
    yield Entry("negatives", negatives, *best_of(scale.repeats, time_call(lambda: small.sample(users, 4, rng))))
    n_items = max(scale.catalogs)
    large = NegativeSampler(make_task(1_000, n_items, 20_000, 1).training.matrix)
    others = rng.integers(1_000, size=scale.n_negatives // 4)
    seconds = best_of(scale.repeats, time_call(lambda: large.sample(others, 4, rng)))
    yield Entry("negatives", negatives | {"items": n_items}, *seconds)
    contexts = {"count": len(instances), "of": "contexts", "context_length": 20}
    yield Entry("contexts", contexts, *best_of(scale.repeats, time_call(lambda: instances.contexts.last_n(20))))
    scores, columns = rng.random(task.test.candidates.shape, dtype=np.float32), task.test.target_columns
    counted = {"count": scores.size, "of": "scores"}
    yield Entry("count ranks", counted, *best_of(scale.repeats, time_call(lambda: count_ranks(scores, columns))))


def measure_items(scale: Scale) -> Iterator[Entry]:
    """Measure a training step as the catalog grows, row-wise against dense Adam.

    Row-wise is trained until most of the memory of its moments has been touched once, as it is early in any fit.
    """
    for n_items in scale.catalogs:
        training = make_task(1_000, n_items, 2 * scale.many_steps * BATCH, 10).training
        few, many = (draw_excerpt(training, steps * BATCH) for steps in (scale.few_steps, scale.many_steps))
        for name in ("mf-bpr", "sdm"):
            setting = {"count": BATCH, "of": "interactions", "model": name, "items": n_items}
            rowwise, dense = (make_model(name, f"{OPTIMIZER}={optimizer}") for optimizer in ("rowwise", "dense"))
            steps = time_training_step(rowwise, many), time_training_step(dense, few)
            seconds = best_of(scale.repeats, *steps)
            yield Entry("growth items", setting | {"optimizer": "rowwise", "oracle": "dense"}, *seconds)
            yield Entry("growth items", setting | {"optimizer": "dense"}, seconds[1])


def measure_sizes(scale: Scale) -> Iterator[Entry]:
    """Measure a training step of SDM as d, s or the hops grow; the others stay at 64, 5 and 3."""
    training = scale.make_training(scale.few_steps)
    axes = {"model.dim": scale.dims, "context_length": scale.lengths, "model.hops": scale.hops}
    for axis, values in axes.items():
        name = axis.rpartition(".")[2]
        for value in values:
            steps = [time_training_step(model, training) for model in make_with_oracle("sdm", f"{axis}={value}")]
            setting = _describe_step(training, model="sdm") | {name: value}
            yield Entry(f"growth {name}", setting, *best_of(1, *steps))


def measure_memory(scale: Scale) -> Iterator[Entry]:
    """Measure training steps in a new process, and the largest resident size of that process."""
    for name, overrides in (("mf-bpr", ()), ("sdp", ()), ("sdm", ()), ("sdm", scale.large)):
        seconds, peak = run_in_subprocess(_train_for_memory, scale, make_model, name, overrides)
        setting = {"model": name, **_shorten_keys(overrides), "peak_mib": round(peak)}
        oracle_seconds = None
        if name in ORACLE_CLASSES and import_oracles():
            oracle_seconds, peak = run_in_subprocess(_train_for_memory, scale, make_oracle, name, overrides)
            setting["oracle_peak_mib"] = round(peak)
        yield Entry("memory", setting, seconds, oracle_seconds)


def _train_for_memory(
    scale: Scale, make: Callable[..., Any], name: str, overrides: Sequence[str]
) -> tuple[float, float]:
    seconds = time_training_step(make(name, *overrides), scale.make_training(scale.few_steps))()
    return seconds, get_peak_memory()


def measure_side_by_side(scale: Scale) -> Iterator[Entry]:
    """Measure runs at once, one on each thread, against one after another on all threads."""
    threads = torch.get_num_threads()
    for name in ("mf-bpr", "sdm"):
        together = run_in_subprocess(_train_on_threads, scale, name, 1, copies=threads)
        sequential = threads * run_in_subprocess(_train_on_threads, scale, name, threads)
        setting = {"model": name, "runs": threads, "oracle": f"one after another, {threads} threads each"}
        yield Entry("side by side", setting, together, sequential)


def _train_on_threads(scale: Scale, name: str, threads: int) -> float:
    torch.set_num_threads(threads)
    model = make_model(name, "epochs=6")
    model.fit(scale.make_training(scale.steps))
    return float(np.median([entry["fit_seconds"] for entry in model.history[2:]]))


GROUPS: dict[str, Callable[[Scale], Iterator[Entry]]] = {
    "models": measure_models,
    "large": measure_large,
    "parts": measure_parts,
    "items": measure_items,
    "sizes": measure_sizes,
    "memory": measure_memory,
    "side_by_side": measure_side_by_side,
}


def measure_groups(scale: Scale, groups: Sequence[str]) -> list[Entry]:
    """Measure groups of cases, and print each measurement as it is made."""
    if import_oracles() is None:
        print(f"no ratios to the literal oracles: they are in a checkout's tests, and {ORACLES} does not exist")
    entries = []
    for name in groups:
        for entry in GROUPS[name](scale):
            print(entry, flush=True)
            entries.append(entry)
    return entries

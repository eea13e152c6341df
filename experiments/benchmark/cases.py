"""The cases of the speed benchmark, group by group.

All use the same random data of ML-100k's shape, except for the cases of large catalogs.
A training step takes 256 positives with four negatives each: it draws them, gathers contexts, goes forward and
backward, and updates the parameters. Settings are the defaults of `sdmr run`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from timeit import timeit
from typing import Any

import numpy as np
import torch

from sdmr.datasets.sampling import NegativeSampler
from sdmr.datasets.task import Task, Training
from sdmr.experiments.benchmark import timing
from sdmr.experiments.benchmark.synthetic import draw_excerpt, make_task
from sdmr.experiments.benchmark.timing import Entry, best_of, make_model, make_with_oracle, time_training_step
from sdmr.experiments.core.registry import MODELS
from sdmr.harness.evaluation import rank
from sdmr.harness.metrics import count_ranks
from sdmr.harness.records import get_peak_memory
from sdmr.harness.training.base import TorchRecommender

BATCH = 256


@dataclass(frozen=True)
class Scale:
    """The amount of work that is measured."""

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
    task, training = scale.make_task(), scale.make_training(scale.steps)
    for name in scale.models:
        models = make_with_oracle(name)
        if isinstance(models[0], TorchRecommender):
            yield _measure_steps("train", {"model": name}, training, models, scale.repeats)
        else:
            fit = partial(models[0].fit, task.training)
            yield _measure_calls("fit", len(task.training.instances), "interactions", [fit], 1, model=name)
        rankings = [partial(rank, model, task.test) for model in models]
        yield _measure_calls("rank", task.test.candidates.size, "candidates", rankings, scale.repeats, model=name)


def _measure_steps(
    name: str, setting: dict[str, Any], training: Training, models: Sequence[TorchRecommender], repeats: int
) -> Entry:
    """Measure a training step of a model and, if there is one, of its oracle."""
    count = {"count": min(BATCH, len(training.instances)), "of": "interactions"}
    measures = [partial(time_training_step, model, training) for model in models]
    return Entry(name, count | setting, *best_of(repeats, *measures))


def _measure_calls(
    name: str, count: int, unit: str, calls: Sequence[Callable[[], object]], repeats: int, **setting: Any
) -> Entry:
    """Measure a call that does `count` units of work and, if any, the oracle's."""
    measures = [partial(timeit, call, number=1) for call in calls]
    return Entry(name, {"count": count, "of": unit, **setting}, *best_of(repeats, *measures))


def measure_large(scale: Scale) -> Iterator[Entry]:
    """Measure SDM at the largest size of the paper's search."""
    setting = {"model": "sdm", "size": "large", **_shorten_keys(scale.large)}
    models = make_with_oracle("sdm", *scale.large)
    yield _measure_steps("train", setting, scale.make_training(scale.few_steps), models, scale.repeats - 1 or 1)


def _shorten_keys(overrides: Sequence[str]) -> dict[str, str]:
    return dict(override.rpartition(".")[2].split("=") for override in overrides)


def measure_parts(scale: Scale) -> Iterator[Entry]:
    """Measure the sampler, contexts and counting of ranks, each alone."""
    task, rng = scale.make_task(), np.random.default_rng(0)
    instances, number = task.training.instances, scale.n_negatives
    large = make_task(1_000, max(scale.catalogs), 20_000, 1).training
    for matrix, users, setting in (
        (task.training.matrix, rng.choice(instances.users, number // 4), {}),
        (large.matrix, rng.integers(1_000, size=number // 4), {"items": large.n_items}),
    ):
        draw = partial(NegativeSampler(matrix).sample, users, 4, rng)
        yield _measure_calls("negatives", number, "negatives", [draw], scale.repeats, **setting)
    gather = partial(instances.contexts.last_n, 20)
    yield _measure_calls("contexts", len(instances), "contexts", [gather], scale.repeats, context_length=20)
    scores = rng.random(task.test.candidates.shape, dtype=np.float32)
    count = partial(count_ranks, scores, task.test.target_columns)
    yield _measure_calls("count ranks", scores.size, "scores", [count], scale.repeats)


def measure_items(scale: Scale) -> Iterator[Entry]:
    """Measure a training step as the catalog grows.

    The oracle moves every row in every step, as `regularization_scope=all` asks. The default is trained until most of
    the memory of its moments has been touched once, as it is early in any fit.
    """
    for n_items in scale.catalogs:
        training = make_task(1_000, n_items, 2 * scale.many_steps * BATCH, 10).training
        few, many = (draw_excerpt(training, steps * BATCH) for steps in (scale.few_steps, scale.many_steps))
        for name in ("mf-bpr", "sdm"):
            setting = {"count": BATCH, "of": "interactions", "model": name, "items": n_items}
            measures = [
                partial(time_training_step, make_model(name, f"model.optimization.regularization_scope={scope}"), data)
                for scope, data in (("batch", many), ("all", few))
            ]
            adam, dense = best_of(scale.repeats, *measures)
            yield Entry("growth items", setting | {"optimizer": "adam", "oracle": "dense Adam"}, adam, dense)
            yield Entry("growth items", setting | {"optimizer": "dense Adam"}, dense)


def measure_sizes(scale: Scale) -> Iterator[Entry]:
    """Measure a training step of SDM as d, s or the hops grow.

    The others stay at 64, 5 and 3.
    """
    training = scale.make_training(scale.few_steps)
    axes = {"model.dim": scale.dims, "context_length": scale.lengths, "model.hops": scale.hops}
    for axis, values in axes.items():
        name = axis.rpartition(".")[2]
        for value in values:
            models = make_with_oracle("sdm", f"{axis}={value}")
            yield _measure_steps(f"growth {name}", {"model": "sdm", name: value}, training, models, 1)


def measure_memory(scale: Scale) -> Iterator[Entry]:
    """Measure training steps in a new process, and the largest resident size of that process."""
    for name, overrides in (("mf-bpr", ()), ("sdp", ()), ("sdm", ()), ("sdm", scale.large)):
        numbers = range(len(make_with_oracle(name)))
        results = [timing.run_in_subprocess(_train_for_memory, scale, name, overrides, number) for number in numbers]
        peaks = {key: round(peak) for key, (_, peak) in zip(("peak_mib", "oracle_peak_mib"), results, strict=False)}
        yield Entry("memory", {"model": name, **_shorten_keys(overrides), **peaks}, *(one[0] for one in results))


def _train_for_memory(scale: Scale, name: str, overrides: Sequence[str], number: int) -> tuple[float, float]:
    """Return a step's seconds and the peak memory of model 0 or oracle 1."""
    model = make_with_oracle(name, *overrides)[number]
    return time_training_step(model, scale.make_training(scale.few_steps)), get_peak_memory()


def measure_side_by_side(scale: Scale) -> Iterator[Entry]:
    """Measure runs at once, one on each thread, against one after another on all threads."""
    threads = torch.get_num_threads()
    for name in ("mf-bpr", "sdm"):
        together = timing.run_in_subprocess(_train_on_threads, scale, name, 1, copies=threads)
        sequential = threads * timing.run_in_subprocess(_train_on_threads, scale, name, threads)
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
    if not timing.load_oracles():
        print(f"no ratios to the literal oracles: they are in a checkout's tests, and {timing.ORACLES} does not exist")
    entries = []
    for name in groups:
        for entry in GROUPS[name](scale):
            print(entry, flush=True)
            entries.append(entry)
    return entries

"""What the bench measures, group by group.

Everything is measured in one run, on the same random data of ML-100k's shape (see `inputs.py`). What is compared takes
turns, and the least of several rounds counts, so that a machine whose speed drifts tells the same ratios. A training
step is one of the training loop that every model is run by, on 256 positives with four negatives each: drawing them,
gathering contexts, forward, backward and the optimizer. Settings are the plain ones of `sdmr.experiments.run`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate

from sdmr.datasets.sampling import NegativeSampler
from sdmr.datasets.task import Task, Training
from sdmr.experiments.bench.inputs import excerpt, synthetic
from sdmr.experiments.configs import MODELS, compose_run
from sdmr.harness.evaluation import rank
from sdmr.harness.metrics import count_ranks
from sdmr.harness.records import get_peak_memory
from sdmr.harness.training.base import TorchRecommender

ORACLES = {"sdp": "sdmr.experiments.bench.oracles.LiteralSDP", "sdm": "sdmr.experiments.bench.oracles.LiteralSDM"}
OPTIMIZER = "model.optimization.optimizer"
BATCH = 256


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    shape: tuple[int, int, int] = (943, 1_682, 100_000)  # users, items and interactions: ML-100k's
    n_candidates: int = 100
    steps: int = 40  # a model is trained for so many
    few: int = 6  # for so many where a step is long
    many: int = 100  # for so many where memory must be touched first
    rounds: int = 3
    choices: tuple[str, ...] = tuple(MODELS)
    large: tuple[str, ...] = ("model.dim=128", "model.hops=4", "context_length=20")
    catalogues: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    dims: tuple[int, ...] = (16, 32, 64, 128, 256)
    hops: tuple[int, ...] = (1, 2, 3, 4)
    lengths: tuple[int, ...] = (2, 5, 10, 20, 40)
    n_negatives: int = 400_000


TINY = Scale(
    shape=(40, 60, 700),
    n_candidates=8,
    steps=1,
    few=1,
    many=1,
    rounds=1,
    choices=("popularity", "mf-bpr", "sdp", "sdm"),
    large=("model.dim=8", "context_length=6"),
    catalogues=(50, 100),
    dims=(4, 8),
    hops=(1, 2),
    lengths=(1, 3),
    n_negatives=100,
)


@dataclass(frozen=True)
class Entry:
    """One measurement: `seconds` of the program, `oracle_seconds` of what it is held against, if there is anything."""

    name: str
    setting: dict[str, Any]
    seconds: float
    oracle_seconds: float | None = None
    threads: int = field(default_factory=torch.get_num_threads, kw_only=True)

    @property
    def ratio(self) -> float | None:
        """How many times faster than the oracle."""
        return None if self.oracle_seconds is None else self.oracle_seconds / self.seconds

    def __str__(self) -> str:
        ratio = "" if self.ratio is None else f"{self.ratio:.2f} x"
        oracle = "" if self.oracle_seconds is None else f"{self.oracle_seconds:.4g} s"
        count = self.setting.get("count")
        rate = f"{count / self.seconds:,.0f} {self.setting['of']}/s" if count else ""
        told = ", ".join(f"{key} {value}" for key, value in self.setting.items() if key not in ("count", "of"))
        return f"{ratio:>9}  {self.name:21} {self.seconds:9.4g} s  {oracle:>9}  {rate:>26}  {told}"


Measure = Callable[[], float]  # does some work, and tells the seconds it took


def least(rounds: int, *measures: Measure) -> list[float]:
    """The least seconds of each; they take turns, so that all of them see the machine's good and bad moments."""
    times = [[measure() for measure in measures] for _ in range(rounds)]
    return [min(column) for column in zip(*times, strict=True)]


def of_function(work: Callable[[], object]) -> Measure:
    """The seconds of a call."""

    def measure() -> float:
        begun = time.perf_counter()
        work()
        return time.perf_counter() - begun

    return measure


def recommender(choice: str, *overrides: str, oracle: bool = False) -> Any:
    """A model as `sdmr.experiments.run` would make it, to be trained for three epochs; or its oracle."""
    model = compose_run([f"model={choice}", "epochs=3", *overrides])[0]["model"]
    return instantiate(model | {"_target_": ORACLES[choice]} if oracle else model)


def of_training(model: TorchRecommender, training: Training) -> Measure:
    """The seconds of a training step; the first epoch, in which memory is first touched, does not count."""

    def measure() -> float:
        model.fit(training)
        steps = -(-len(training.instances) // model.optimization.batch_size)
        return min(entry["fit_seconds"] for entry in model.history[2:]) / steps

    return measure


def models(scale: Scale) -> Iterator[Entry]:
    """Every model on data of ML-100k's shape: a training step, and ranking the test items."""
    task = synthetic(*scale.shape, scale.n_candidates)
    training = excerpt(task.training, scale.steps * BATCH)
    ranked = {"count": task.test.candidates.size, "of": "candidates"}
    for choice in scale.choices:
        model = recommender(choice)
        if not isinstance(model, TorchRecommender):
            whole = {"count": len(task.training.instances), "of": "interactions", "model": choice}
            yield Entry("fit", whole, *least(1, of_function(partial(model.fit, task.training))))
            yield Entry("rank", ranked | {"model": choice}, *least(scale.rounds, _ranking(model, task)))
            continue
        compared = [model, recommender(choice, oracle=True)] if choice in ORACLES else [model]
        step = {"count": min(BATCH, len(training.instances)), "of": "interactions", "model": choice}
        yield Entry("train", step, *least(scale.rounds, *(of_training(each, training) for each in compared)))
        yield Entry("rank", ranked | {"model": choice}, *least(scale.rounds, *(_ranking(m, task) for m in compared)))


def _ranking(model: Any, task: Task) -> Measure:
    return of_function(lambda: rank(model, task.test))


def large(scale: Scale) -> Iterator[Entry]:
    """SDM at the largest size of the paper's search."""
    training = excerpt(synthetic(*scale.shape, scale.n_candidates).training, scale.few * BATCH)
    both = [recommender("sdm", *scale.large, oracle=oracle) for oracle in (False, True)]
    setting = {"count": min(BATCH, len(training.instances)), "of": "interactions", "model": "sdm", "size": "large"}
    times = least(scale.rounds - 1 or 1, *(of_training(each, training) for each in both))
    yield Entry("train", setting | _given(scale.large), *times)


def _given(overrides: Sequence[str]) -> dict[str, str]:
    pairs = (override.partition("=") for override in overrides)
    return {key.rpartition(".")[2]: value for key, _, value in pairs}


def parts(scale: Scale) -> Iterator[Entry]:
    """The sampler, contexts and counting of ranks, each alone."""
    task = synthetic(*scale.shape, scale.n_candidates)
    instances, rng = task.training.instances, np.random.default_rng(0)
    unseen, negatives = NegativeSampler(task.training.matrix), {"count": scale.n_negatives, "of": "negatives"}
    users = rng.choice(instances.users, scale.n_negatives // 4)
    yield Entry("negatives", negatives, *least(scale.rounds, of_function(lambda: unseen.sample(users, 4, rng))))
    vast = NegativeSampler(synthetic(1_000, max(scale.catalogues), 20_000, 1).training.matrix)
    many = rng.integers(1_000, size=scale.n_negatives // 4)
    setting = negatives | {"items": max(scale.catalogues)}
    yield Entry("negatives", setting, *least(scale.rounds, of_function(lambda: vast.sample(many, 4, rng))))
    gathered = {"count": len(instances), "of": "contexts", "context_length": 20}
    yield Entry("contexts", gathered, *least(scale.rounds, of_function(lambda: instances.contexts.last_n(20))))
    scores, columns = rng.random(task.test.candidates.shape, dtype=np.float32), task.test.target_columns
    counted = {"count": scores.size, "of": "scores"}
    yield Entry("count ranks", counted, *least(scale.rounds, of_function(lambda: count_ranks(scores, columns))))


def items(scale: Scale) -> Iterator[Entry]:
    """A training step on batches of the same size as the catalogue grows; row-wise is held against dense.

    Row-wise is trained until most of the memory of its moments has been touched once, as it is early in any fit.
    """
    for n_items in scale.catalogues:
        task = synthetic(1_000, n_items, 2 * scale.many * BATCH, 10)
        few, many = (excerpt(task.training, steps * BATCH) for steps in (scale.few, scale.many))
        for choice in ("mf-bpr", "sdm"):
            setting = {"count": BATCH, "of": "interactions", "model": choice, "items": n_items}
            by_row, to_the_letter = (recommender(choice, f"{OPTIMIZER}={each}") for each in ("rowwise", "dense"))
            rowwise, dense = least(scale.rounds, of_training(by_row, many), of_training(to_the_letter, few))
            yield Entry("growth items", setting | {"optimizer": "rowwise", "oracle": "dense"}, rowwise, dense)
            yield Entry("growth items", setting | {"optimizer": "dense"}, dense)


def sizes(scale: Scale) -> Iterator[Entry]:
    """A training step of SDM and its oracle as d, s and the hops grow, the other two at d 64, s 5 and 3 hops."""
    training = excerpt(synthetic(*scale.shape, scale.n_candidates).training, scale.few * BATCH)
    axes = {"model.dim": scale.dims, "context_length": scale.lengths, "model.hops": scale.hops}
    for axis, values in axes.items():
        name = axis.rpartition(".")[2]
        for value in values:
            both = [recommender("sdm", f"{axis}={value}", oracle=oracle) for oracle in (False, True)]
            times = least(1, *(of_training(model, training) for model in both))
            setting = {"count": min(BATCH, len(training.instances)), "of": "interactions", "model": "sdm"}
            yield Entry(f"growth {name}", setting | {name: value}, *times)


def memory(scale: Scale) -> Iterator[Entry]:
    """Training steps in a process of their own, and the largest resident size of that process."""
    for choice, overrides in (("mf-bpr", ()), ("sdp", ()), ("sdm", ()), ("sdm", scale.large)):
        seconds, peak = _alone(_peak, scale, choice, overrides, False)
        setting = {"model": choice, **_given(overrides), "peak_mib": round(peak)}
        oracle_seconds = None
        if choice in ORACLES:
            oracle_seconds, oracle_peak = _alone(_peak, scale, choice, overrides, True)
            setting["oracle_peak_mib"] = round(oracle_peak)
        yield Entry("memory", setting, seconds, oracle_seconds)


def _peak(scale: Scale, choice: str, overrides: Sequence[str], oracle: bool) -> tuple[float, float]:
    training = excerpt(synthetic(*scale.shape, scale.n_candidates).training, scale.few * BATCH)
    seconds = of_training(recommender(choice, *overrides, oracle=oracle), training)()
    return seconds, get_peak_memory()


def side_by_side(scale: Scale) -> Iterator[Entry]:
    """As many runs at once as there are threads, one thread each, against one run after the other on all threads."""
    threads = torch.get_num_threads()
    for choice in ("mf-bpr", "sdm"):
        together = _alone(_steps, scale, choice, 1, copies=threads)
        one_by_one = threads * _alone(_steps, scale, choice, threads)
        setting = {"model": choice, "runs": threads, "oracle": f"one after another, {threads} threads each"}
        yield Entry("side by side", setting, together, one_by_one)


def _steps(scale: Scale, choice: str, threads: int) -> float:
    torch.set_num_threads(threads)
    training = excerpt(synthetic(*scale.shape, scale.n_candidates).training, scale.steps * BATCH)
    model = recommender(choice, "epochs=6")
    model.fit(training)
    return float(np.median([entry["fit_seconds"] for entry in model.history[2:]]))


def _alone(work: Callable[..., Any], *arguments: Any, copies: int = 1) -> Any:
    """What `work` returns in a new process; with `copies`, the largest of what several at once return."""
    context, threads = get_context("spawn"), torch.get_num_threads()
    with ProcessPoolExecutor(copies, context, initializer=torch.set_num_threads, initargs=(threads,)) as processes:
        return max([processes.submit(work, *arguments) for _ in range(copies)], key=Future.result).result()


GROUPS = {each.__name__: each for each in (models, large, parts, items, sizes, memory, side_by_side)}


def bench(scale: Scale, groups: Sequence[str] = tuple(GROUPS)) -> list[Entry]:
    """Measure, and tell each measurement as it is made."""
    entries = []
    for name in groups:
        for entry in GROUPS[name](scale):
            print(entry, flush=True)
            entries.append(entry)
    return entries

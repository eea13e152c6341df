"""Time what the suite computes beside references that compute the same.

What is compared takes turns, and the least of several turns counts.
"""

import runpy
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from itertools import islice
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from torch import Tensor

from sdmr.datasets.sampling import NegativeSampler
from sdmr.datasets.task import Training
from sdmr.experiments.core.config import compose_config
from sdmr.experiments.core.registry import CHECKOUT
from sdmr.harness.training.base import TorchRecommender
from sdmr.harness.training.optimizer import OptimizationConfig, Optimizer
from sdmr.harness.training.sequence import SequenceRecommender

ORACLES = CHECKOUT / "tests" / "oracles"  # which a wheel does not have
LITERAL = "literal oracle"


@dataclass(frozen=True)
class Cost:
    """Hold the least seconds of several turns, by the clock and of all processors.

    `turns` has the seconds of each by the clock.
    """

    seconds: float
    processor_seconds: float | None = None
    turns: tuple[float, ...] = ()


@dataclass(frozen=True)
class Entry:
    """A measurement: the cost of a call and, if there is one, of its reference."""

    name: str
    setting: dict[str, Any]
    cost: Cost
    reference: str | None = None  # what it is compared with
    reference_cost: Cost | None = None
    threads: int = field(default_factory=torch.get_num_threads, kw_only=True)

    @property
    def ratio(self) -> float | None:
        """Return how many times faster than the reference the call is."""
        return None if self.reference_cost is None else self.reference_cost.seconds / self.cost.seconds

    @property
    def processor_ratio(self) -> float | None:
        """Return the ratio of processor times, which a busy machine hardly changes."""
        ours, theirs = (one and one.processor_seconds for one in (self.cost, self.reference_cost))
        return theirs / ours if ours and theirs else None

    @property
    def ratios(self) -> list[float]:
        """Return the least and the largest ratio of a round."""
        if self.reference_cost is None or not self.cost.turns:
            return []
        ratios = [theirs / ours for ours, theirs in zip(self.cost.turns, self.reference_cost.turns, strict=True)]
        return [min(ratios), max(ratios)]

    def get_row(self) -> dict[str, Any]:
        """Return what bench.json holds of it."""
        reference = asdict(self.reference_cost) if self.reference_cost else {}
        return {
            "name": self.name,
            "setting": self.setting,
            "seconds": self.cost.seconds,
            "processor_seconds": self.cost.processor_seconds,
            "reference": self.reference,
            "reference_seconds": reference.get("seconds"),
            "reference_processor_seconds": reference.get("processor_seconds"),
            "ratio": self.ratio,
            "ratios": self.ratios,
            "processor_ratio": self.processor_ratio,
            "threads": self.threads,
        }

    def __str__(self) -> str:
        """Return the ratios, the cost and what was measured as a line."""
        columns = ["", "", ""]
        if self.ratio is not None:
            spread = "–".join(f"{ratio:.2f}" for ratio in self.ratios)
            processor = f"({self.processor_ratio:.2f})" if self.processor_ratio else ""
            columns = [f"{self.ratio:.2f} x", spread, processor]
        seconds = f"{self.cost.seconds:.4g} s"
        processor = f"({self.cost.processor_seconds:.4g})" if self.cost.processor_seconds is not None else ""
        names = [f"{key} {value}" for key, value in self.setting.items() if key not in ("count", "of")]
        setting = ", ".join([*names, describe_threads(self.threads)])
        if self.reference_cost is not None:
            setting += f"; {self.reference}: {self.reference_cost.seconds:.4g} s"
        ratios = "{:>9} {:>12} {:>8}".format(*columns)
        return f"{ratios}  {self.name:22} {seconds:>11} {processor:>11}  {setting}"


def describe_threads(number: int) -> str:
    """Return a number of threads in words."""
    return f"{number} thread" + "s" * (number > 1)


def compare(turns: int, *calls: Callable[[], object], count: int = 1) -> list[Cost]:
    """Return the cost of each call, divided by its `count` equal pieces of work.

    They take turns, so that all of them see the good and the bad moments of a machine whose speed drifts.
    """
    costs = [[_time(call, count) for call in calls] for _ in range(turns)]
    return [merge_costs(column) for column in zip(*costs, strict=True)]


def merge_costs(costs: Sequence[Cost]) -> Cost:
    """Return the cost of several turns."""
    turns = tuple(seconds for cost in costs for seconds in cost.turns)
    processor_seconds = [cost.processor_seconds for cost in costs if cost.processor_seconds is not None]
    return Cost(min(turns), min(processor_seconds, default=None), turns)


def _time(call: Callable[[], object], count: int) -> Cost:
    start, processor_start = time.perf_counter(), time.process_time()
    call()
    seconds = (time.perf_counter() - start) / count
    return Cost(seconds, (time.process_time() - processor_start) / count, (seconds,))


def shorten_keys(overrides: Sequence[str]) -> dict[str, str]:
    """Return overrides by the last word of their key."""
    return dict(override.rpartition(".")[2].split("=") for override in overrides)


@cache
def load_oracles() -> dict[str, type]:
    """Return the literal oracles by model, which only a checkout has."""
    classes = load_reference("batched.py")
    return {"sdp": classes["LiteralSDP"], "sdm": classes["LiteralSDM"]} if classes else {}


def load_reference(name: str) -> dict[str, Any]:
    """Return what a file of the tests' oracles defines; nothing without a checkout."""
    return runpy.run_path(str(ORACLES / name)) if ORACLES.is_dir() else {}


def make_with_oracle(name: str, *overrides: str) -> list[Any]:
    """Make a model of one epoch as `sdmr run` does, and its oracle, if any."""
    config = compose_config([f"model={name}", "epochs=1", *overrides]).settings["model"]
    constructor = instantiate(config | {"_partial_": True})
    classes = (constructor.func, load_oracles().get(name))
    return [cls(**constructor.keywords) for cls in classes if cls is not None]


def make_model(name: str, *overrides: str) -> Any:
    """Make a model alone."""
    return make_with_oracle(name, *overrides)[0]


def draw_batches(training: Training, context_length: int, options: OptimizationConfig) -> Iterator[list[Tensor]]:
    """Return users, contexts and candidates of one training batch after another, without end.

    Training draws the negatives of an epoch at once. Here each batch draws its own, so that a few steps bear their
    share of that time.
    """
    instances, negatives, rng = training.instances, NegativeSampler(training.matrix), np.random.default_rng(0)
    while True:
        order = rng.permutation(len(instances))
        for start in range(0, len(order), options.batch_size):
            rows = order[start : start + options.batch_size]
            users, contexts = instances.users[rows], instances.contexts.last_n(context_length, rows)
            candidates = [instances.targets[rows], negatives.sample(users, options.n_negatives, rng)]
            yield [torch.from_numpy(ids) for ids in (users, contexts, np.column_stack(candidates))]


def draw_windows(model: SequenceRecommender, training: Training) -> Iterator[tuple[Tensor, ...]]:
    """Return one training batch of a model of sequences after another, without end."""
    negatives, rng = NegativeSampler(training.matrix), np.random.default_rng(0)
    while True:
        for _, batch in model.draw_batches(training, negatives, rng)[1]:
            yield batch


class Steps:
    """Train a model further, after a first epoch that touches its memory."""

    def __init__(self, model: TorchRecommender, training: Training) -> None:
        model.fit(training)
        model.train()
        self.model, self._optimizer = model, Optimizer(model, model.optimization)
        self._optimizer.start_epoch(1)
        self._batches: Iterator[Sequence[Tensor]]
        self.count = min(model.optimization.batch_size, len(training.instances))  # positives of a step
        if isinstance(model, SequenceRecommender):
            self.n_batches, batches = model.draw_batches(
                training, NegativeSampler(training.matrix), np.random.default_rng(0)
            )
            self.count = round(np.mean([size for size, _ in batches]))
            self._batches = draw_windows(model, training)
        else:
            self._batches = draw_batches(training, model.context_length, model.optimization)

    def run(self, n_steps: int) -> None:
        """Draw batches, go forward and backward, and update the parameters."""
        for batch in islice(self._batches, n_steps):
            self._optimizer.zero_grad()
            self.model.compute_gradients(*(ids.to(self.model.device) for ids in batch))
            self._optimizer.step()
        if self.model.device.type == "cuda":
            torch.cuda.synchronize()


def make_entry(name: str, setting: dict[str, Any], costs: Sequence[Cost], reference: str = LITERAL) -> Entry:
    """Make an entry from the cost of a call and, maybe, of its reference."""
    cost, *others = costs
    return Entry(name, setting, cost, reference, others[0]) if others else Entry(name, setting, cost)


def measure_steps(
    name: str, setting: dict[str, Any], training: Training, models: Sequence[Any], n_steps: int, turns: int
) -> Entry:
    """Measure a training step of a model and, if there is one, of its oracle."""
    steps = [Steps(model, training) for model in models]
    calls = [partial(one.run, n_steps) for one in steps]
    count = {"count": steps[0].count, "of": "interactions"}
    return make_entry(name, count | setting, compare(turns, *calls, count=n_steps))


def measure_calls(
    name: str, count: int, unit: str, calls: Sequence[Callable[[], object]], turns: int, **setting: Any
) -> Entry:
    """Measure a call that does `count` units of work and, if any, the oracle's."""
    return make_entry(name, {"count": count, "of": unit, **setting}, compare(turns, *calls))


def run_in_subprocess(work: Callable[..., Any], *arguments: Any, copies: int = 1) -> Any:
    """Return what `work` returns in a new process; of several copies at once, the largest."""
    context, threads = get_context("spawn"), torch.get_num_threads()
    with ProcessPoolExecutor(copies, context, initializer=torch.set_num_threads, initargs=(threads,)) as processes:
        return max([processes.submit(work, *arguments) for _ in range(copies)], key=Future.result).result()

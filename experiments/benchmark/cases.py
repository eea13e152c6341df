"""The cases of the speed benchmark, group by group.

All use the same random data of ML-100k's shape, except for the cases of growth. A training step takes 256 positives
with four negatives each: it draws them, gathers contexts, goes forward and backward, and updates the parameters.
Settings are the defaults of `sdmr run`.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from sdmr.datasets.sampling import NegativeSampler
from sdmr.experiments.benchmark import steps
from sdmr.experiments.benchmark.growth import measure_growth, measure_long_tail
from sdmr.experiments.benchmark.load import measure_load, measure_memory, measure_side_by_side
from sdmr.experiments.benchmark.references import measure_plain, measure_recbole, measure_released
from sdmr.experiments.benchmark.scale import Scale
from sdmr.experiments.benchmark.steps import (
    make_model,
    make_with_oracle,
    measure_calls,
    measure_steps,
    shorten_keys,
)
from sdmr.experiments.benchmark.synthetic import make_task
from sdmr.experiments.benchmark.timing import Entry
from sdmr.experiments.core.options import CORES
from sdmr.harness.evaluation import rank
from sdmr.harness.metrics import count_ranks
from sdmr.harness.training.base import TorchRecommender


def measure_models(scale: Scale) -> Iterator[Entry]:
    """Measure every model: a training step, and ranking the test items.

    Of a model that is not trained by gradient, the whole fit is measured.
    """
    task, training = scale.make_task(), scale.make_training(scale.steps)
    for name in scale.models:
        models = make_with_oracle(name)
        if isinstance(models[0], TorchRecommender):
            yield measure_steps("train", {"model": name}, training, models, scale.steps, scale.turns)
        else:
            fit = partial(models[0].fit, task.training)
            yield measure_calls("fit", len(task.training.instances), "interactions", [fit], 1, model=name)
        rankings = [partial(rank, model, task.test) for model in models]
        yield measure_calls("rank", task.test.candidates.size, "candidates", rankings, scale.few_turns, model=name)


def measure_large(scale: Scale) -> Iterator[Entry]:
    """Measure SDM at the largest size of the paper's search."""
    setting = {"model": "sdm", "size": "large", **shorten_keys(scale.large)}
    models, training = make_with_oracle("sdm", *scale.large), scale.make_training(scale.few_steps)
    yield measure_steps("train", setting, training, models, scale.few_steps, scale.few_turns)


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
        yield measure_calls("negatives", number, "negatives", [draw], scale.turns, **setting)
    gather = partial(instances.contexts.last_n, 20)
    yield measure_calls("contexts", len(instances), "contexts", [gather], scale.turns, context_length=20)
    scores = rng.random(task.test.candidates.shape, dtype=np.float32)
    count = partial(count_ranks, scores, task.test.target_columns)
    yield measure_calls("count ranks", scores.size, "scores", [count], scale.turns)


def measure_device(scale: Scale, device: str) -> Iterator[Entry]:
    """Measure a training step on a device against the processor's."""
    training = scale.make_training(scale.steps)
    for name in scale.models:
        models = make_model(name), make_model(name)
        if isinstance(models[0], TorchRecommender):
            for model, name_of_device in zip(models, (device, "cpu"), strict=True):
                model.optimization = replace(model.optimization, device=name_of_device)
            yield measure_steps(f"step on {device}", {"model": name}, training, models, scale.steps, scale.turns, "cpu")


Measure = Callable[[Scale], Iterator[Entry]]
GROUPS: dict[str, Measure] = {
    "models": measure_models,
    "large": measure_large,
    "released": measure_released,
    "plain": measure_plain,
    "recbole": measure_recbole,
    "parts": measure_parts,
    "growth": measure_growth,
    "long_tail": measure_long_tail,
    "memory": measure_memory,
    "side_by_side": measure_side_by_side,
    "load": measure_load,
}
# Complete programs are compared on all cores; so is what several threads cost.
GROUPS_ON_ALL_CORES = (measure_released, measure_recbole, measure_side_by_side, measure_load)


def measure_groups(scale: Scale, groups: Iterable[Measure], threads: int | None = None) -> list[Entry]:
    """Measure groups of cases, and print each measurement as it is made.

    Without a number of threads, `GROUPS_ON_ALL_CORES` use all cores and the others one thread, as runs do.
    """
    if not steps.ORACLES.is_dir():
        print(f"no ratios to other programs: they are in a checkout's tests, and {steps.ORACLES} does not exist")
    entries = []
    for measure in groups:
        torch.set_num_threads(threads or (CORES if measure in GROUPS_ON_ALL_CORES else 1))
        for entry in measure(scale):
            print(entry, flush=True)
            entries.append(entry)
    return entries

"""Measure a training step as the data or the model grows."""

from collections.abc import Iterator
from functools import partial

from sdmr.datasets.task import Training
from sdmr.experiments.benchmark.scale import BATCH, Scale
from sdmr.experiments.benchmark.steps import Steps, make_model, make_with_oracle, measure_steps
from sdmr.experiments.benchmark.synthetic import draw_excerpt, make_task
from sdmr.experiments.benchmark.timing import Entry, compare, make_entry

DENSE = "model.optimization.regularization_scope=all"  # Adam must move every row in every step


def measure_growth(scale: Scale) -> Iterator[Entry]:
    """Measure a step as one thing grows: items, users, histories, d, s or the hops.

    The references are dense Adam for items, and the literal oracle for d, s and the hops.
    """
    steps, turns = scale.few_steps, scale.few_turns
    for n_items in scale.catalogs:
        training = _make_training(1_000, n_items, 51_200, steps)
        for name in ("mf-bpr", "sdm"):
            models = [make_model(name), make_model(name, DENSE)]
            setting = {"model": name, "items": n_items}
            yield measure_steps("growth items", setting, training, models, steps, turns, "dense Adam")
    for n_users in scale.users:
        training = _make_training(n_users, 1_000, 10 * n_users, steps)
        for name in ("mf-bpr", "sdm"):
            setting = {"model": name, "users": n_users}
            yield measure_steps("growth users", setting, training, [make_model(name)], steps, turns)
    for length in scale.histories:
        training = _make_training(1_000, 2_000, 1_000 * length, steps)
        for name in ("cmn", "sdm"):
            setting = {"model": name, "history": length}
            yield measure_steps("growth history", setting, training, [make_model(name)], steps, turns)
    training = scale.make_training(steps)
    axes = {"model.dim": scale.dims, "context_length": scale.lengths, "model.hops": scale.hops}
    for axis, values in axes.items():
        name = axis.rpartition(".")[2]
        for value in values:
            models = make_with_oracle("sdm", f"{axis}={value}")
            yield measure_steps(f"growth {name}", {"model": "sdm", name: value}, training, models, steps, turns)


def measure_long_tail(scale: Scale) -> Iterator[Entry]:
    """Measure a step with many items against one with fewer.

    It comes after so many steps that most rows have moments. The ratio says how many times as long the step with many
    items takes.
    """
    few, many, n_steps = scale.long_tail
    for name in ("mf-bpr", "sdm"):
        steps = [Steps(make_model(name), _make_training(1_000, items, 51_200, 1)) for items in (few, many)]
        for one in steps:
            one.run(n_steps)
        costs = compare(scale.turns, *(partial(one.run, scale.steps) for one in steps), count=scale.steps)
        setting = {"model": name, "items": few, "steps before": n_steps}
        yield make_entry("long tail", setting, costs, f"{many:,} items")


def _make_training(n_users: int, n_items: int, n_interactions: int, n_steps: int) -> Training:
    """Make long-tailed data, and take so many steps of them."""
    n_interactions = min(n_interactions, n_users * n_items // 4)
    return draw_excerpt(make_task(n_users, n_items, n_interactions, 10).training, n_steps * BATCH)

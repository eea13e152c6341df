"""Check a model's interface, a data set's test items, a published table, or a submission.

`sdmr check model=my_package.Net model.width=3` runs the model on tiny data, and prints a line for each check. It takes
seconds, needs no data set and writes no record. A `TorchRecommender` trains for two epochs.

`sdmr check dataset=ml-100k` trains nothing. It prints what the test items measure: how much training data is later than
they are, ties, sessions, repeated targets, what is left out, and whether the order of the items matters. Settings of
the task may follow, such as protocol.test_item=global-time. With publish=true, tables print these facts below their
rows.

`sdmr check table=3` lists what to know of the rows of a published table, such as one seed, and the records that other
code than the checkout's has made. It fails if any row is not comparable with the others.

`sdmr check submission=results/submissions/NAME` tells whether a submitted result is complete and comparable with the
published rows. With runs=[...], it first copies the records of these runs into the folder.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from sdmr.datasets.errors import DataError
from sdmr.datasets.task import Task
from sdmr.experiments.benchmark.synthetic import make_tiny_tasks
from sdmr.experiments.core import cli
from sdmr.experiments.core.checks import NOTE, PASSED, describe_check, print_checks
from sdmr.experiments.core.config import compose_config
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.messages import format_value
from sdmr.experiments.core.options import CommandOptions, Names, check_used
from sdmr.experiments.core.run import fill_context_length, make_recommender
from sdmr.experiments.report.comparability import describe_table
from sdmr.experiments.report.dataset_check import check_dataset
from sdmr.experiments.report.published_sources import describe_sizes, describe_sources
from sdmr.experiments.report.submission import add_runs, check_submission
from sdmr.harness.evaluation import check_score_all, score_all_items, score_candidates
from sdmr.harness.generators import seed_generators
from sdmr.harness.recommender import (
    check_unchanged,
    compute_checksums,
    fit,
    get_context_length,
    keep_settings,
    offers_score_all,
)
from sdmr.harness.score_check import check_independence
from sdmr.harness.training.base import TorchRecommender

SUBJECTS = ("model", "dataset", "table", "submission")
LENGTH_IF_NULL = 4  # context items of a model that reads several, with context_length=null


class Options(CommandOptions):
    text_options = ("runs",)
    model: str | None = Field(None, description="name of a model, or a class such as package.Class")
    dataset: str | None = Field(None, description="data set, in place of a model")
    table: Literal[3, 4] | None = Field(None, description="published table, in place of a model")
    submission: str | None = Field(None, description="folder of a submitted result, in place of a model")
    runs: Names | None = Field(None, description="runs to copy into the submission first: names, folders or patterns")
    publish: bool = Field(False, description="write the facts of a data set into `results`, so that tables print them")
    results: str = Field("results", description="folder of the published records and tables")
    context_length: int | None = Field(5, ge=1, description="context items of models that read several")
    overrides: list[str] = Field(
        default_factory=list, description="settings of the model, such as model.width=3, or of the task"
    )


def main(options: Options) -> int:
    if sum(getattr(options, subject) is not None for subject in SUBJECTS) != 1:
        raise UsageError(f"a check has one subject: set one of {', '.join(f'{subject}=...' for subject in SUBJECTS)}")
    if options.submission is not None:
        check_used(options, ("submission", "runs", "results"), "the check of a submission")
        arguments = (Path(options.submission), Path(options.results))
        add_runs(*arguments, options.runs or [])
        return print_checks(check_submission(*arguments))
    if options.table is not None:
        check_used(options, ("table", "results"), "the check of a table")
        results = Path(options.results)
        lines, is_comparable = describe_table(options.table, results)
        print(*describe_sources(results), *describe_sizes(results), *lines, sep="\n")
        return 0 if is_comparable else cli.FAILED
    if options.dataset is not None:
        check_used(options, ("dataset", "publish", "results", "overrides"), "the check of a data set")
        target = Path(options.results) if options.publish else None
        print(*check_dataset(options.dataset, options.overrides, target), sep="\n")
        return 0
    check_used(options, ("model", "context_length", "overrides"), "the check of a model")
    return check_model(options)


def check_model(options: Options) -> int:
    """Print the result of every check of a model. Returns the exit status."""
    if others := [override for override in options.overrides if not override.startswith("model.")]:
        raise UsageError(f"{others[0]}: a check has no such option, only model.NAME and context_length")
    torch.set_num_threads(1)
    shared = ["dataset=csv", "dataset.path=none", f"context_length={format_value(options.context_length)}"]
    settings, _ = compose_config([f"model={options.model}", *shared, *options.overrides])
    config = fill_context_length(settings["model"], LENGTH_IF_NULL)
    make_recommender(config)  # raises UsageError for what the constructor does not allow
    constructor = describe_check("constructor: its settings are those of a record", lambda: check_json_settings(config))
    tasks = (check_task(config, task, name) for name, task in make_tiny_tasks().items())
    return print_checks(chain([constructor], chain.from_iterable(tasks)))


def check_task(config: dict[str, Any], task: Task, label: str) -> Iterator[str]:
    """Yield the result of each check on a task. Without a fitted model, the others are left out."""
    recommender = _make(config)
    if label == "baskets" and not getattr(recommender, "reads_baskets", True):
        yield f"{NOTE}{label}: left out, as the class has reads_baskets=False"
        return
    fitted = describe_check(f"{label}: fit", lambda: fit(recommender, task.training))
    yield fitted
    if not fitted.startswith(PASSED):
        return
    checks: dict[str, Callable[[Task], object]] = {
        "score returns a finite number for each candidate": lambda task: score_candidates(recommender, task.test),
        "score gives finite numbers for all items": lambda task: check_finite(recommender, task),
        "score is independent of other candidates and instances": lambda task: check_independence(
            recommender, task.test
        ),
        "fit and score leave their arguments as they are": lambda task: check_inputs(recommender, config, task),
        "fit with the same seed gives the same scores": lambda task: check_seed(config, task),
    }
    if offers_score_all(recommender):
        checks["score_all returns the numbers of score"] = lambda task: check_all_items(recommender, task)
    if isinstance(recommender, TorchRecommender):
        checks["save and load"] = lambda task: check_saved(recommender, config, task)
        checks["fit resumes after an interruption"] = lambda task: check_resumed(config, task)
    for name, check in checks.items():
        yield describe_check(f"{label}: {name}", partial(check, deepcopy(task)))


def check_json_settings(config: dict[str, Any]) -> None:
    """Raise DataError if a record cannot hold the settings."""
    if json.loads(json.dumps(config)) != config:
        raise DataError("JSON changes the settings: keys of a dictionary must be text")


def check_finite(recommender: Any, task: Task) -> None:
    """Raise DataError if the scores of all items cannot be ranked."""
    for _ in score_all_items(recommender, task.test.users, task.test.contexts, task.training.n_items):
        pass


def check_all_items(recommender: Any, task: Task) -> None:
    """Raise DataError if `score_all` and `score` differ."""
    items = np.tile(np.arange(task.training.n_items), (len(task.test), 1))
    check_score_all(recommender, replace(task.test, candidates=items, n_candidates=None), task.training.n_items)


def check_inputs(recommender: Any, config: dict[str, Any], task: Task) -> None:
    """Raise DataError if `fit` or `score` writes into its arguments."""
    _ = task.training.matrix  # so that it has checksums, too
    checksums = compute_checksums(task.training)
    fitted = _make(config)
    fitted.fit(task.training)
    check_unchanged(fitted, task.training, checksums)
    contexts = task.test.contexts.last_n(get_context_length(recommender))
    inputs = {"users": task.test.users.copy(), "contexts": contexts, "candidates": task.test.candidates.copy()}
    copies = deepcopy(inputs)
    with keep_settings(type(recommender).__name__):
        recommender.score(*copies.values())
    if changed := [name for name, array in inputs.items() if not np.array_equal(array, copies[name])]:
        raise DataError(f"score has changed its argument {changed[0]}: write to a copy")


def check_seed(config: dict[str, Any], task: Task) -> None:
    """Raise DataError if two fits with one seed differ, whatever else draws random numbers."""
    scores = []
    for state in (1, 2):  # of the generators, as other models may leave it before the constructor and before the fit
        seed_generators(state)
        recommender = _make(config)
        seed_generators(state)
        scores.append(_fit_and_score(recommender, task))
    _compare(scores[0], scores[1], "two fits with the same seed differ: draw random numbers by training.seed")


def check_saved(recommender: TorchRecommender, config: dict[str, Any], task: Task) -> None:
    """Raise DataError if a model that is saved and loaded has other scores."""
    other = _make(config)
    seed_generators(1)  # so that what is not saved is drawn as other numbers
    with tempfile.TemporaryDirectory() as folder:
        recommender.save(Path(folder) / "model.pt")
        other.load(Path(folder) / "model.pt", task.training.n_users, task.training.n_items)
    _compare(
        score_candidates(recommender, task.test),
        score_candidates(other, task.test),
        "scores differ after saving and loading: what is learned must be a parameter or a buffer",
    )


def check_resumed(config: dict[str, Any], task: Task) -> None:
    """Raise DataError if a fit that is interrupted after an epoch ends with other scores."""
    with tempfile.TemporaryDirectory() as folder:
        resumed = replace(task, training=replace(task.training, checkpoint=Path(folder) / "checkpoint.pt"))
        _fit_and_score(_make(config, epochs=1), resumed)
        scores = _fit_and_score(_make(config), resumed)
    _compare(scores, _fit_and_score(_make(config), task), "a fit that is resumed has other scores")


def _make(config: dict[str, Any], epochs: int = 2) -> Any:
    """Make the model with so many epochs. Its parts get two, since an interrupted model has complete parts."""
    recommender = make_recommender(config)
    if isinstance(recommender, TorchRecommender):
        for part in recommender.parts.values():
            part.optimization = replace(part.optimization, epochs=2)
        recommender.optimization = replace(recommender.optimization, epochs=epochs)
    return recommender


def _fit_and_score(recommender: Any, task: Task) -> NDArray[np.floating]:
    """Return validation scores and training losses of a fit."""
    fit(recommender, task.training)
    seed_generators(task.training.seed)  # as a run does, since a score may draw random numbers
    history = recommender.history if isinstance(recommender, TorchRecommender) else []
    losses = [entry["loss"] for entry in history[1:]]
    return np.append(score_candidates(recommender, task.training.validation), losses)


def _compare(first: NDArray[np.floating], second: NDArray[np.floating], message: str) -> None:
    if not np.array_equal(first, second):
        raise DataError(message)


if __name__ == "__main__":
    sys.exit(cli.main(["check", *sys.argv[1:]]))

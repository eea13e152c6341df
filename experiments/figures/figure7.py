"""Figure 7: the attention of each hop of SDM over the context of one user and target.

`python -m sdmr.experiments.figures.figure7 --dataset ml-100k --user 13 --target "Titanic (1997)"`

Users are named by raw id, items by raw id or title. By default it is the paper's case, a user who saw Money Talks
(1997) and the target Fire Down Below (1997), or what comes nearest to it in the split.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sdmr.datasets.errors import DataError
from sdmr.datasets.interactions import IntArray
from sdmr.datasets.movielens import Movie, load_ml_1m_movies, load_ml_100k_movies
from sdmr.datasets.task import Task
from sdmr.experiments.execute import Run, prepared
from sdmr.experiments.figures.attention import attention_of, ids_of, load, wanted
from sdmr.experiments.figures.collect import command_line, made_with, runs_of, tell_missing
from sdmr.experiments.figures.drawing import canvas, note, publish

FILMS: dict[str, Callable[[], dict[int, Movie]]] = {"ml-100k": load_ml_100k_movies, "ml-1m": load_ml_1m_movies}
PAPER = {"target": "Fire Down Below (1997)", "seen": "Money Talks (1997)"}


@dataclass(frozen=True, eq=False)
class Case:
    """A user, a target, and the context that the user had."""

    user: int
    target: int
    context: IntArray  # [s]
    what: str  # this is in the split


@dataclass(frozen=True, eq=False)
class Names:
    """How users and items are told apart by people."""

    users: NDArray[Any]  # [n_users] raw ids
    items: NDArray[Any]  # [n_items]
    films: Mapping[int, Movie]  # by raw id; empty where there are none

    def user(self, raw: str) -> int:
        """The number of a user. Raises ValueError if there is no such user."""
        found = np.flatnonzero(self.users.astype(str) == raw)
        if not len(found):
            raise ValueError(f"there is no user {raw}")
        return int(found[0])

    def matching(self, text: str) -> list[int]:
        """The numbers of the items of that raw id or title, which two may share. Raises ValueError if there is none."""
        found = [n for n, raw in enumerate(self.items.tolist()) if text in (str(raw), self._title(raw))]
        if not found:
            near = get_close_matches(text, [film.title for film in self.films.values()], n=3)
            raise ValueError(f"there is no item {text!r}" + (f"; titles like it: {', '.join(near)}" if near else ""))
        return found

    def label(self, item: int) -> str:
        """Title and genres, or else the raw id."""
        raw = self.items[item].item()
        return str(self.films.get(raw, raw))

    def _title(self, raw: Any) -> str | None:
        return self.films[raw].title if raw in self.films else None


def names_of(run: Run) -> Names:
    """The raw ids of the run's data, and its films if they are to be had."""
    films: dict[int, Movie] = {}
    if run.dataset in FILMS:
        try:
            films = FILMS[run.dataset]()
        except DataError as error:
            print(f"items are named by their ids: {error}", file=sys.stderr)
    return Names(*ids_of(run), films)


def cases(task: Task, length: int, user: int | None, targets: Collection[int], seen: Collection[int]) -> Iterator[Case]:
    """The instances that fit, the best fit first: what is held out before what was learned from.

    Without `user` it may be anyone's, without `targets` any target; with `seen`, one of these items is in the context,
    unless there is no such instance.
    """
    parts = {"test": task.test, "validation": task.training.validation, "training": task.training.instances}
    for among in (seen, ()) if seen else ((),):
        for part, instances in parts.items():
            fits = np.ones(len(instances), dtype=bool) if user is None else instances.users == user
            if targets:
                fits &= np.isin(instances.targets, list(targets))
            rows = np.flatnonzero(fits)
            contexts = instances.contexts.last_n(length, rows)
            is_full = (contexts != instances.contexts.padding).any(axis=1)
            if among:
                is_full &= np.isin(contexts, list(among)).any(axis=1)
            for row, context in zip(rows[is_full], contexts[is_full], strict=True):
                yield Case(int(instances.users[row]), int(instances.targets[row]), context, f"a {part} instance")
    if user is not None:
        own = np.flatnonzero(task.test.users == user)[:1]
        for context in task.test.contexts.last_n(length, own):
            for target in targets:
                yield Case(user, target, context, "the context of a test instance, with a target that is not its own")


def choose(task: Task, length: int, names: Names, given: argparse.Namespace) -> tuple[Case, str]:
    """The case to show, and a word on how it was found. Raises ValueError if nothing fits."""
    is_papers = given.user is None and given.target is None and bool(names.films)
    told = PAPER if is_papers else {"target": given.target, "seen": None}
    targets, seen = (names.matching(told[name]) if told[name] else [] for name in ("target", "seen"))
    user = None if given.user is None else names.user(given.user)
    case = next(cases(task, length, user, targets, seen), None)
    if case is None:
        raise ValueError("no instance of this split has that user and target")
    found = f"{case.what} of user {names.users[case.user]}"
    if not is_papers:
        return case, found
    has_seen = bool(np.isin(case.context, seen).any())
    if has_seen and case.what == "a test instance":
        return case, f"the paper's case: {found}"
    lacks = "" if has_seen else f", without {PAPER['seen']} among the {length} latest items"
    return case, f"the paper's case is no test instance of this split; the nearest is {found}{lacks}"


def numbers(case: Case, weights: NDArray[np.floating], names: Names, padding: int) -> list[dict[str, Any]]:
    """A row for every hop and context item, the latest last."""
    rows = []
    for hop, of_items in enumerate(weights, start=1):
        for place, (item, weight) in enumerate(zip(case.context.tolist(), of_items.tolist(), strict=True)):
            if item == padding:
                continue
            ids = {"user": names.users[case.user], "target": names.items[case.target], "hop": hop}
            ids |= {"latest": len(case.context) - place, "item": names.items[item]}
            rows.append(
                {**ids, "attention": weight, "label": names.label(item), "label_of_target": names.label(case.target)}
            )
    return rows


def draw(rows: Sequence[Mapping[str, Any]], title: str, told: str) -> Figure:
    """A grid of weights, hops from left to right, context items from the earliest to the latest."""
    hops = max(row["hop"] for row in rows)
    labels = [row["label"] for row in rows if row["hop"] == 1]
    weights = np.array([row["attention"] for row in rows]).reshape(hops, len(labels)).T  # [items, hops]
    figure = canvas(5.0 + 0.7 * hops, 1.6 + 0.3 * len(labels))
    axes = figure.subplots()
    shades = axes.imshow(weights, cmap="Greys", vmin=0, vmax=max(1e-9, weights.max()), aspect="auto")
    for (place, hop), weight in np.ndenumerate(weights):
        is_dark = weight > 0.5 * weights.max()
        axes.text(hop, place, f"{weight:.3f}", ha="center", va="center", color="white" if is_dark else "black")
    axes.set_xticks(range(hops), [str(hop) for hop in range(1, hops + 1)])
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("hop")
    axes.set_ylabel("context, the latest last")
    axes.grid(False)
    figure.suptitle(title, fontsize=9)
    figure.colorbar(shades, ax=axes, label="attention weight")
    note(figure, told)
    return figure


def main() -> int:
    parser = command_line(__doc__, "figure7", axes=("model.hops", "model.dim"))
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--dim", type=int, default=64, help="d")
    parser.add_argument("--hops", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0, help="of the model")
    parser.add_argument("--user", help="raw id")
    parser.add_argument("--target", help="raw id or title; without a user, of any user")
    given = parser.parse_intermixed_args()
    jobs = wanted(given, [given.hops], [given.seed])
    runs = runs_of(jobs, given)
    tell_missing(jobs, runs, given)
    if not runs:
        return int(given.train)
    run = next(iter(runs.values()))
    task, names = prepared(run), names_of(run)
    model = load(run, task)
    try:
        case, told = choose(task, model.context_length, names, given)
    except ValueError as error:
        sys.exit(str(error))
    print(told)
    weights = attention_of(model, np.array([case.user]), case.context[None], np.array([case.target]))[:, 0]
    rows = numbers(case, weights, names, task.training.n_items)
    title = f"user {names.users[case.user]}, target {names.label(case.target)}"
    publish(
        draw(rows, title, f"SDM, {given.hops} hops, d = {given.dim}, {given.dataset}: {told}{made_with(given)}"),
        given.plots,
        given.name,
        rows,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The case that figure 7 shows: a user, a target and a context, chosen by raw ids and titles."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdmr.datasets.errors import DataError
from sdmr.datasets.interactions import IntArray
from sdmr.datasets.movielens import Movie, load_ml_1m_movies, load_ml_100k_movies
from sdmr.datasets.task import Task
from sdmr.experiments.core.options import UsageError
from sdmr.experiments.core.plan import FoundRun
from sdmr.experiments.figures.attention import load_ids

MOVIES: dict[str, Callable[[], dict[int, Movie]]] = {"ml-100k": load_ml_100k_movies, "ml-1m": load_ml_1m_movies}
PAPER_TARGET, PAPER_SEEN = "Fire Down Below (1997)", "Money Talks (1997)"


@dataclass(frozen=True, eq=False)
class Case:
    """A user, a target, and the context that the user had."""

    user: int
    target: int
    context: IntArray  # [s]
    origin: str  # what it is in the split, such as "a test instance"


@dataclass(frozen=True, eq=False)
class Names:
    """The names that people know users and items by."""

    users: NDArray[Any]  # [n_users] raw ids
    items: NDArray[Any]  # [n_items]
    movies: Mapping[int, Movie]  # by raw id; empty where there are none

    def find_user(self, raw: str) -> int:
        """Return the number of a user. Raises UsageError if there is no such user."""
        matches = np.flatnonzero(self.users.astype(str) == raw)
        if not len(matches):
            raise UsageError(f"user={raw}: there is no such user; users are named by raw id")
        return int(matches[0])

    def find_items(self, text: str) -> list[int]:
        """Return the numbers of the items of a raw id or a title, which two may share.

        Raises UsageError if there is none.
        """
        matches = [number for number, raw in enumerate(self.items.tolist()) if text in (str(raw), self._get_title(raw))]
        if not matches:
            near = get_close_matches(text, [movie.title for movie in self.movies.values()], n=3)
            hint = f"titles like it: {', '.join(near)}" if near else "items are named by raw id or title"
            raise UsageError(f"there is no item {text!r}; {hint}")
        return matches

    def get_label(self, item: int) -> str:
        """Return title and genres, or else the raw id."""
        raw = self.items[item].item()
        return str(self.movies.get(raw, raw))

    def _get_title(self, raw: Any) -> str | None:
        return self.movies[raw].title if raw in self.movies else None


def load_names(run: FoundRun) -> Names:
    """Load the raw ids of the run's data, and its movies if they can be read."""
    movies: dict[int, Movie] = {}
    dataset = run.record.dataset
    if dataset in MOVIES:
        try:
            movies = MOVIES[dataset]()
        except DataError as error:
            print(f"items are named by their ids: {error}", file=sys.stderr)
    return Names(*load_ids(run), movies)


def choose_case(task: Task, length: int, names: Names, user: str | None, target: str | None) -> tuple[Case, str]:
    """Return the case to show, and in words where it comes from. Raises UsageError if nothing fits."""
    is_paper = user is None and target is None and bool(names.movies)
    title = PAPER_TARGET if is_paper else target
    targets = [] if title is None else names.find_items(title)
    seen = names.find_items(PAPER_SEEN) if is_paper else []
    case = next(list_cases(task, length, None if user is None else names.find_user(user), targets, seen), None)
    if case is None:
        raise UsageError(f"user={user} target={target}: no instance of this split has them")
    origin = f"{case.origin} of user {names.users[case.user]}"
    if not is_paper:
        return case, origin
    has_seen = bool(np.isin(case.context, seen).any())
    if has_seen and case.origin == "a test instance":
        return case, f"the paper's case: {origin}"
    lack = "" if has_seen else f", without {PAPER_SEEN} among the {length} latest items"
    return case, f"the paper's case is no test instance of this split; the nearest is {origin}{lack}"


def list_cases(
    task: Task, length: int, user: int | None, targets: Collection[int], seen: Collection[int]
) -> Iterator[Case]:
    """Yield the instances that fit, the best fit first: what is held out before what was learned from.

    Without `user` it may be anyone's, without `targets` any target; with `seen`, one of these items is in the context,
    unless there is no such instance.
    """
    sides = {"test": task.test, "validation": task.training.validation, "training": task.training.instances}
    for required in (seen, ()) if seen else ((),):
        for side, instances in sides.items():
            is_fit = np.ones(len(instances), dtype=bool) if user is None else instances.users == user
            if targets:
                is_fit &= np.isin(instances.targets, list(targets))
            rows = np.flatnonzero(is_fit)
            contexts = instances.contexts.last_n(length, rows)
            has_context = (contexts != instances.contexts.padding).any(axis=1)
            if required:
                has_context &= np.isin(contexts, list(required)).any(axis=1)
            for row, context in zip(rows[has_context], contexts[has_context], strict=True):
                yield Case(int(instances.users[row]), int(instances.targets[row]), context, f"a {side} instance")
    if user is not None:
        rows = np.flatnonzero(task.test.users == user)[:1]
        for context in task.test.contexts.last_n(length, rows):
            for target in targets:
                yield Case(user, target, context, "a test context, with another target,")

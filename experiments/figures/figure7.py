"""Figure 7: the attention of each hop of SDM over one user's context.

Users are named by raw id, items by raw id or title. By default the figure shows the paper's case, or the nearest in the
split. The case is a user who saw Money Talks (1997), and the target Fire Down Below (1997).
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sdmr.datasets.errors import DataError
from sdmr.datasets.interactions import IntArray
from sdmr.datasets.movielens import Movie, load_ml_1m_movies, load_ml_100k_movies
from sdmr.datasets.task import Task
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.trained import load_trained
from sdmr.experiments.figures.options import FigureOptions
from sdmr.experiments.figures.runs import compute_attention, find_or_make_runs, load_ids, plan_sdm_runs
from sdmr.experiments.figures.style import add_note, save_figure

OPTIONS = ("dataset", "dim", "hops", "seed", "user", "target", "train", "workers")
MOVIES: dict[str, Callable[[], dict[int, Movie]]] = {"ml-100k": load_ml_100k_movies, "ml-1m": load_ml_1m_movies}
PAPER_TARGET, PAPER_SEEN = "Fire Down Below (1997)", "Money Talks (1997)"


@dataclass(frozen=True, eq=False)
class Case:
    """A user, a target and the user's context, as numbers of the task."""

    user: int
    target: int
    context: IntArray  # [s]
    origin: str  # what it is in the split, such as "a test instance"


def main(options: FigureOptions) -> int:
    """Draw the figure. Returns the exit status."""
    hops = options.hops or [4]
    if len(hops) > 1:
        raise UsageError(f"hops=[{','.join(map(str, hops))}]: figure7 shows one model; give one number of hops")
    runs = find_or_make_runs(options, plan_sdm_runs(options, hops, [options.seed]), options.train)
    if not runs:
        return int(options.train)
    run = next(iter(runs.values()))
    model, task = load_trained(run.folder)
    user_ids, item_ids = load_ids(run)
    items = name_items(item_ids, load_movies(options.dataset))
    case, origin = choose_case(task, model.context_length, user_ids, items, options.user, options.target)
    print(origin)
    weights = compute_attention(model, np.array([case.user]), case.context[None], np.array([case.target]))[:, 0]
    frame = build_frame(case, weights, user_ids, items)
    figure = draw(frame)
    text = f"SDM, {hops[0]} hops, d = {options.dim}, {options.dataset}: {origin}{options.settings_note}"
    add_note(figure, text)
    save_figure(figure, Path(options.plots), options.file_name, frame)
    return 0


def load_movies(dataset: str) -> dict[int, Movie]:
    """Return the movies of a data set by raw id, if they can be read."""
    try:
        return MOVIES[dataset]() if dataset in MOVIES else {}
    except DataError as error:
        print(f"items are named by their ids: {error}", file=sys.stderr)
        return {}


def name_items(item_ids: NDArray[Any], movies: Mapping[int, Movie]) -> pd.DataFrame:
    """Return raw id, title and label of each item.

    Only a movie has a title. Its label holds title and genres; other labels are raw ids.
    """
    ids = item_ids.tolist()
    titles = [movies[raw].title if raw in movies else None for raw in ids]
    return pd.DataFrame({"id": item_ids, "title": titles, "label": [str(movies.get(raw, raw)) for raw in ids]})


def find_items(items: pd.DataFrame, text: str) -> list[int]:
    """Return the numbers of the items of a raw id or a title.

    Two items may share a title. Raises UsageError if there is none.
    """
    matches = np.flatnonzero((items["id"].astype(str) == text) | (items["title"] == text)).tolist()
    if not matches:
        near = get_close_matches(text, items["title"].dropna(), n=3)
        hint = f"titles like it: {', '.join(near)}" if near else "items are named by raw id or title"
        raise UsageError(f"there is no item {text!r}; {hint}")
    return matches


def choose_case(
    task: Task, length: int, user_ids: NDArray[Any], items: pd.DataFrame, user: str | None, target: str | None
) -> tuple[Case, str]:
    """Return the case to show, and in words where it comes from. Raises UsageError if nothing fits."""
    users = np.flatnonzero(user_ids.astype(str) == user).tolist()
    if user is not None and not users:
        raise UsageError(f"user={user}: there is no such user; users are named by raw id")
    is_paper = user is None and target is None and items["title"].notna().any()
    title = PAPER_TARGET if is_paper else target
    targets = [] if title is None else find_items(items, title)
    seen = find_items(items, PAPER_SEEN) if is_paper else []
    case = next(list_cases(task, length, users, targets, seen), None)
    if case is None:
        raise UsageError(f"user={user} target={target}: no instance of this split has them")
    origin = f"{case.origin} of user {user_ids[case.user]}"
    if not is_paper:
        return case, origin
    has_seen = bool(np.isin(case.context, seen).any())
    if has_seen and case.origin == "a test instance":
        return case, f"the paper's case: {origin}"
    lack = "" if has_seen else f", without {PAPER_SEEN} among the {length} latest items"
    return case, f"the paper's case is no test instance of this split; the nearest is {origin}{lack}"


def list_cases(task: Task, length: int, users: list[int], targets: list[int], seen: list[int]) -> Iterator[Case]:
    """Yield the instances that fit, the best fit first.

    Held-out instances come before those of training. An empty list allows any user or target. With `seen`, instances
    with one of these items in the context come first.
    """
    sides = {"test": task.test, "validation": task.training.validation, "training": task.training.instances}
    for required in [seen, []] if seen else [[]]:
        for side, instances in sides.items():
            is_fit = np.isin(instances.users, users) | (not users)
            rows = np.flatnonzero(is_fit & (np.isin(instances.targets, targets) | (not targets)))
            contexts = instances.contexts.last_n(length, rows)
            has_context = (contexts != instances.contexts.padding).any(axis=1)
            if required:
                has_context &= np.isin(contexts, required).any(axis=1)
            for row, context in zip(rows[has_context], contexts[has_context], strict=True):
                yield Case(int(instances.users[row]), int(instances.targets[row]), context, f"a {side} instance")
    rows = np.flatnonzero(np.isin(task.test.users, users))[:1]
    for context in task.test.contexts.last_n(length, rows):
        for target in targets:
            yield Case(users[0], target, context, "a test context, with another target,")


def build_frame(case: Case, weights: NDArray[np.float64], user_ids: NDArray[Any], items: pd.DataFrame) -> pd.DataFrame:
    """Return a row for every hop and context item, the latest last. `weights` [hops, s] are those of the context."""
    hop, position = np.nonzero(np.broadcast_to(case.context < len(items), weights.shape))  # without padding
    target, shown = items.iloc[case.target], items.iloc[case.context[position]].reset_index(drop=True)
    columns = {
        "user": user_ids[case.user],
        "target": target["id"],
        "hop": hop + 1,
        "latest": len(case.context) - position,
        "item": shown["id"],
        "attention": weights[hop, position],
        "label": shown["label"],
        "label_of_target": target["label"],
    }
    return pd.DataFrame(columns)


def draw(frame: pd.DataFrame) -> Figure:
    """Draw a grid of weights: a column a hop, a row a context item."""
    hops = frame["hop"].max()
    labels = frame["label"][frame["hop"] == 1].tolist()
    weights = frame["attention"].to_numpy().reshape(hops, len(labels)).T  # [items, hops]
    figure = Figure(figsize=(5.0 + 0.7 * hops, 1.6 + 0.3 * len(labels)))
    axes = figure.subplots()
    shades = axes.imshow(weights, cmap="Greys", vmin=0, vmax=max(1e-9, weights.max()), aspect="auto")
    for (row, column), weight in np.ndenumerate(weights):
        color = "white" if weight > 0.5 * weights.max() else "black"
        axes.text(column, row, f"{weight:.3f}", ha="center", va="center", color=color)
    axes.set_xticks(range(hops), [str(hop) for hop in range(1, hops + 1)])
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("hop")
    axes.set_ylabel("context, the latest last")
    axes.grid(False)
    figure.suptitle("user {user}, target {label_of_target}".format(**frame.iloc[0]), fontsize=9)
    figure.colorbar(shades, ax=axes, label="attention weight")
    return figure

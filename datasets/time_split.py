"""The split by time: one cut for all users, after which nothing trains."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdmr.datasets.assembly import assemble_task
from sdmr.datasets.interactions import IntArray, Interactions
from sdmr.datasets.sampling import NegativeSampler, build_seen_matrix
from sdmr.datasets.task import Task
from sdmr.datasets.times import Cut, find_cut

VALIDATION_CUT, TEST_CUT = 0.8, 0.9


def split_by_time(
    interactions: Interactions,
    n_candidates: int,
    cuts: tuple[Cut, Cut],
    retrain: bool,
    generators: tuple[np.random.Generator, np.random.Generator],
    is_weighted: bool = False,
) -> Task:
    """Split at two times, the same ones for all users.

    `cuts` and `generators` are those of validation and test. With `is_weighted`, candidates are drawn in proportion to
    their training interactions. The errors are those of `divide_by_time`.
    """
    ordered, period, is_first = divide_by_time(interactions, cuts)
    is_training = period < (2 if retrain else 1)
    trained, counts = np.unique(ordered.items[is_training], return_counts=True)
    weights = counts.astype(np.float64) if is_weighted else None

    def sample(number: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
        rows = np.flatnonzero((period == number) & is_first)
        return sample_trained(ordered, trained, rows, period < number, n_candidates, rng, weights)

    validation, test = sample(1, generators[0]), sample(2, generators[1])
    is_context = None if retrain else (period < 2) & np.isin(ordered.items, trained)
    return assemble_task(
        ordered, validation, test, is_training=is_training, is_context=is_context, ranked_items=trained
    )


def divide_by_time(ordered: Interactions, cuts: tuple[Cut, Cut]) -> tuple[Interactions, IntArray, NDArray[np.bool_]]:
    """Divide histories at two times, and leave out what has no part in the split.

    Args:
        ordered: Interactions user after user, each by time.
        cuts: The validation cut and the test cut.

    Returns:
        The interactions that are left, in such an order. The period of each [n]: 0 before the first cut, 1 between, 2
        after. Whether it is its user's first one in the period [n].

    Raises:
        ValueError: Times are missing or those of each user alone, the cuts are in the wrong order, or no user has
            interactions before both cuts and after either.
    """
    if ordered.times is None or ordered.baskets is not None:
        lack = "has no times" if ordered.baskets is None else "has baskets"
        raise ValueError(f"test_item=global-time needs histories with times, and this data {lack}: use last or random")
    if not has_common_clock(ordered):
        raise ValueError(
            "test_item=global-time compares times of different users, and here each user begins when another has "
            "ended, as the rows of a file do: use last or random"
        )
    first, second = (find_cut(ordered.times, cut) for cut in cuts)
    if first >= second:
        raise ValueError(f"validation_cut={cuts[0]} is not before test_cut={cuts[1]}: set an earlier one")
    period = np.searchsorted([first, second], ordered.times, side="right")
    is_known = np.bincount(ordered.users[period == 0], minlength=ordered.n_users)[ordered.users] > 0
    has_part = is_known & ((period < 2) | _find_first(ordered.users, period))
    rows, period = ordered.keep(has_part, "rows_without_a_part_in_the_split"), period[has_part]
    order = np.argsort(rows.users, kind="stable")  # text ids that are left may be numbered otherwise
    rows, period = rows.take(order), period[order]
    for number, name in (
        (1, f"between validation_cut={cuts[0]} and test_cut={cuts[1]}"),
        (2, f"after test_cut={cuts[1]}"),
    ):
        if number not in period:
            raise ValueError(f"no user has interactions before validation_cut={cuts[0]} and {name}: set other cuts")
    return rows, period, _find_first(rows.users, period)


def _find_first(users: IntArray, period: IntArray) -> NDArray[np.bool_]:
    """Tell which rows are the first of their user and period."""
    return np.append(True, (np.diff(users) != 0) | (np.diff(period) != 0))[: len(users)]


def has_common_clock(data: Interactions) -> bool:
    """Tell whether times compare users.

    Those of baskets do not, nor rows of a file of one user after the other, in which each user begins when another has
    ended.
    """
    if data.times is None or data.baskets is not None:
        return False
    spans = pd.Series(data.times).groupby(data.users).agg(["min", "max"]).sort_values("min").to_numpy()
    return len(spans) == 1 or bool((spans[:-1, 1] >= spans[1:, 0]).any())


def sample_trained(
    ordered: Interactions,
    trained: IntArray,
    rows: IntArray,
    is_known: NDArray[np.bool_],
    n_candidates: int,
    rng: np.random.Generator,
    weights: NDArray[np.float64] | None = None,
) -> tuple[IntArray, IntArray]:
    """Sample the candidates of held-out rows from the trained items.

    Args:
        ordered: All interactions.
        trained: The trained items, sorted.
        rows: Numbers of the held-out rows [n].
        is_known: [n_rows] the rows whose items are no candidates of their users.
        n_candidates: Number of sampled items per row, at most.
        rng: Draws them.
        weights: [len(trained)] by which they are drawn; None: all with the same probability.

    Returns:
        The rows whose users have a trained item to be ranked among, and the candidates of each. The number n_items
        stands for none, and for a target that is no trained item.
    """
    users, items, n_items = ordered.users, ordered.items, ordered.n_items
    columns = np.full(n_items, len(trained))
    columns[trained] = np.arange(len(trained))
    excluded = np.union1d(np.flatnonzero(is_known), rows)
    excluded = excluded[columns[items[excluded]] < len(trained)]
    seen = build_seen_matrix(users[excluded], columns[items[excluded]], ordered.n_users, len(trained))
    sampler = NegativeSampler(seen, ordered.user_ids)
    rows = rows[sampler.n_unseen[users[rows]] >= min(n_candidates, 1)]
    if weights is None:
        sampled = sampler.sample_distinct(users[rows], n_candidates, rng)
    else:
        sampled = sampler.sample_by_weight(users[rows], n_candidates, weights, rng)
    numbers = np.append(trained, n_items)
    return rows, numbers[np.column_stack([columns[items[rows]], sampled])]

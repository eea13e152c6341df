"""Check that a score depends on its user, context and item alone."""

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from sdmr.datasets.interactions import IntArray
from sdmr.datasets.task import HeldOut
from sdmr.harness.generators import get_generators, keep_generators, set_generators
from sdmr.harness.recommender import ModelError, Recommender, get_context_length, get_scores

REPEATS = 64  # comparisons of random scores
ERROR = 1e-9  # the probability, at most, that a check refuses random scores that depend on nothing else

SUSPECTS = 4  # instances whose random scores are compared: those that differ most, by their noise

Blocks = list[tuple[IntArray, IntArray]]  # rows and columns that are scored at a time
Scores = NDArray[np.floating]


def check_independence(recommender: Recommender, instances: HeldOut, number: int = 16) -> None:
    """Raise ModelError if scores of some instances depend on other candidates or instances.

    They may depend neither on the order of candidates, nor on what else is scored at the same time. The tolerance
    allows for rounding, which differs with a column's position: 1e-4 of the spread of the row (the median distance from
    its median, so that one large score hides nothing), 16 units in the last place of float32 of a score's distance from
    the median, and 16 of the score's type (2 of a half). A row whose candidates happen to be close together has at
    least the median spread.

    All calls start from the same state of the generators. Where scores differ all the same, `_count_signs` compares
    some of them again and again, so that those of a random model pass unless they differ in the mean.
    """
    if not len(instances):
        return
    sample, start = _Sample(recommender, instances.take(spread_rows(len(instances), number))), get_generators()
    scores = sample.score(sample.together)
    tolerance = _compute_tolerance(scores)
    with keep_generators():
        difference = _subtract(sample.score(sample.apart, start), scores)
    if (difference <= tolerance).all():
        return
    noise = _subtract(sample.score(sample.together), scores)
    sample.score(sample.together)  # the ranking that follows has always had the random numbers after three calls
    suspects = np.arange(len(scores))
    if noise.any():
        ratios = np.median(difference / (noise + tolerance + np.finfo(float).tiny), axis=1)
        suspects = np.sort(np.argsort(-ratios, kind="stable")[:SUSPECTS])
    with keep_generators():
        _compare(_Sample(recommender, sample.instances.take(suspects)), tolerance[suspects], start, bool(noise.any()))


class _Sample:
    """Score some instances together, or apart."""

    def __init__(self, recommender: Recommender, instances: HeldOut) -> None:
        self.recommender, self.instances = recommender, instances
        self.contexts = instances.contexts.last_n(get_context_length(recommender))
        rows, columns = map(np.arange, instances.candidates.shape)
        row_halves, column_halves = (np.array_split(ids, min(2, len(ids))) for ids in (rows, columns))
        self.together: Blocks = [(rows, columns)]
        self.apart: Blocks = list(product(row_halves, (half[::-1] for half in column_halves)))
        self.changes: dict[str, Blocks] = {
            "the same candidates came in another order: a score must not depend on the other candidates": [
                (rows, columns[::-1])
            ],
            "the same candidates came in two halves: a score must not depend on the other candidates": [
                (rows, half) for half in column_halves
            ],
            "the instances came in two halves: a score must not depend on the other instances": [
                (half, columns) for half in row_halves
            ],
        }

    def score(self, blocks: Blocks, start: tuple[Any, ...] | None = None) -> Scores:
        """Return scores [n, C] from a call for each block.

        With `start`, each call starts from this state of the generators."""
        candidates, scores = self.instances.candidates, None
        for rows, columns in blocks:
            if start is not None:
                set_generators(start)
            inputs = self.instances.users[rows], self.contexts[rows], candidates[np.ix_(rows, columns)]
            part = get_scores(self.recommender, *inputs)
            scores = np.empty(candidates.shape, part.dtype) if scores is None else scores
            scores[np.ix_(rows, columns)] = part
        assert scores is not None
        return scores


def _compare(sample: _Sample, tolerance: Scores, start: tuple[Any, ...], is_random: bool) -> None:
    """Raise ModelError if scores differ apart and together, by more than chance."""
    is_dependent, *pair = _count_signs(sample, tolerance)
    if not is_dependent.any():
        return
    cause = "candidates and instances came in parts: a score must not depend on the others"
    for change, blocks in sample.changes.items() if not is_random else ():
        again = [sample.score(each, start) for each in (sample.together, blocks)]
        if (differs := _subtract(*again) > tolerance).any():
            cause, pair, is_dependent = change, again, differs
            break
    row, column = np.argwhere(is_dependent)[0]
    first, second = (f"{scores[row, column]}" + " on average" * is_random for scores in pair)
    raise ModelError(
        f"{type(sample.recommender).__name__} scored user {sample.instances.users[row]}, "
        f"item {sample.instances.candidates[row, column]} as {first}, and as {second} when {cause}"
    )


def _count_signs(sample: _Sample, tolerance: Scores) -> tuple[NDArray[np.bool_], Scores, Scores]:
    """Compare scores [n, C] apart and together, again and again.

    Return which of them differ by one sign in almost all comparisons, and their means, together and apart. Each
    comparison is of two means of two calls. Their order and that of the blocks are symmetric, so that what grows from
    call to call cancels.

    Random scores that depend on nothing else have one distribution, together and apart. Whatever it is, either sign of
    a difference has a probability of ½ at most. So the number of equal signs, of 64 independent comparisons, has a
    binomial bound; see `count_needed_signs`.
    """
    needed = count_needed_signs(tolerance.size)
    signs, sums = np.zeros((2, *tolerance.shape)), np.zeros((2, *tolerance.shape))
    for repeat in range(REPEATS):
        means = np.zeros_like(sums)
        for position, side in enumerate((0, 1, 1, 0) if repeat % 2 else (1, 0, 0, 1)):
            blocks = sample.apart if side else sample.together
            means[side] += sample.score(blocks if position < 2 else blocks[::-1]) / 2
        sums += means
        difference = means[1] - means[0]
        signs += difference > tolerance, difference < -tolerance
        if (signs.max(axis=0) + REPEATS - 1 - repeat < needed).all():
            break
    return signs.max(axis=0) >= needed, sums[0] / (repeat + 1), sums[1] / (repeat + 1)


def count_needed_signs(n_scores: int) -> int:
    """Return how many equal signs have, for random scores, a probability below `ERROR`.

    Of 64 comparisons of 4 × 101 scores, 59 or more have a sign in common with a probability of 3.6e-10 at most.
    """
    return int(binom.isf(ERROR / (2 * n_scores), REPEATS, 0.5)) + 1


def _subtract(first: Scores, second: Scores) -> Scores:
    return np.abs(np.subtract(first, second, dtype=np.float64))


def _compute_tolerance(scores: Scores) -> Scores:
    """Return by how much rounding may change each of the scores [n, C]."""
    eps, eps32 = np.finfo(scores.dtype).eps, np.finfo(np.float32).eps
    with np.errstate(over="ignore"):
        if np.array_equal(scores, scores.astype(np.float32)):  # such as a list of a model's numbers of 32 bits
            eps = max(eps, eps32)
    scores = scores.astype(np.float64)
    deviation = np.abs(scores - np.median(scores, axis=1, keepdims=True))
    spread = np.median(deviation, axis=1, keepdims=True)
    typical = max(1e-4, 4 * eps) * np.maximum(spread, np.median(spread)) + 16 * eps32 * deviation
    return typical + max(2 * eps, 16 * min(eps, eps32)) * np.abs(scores)


def spread_rows(n: int, number: int = 16) -> IntArray:
    """Return the numbers of some rows out of n, evenly spread."""
    return np.linspace(0, n - 1, min(number, n)).astype(np.int64)

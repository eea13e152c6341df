"""Transition counts, the score that any sequential model must exceed."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from sdmr.baselines._neighbors import sum_over_history
from sdmr.datasets.bounds import Fraction, PositiveFloat, PositiveInt, check_arguments
from sdmr.datasets.interactions import IntArray
from sdmr.datasets.task import Training


class TransitionCounts:
    """Score an item by how often it stands near the context items; nothing is learned.

    score_j = Σ_k γ^(k−1) P(j | c_k), c_k the k-th last of s context items, and

        P(j | i) = (N[i, j] + μ π_j) / (Σ_j N[i, j] + μ),

        N[i, j] = Σ γ^(|p − q| − 1) over all positions p of i and q of j in one sequence, 1 ≤ |p − q| ≤ w,

    π_j the share of item j among all interactions. N counts both directions alike. A missing context item predicts π.

    A basket has no positions: N[i, j] is the number of baskets with both items, and the context items, all others of
    the basket, weigh the same. γ and w do not matter there.

    Source: none; a symmetric Markov chain of first order with Dirichlet smoothing. It has neither parameters nor users.
    """

    @check_arguments
    def __init__(
        self,
        context_length: PositiveInt = 5,
        window: PositiveInt = 5,
        decay: Fraction = 0.8,
        prior: PositiveFloat = 10.0,
    ) -> None:
        """Set the options.

        Args:
            context_length: s, the context items that predict.
            window: w, the largest distance that counts.
            decay: γ, the weight of a further step of distance.
            prior: μ, the count that popularity adds to an item's neighbors.
        """
        self.context_length, self.window, self.decay, self.prior = context_length, window, decay, prior

    def fit(self, training: Training) -> None:
        instances, n = training.instances, training.n_items
        items, starts = instances.targets, instances.contexts.start  # in the order of each sequence
        self.has_baskets = instances.has_baskets
        distances = int(instances.contexts.length.max(initial=1)) - 1 if self.has_baskets else self.window
        counts = csr_matrix((n, n))
        for distance in range(1, distances + 1):
            first, last = items[:-distance], items[distance:]
            pairs = starts[:-distance] == starts[distance:]  # within a sequence
            weights = np.full(pairs.sum(), self._weigh(distance))
            counts += csr_matrix((weights, (first[pairs], last[pairs])), shape=(n, n))
        self.counts = (counts + counts.T).tocsr()  # N
        self.popularity = np.bincount(items, minlength=n) / len(items)  # π
        totals = np.append(np.asarray(self.counts.sum(axis=1)).ravel(), 0.0)  # last: padding
        self.factors = 1 / (totals + self.prior)

    def score(self, users: IntArray, contexts: IntArray, candidates: IntArray) -> NDArray[np.float64]:
        weights, prior = self._weigh_contexts(contexts)
        return sum_over_history(weights, self.counts, candidates) + prior * self.popularity[candidates]

    def score_all(self, users: IntArray, contexts: IntArray) -> NDArray[np.float64]:
        weights, prior = self._weigh_contexts(contexts)
        return (weights @ self.counts).toarray() + prior * self.popularity

    def _weigh(self, distance: int | IntArray) -> float | NDArray[np.float64]:
        return np.power(1.0 if self.has_baskets else self.decay, distance - 1.0)

    def _weigh_contexts(self, contexts: IntArray) -> tuple[csr_matrix, NDArray[np.float64]]:
        """Return the weights of N's rows [B, n_items], those of context items, and of π [B, 1]."""
        weights = self._weigh(np.arange(contexts.shape[1], 0, -1)) * self.factors[contexts]  # [B, s]
        row, column = np.nonzero(contexts < len(self.popularity))
        shape = len(contexts), len(self.popularity)
        matrix = csr_matrix((weights[row, column], (row, contexts[row, column])), shape=shape)
        return matrix, self.prior * weights.sum(axis=1, keepdims=True)

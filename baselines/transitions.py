"""Transition counts, the score that any sequential model must exceed."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

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

    Source: none; a symmetric Markov chain of first order with Dirichlet smoothing. It is the same for all users.
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
        self.step_weight = 1.0 if instances.has_baskets else self.decay
        if instances.has_baskets:
            baskets = csr_matrix((np.ones(len(items)), (starts, items)), shape=(len(items), n))
            counts = baskets.T @ baskets
            counts -= diags(counts.diagonal())
        else:
            counts = csr_matrix((n, n))
            for distance in range(1, self.window + 1):
                pairs = starts[:-distance] == starts[distance:]  # within a sequence
                weights = np.full(pairs.sum(), self.decay ** (distance - 1))
                counts += csr_matrix((weights, (items[:-distance][pairs], items[distance:][pairs])), shape=(n, n))
            counts += counts.T
        self.counts = counts.tocsr()  # N
        self.popularity = np.bincount(items, minlength=n) / len(items)  # π
        totals = np.append(np.asarray(self.counts.sum(axis=1)).ravel(), 0.0)  # last: padding
        self.factors = 1 / (totals + self.prior)

    def score(self, users: IntArray, contexts: IntArray, candidates: IntArray) -> NDArray[np.float64]:
        weights, prior = self._weigh_contexts(contexts)
        return sum_over_history(weights, self.counts, candidates) + prior * self.popularity[candidates]

    def score_all(self, users: IntArray, contexts: IntArray) -> NDArray[np.float64]:
        weights, prior = self._weigh_contexts(contexts)
        return (weights @ self.counts).toarray() + prior * self.popularity

    def _weigh_contexts(self, contexts: IntArray) -> tuple[csr_matrix, NDArray[np.float64]]:
        """Return the weights of the context items' rows [B, n_items], and of π [B, 1]."""
        steps = np.arange(contexts.shape[1])[::-1]  # after each context item
        weights = self.step_weight**steps * self.factors[contexts]  # [B, s]
        row, column = np.nonzero(contexts < len(self.popularity))
        shape = len(contexts), len(self.popularity)
        matrix = csr_matrix((weights[row, column], (row, contexts[row, column])), shape=shape)
        return matrix, self.prior * weights.sum(axis=1, keepdims=True)

"""iALS: alternating least squares on implicit feedback (Hu, Koren and Volinsky, ICDM 2008)."""

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from threadpoolctl import threadpool_limits

from sdmr.datasets.bounds import NonNegativeFloat, PositiveFloat, PositiveInt, check_arguments
from sdmr.datasets.interactions import IntArray
from sdmr.datasets.task import Training
from sdmr.harness.kernels import count_threads


class IALS:
    """Score a pair by the inner product of two factors that fit all pairs.

    score = (1 + α₀) w_uᵀ h_j. W and H minimize, with S the training pairs,

        Σ_S (w_uᵀ h_i − 1)² + α₀ Σ_all (w_uᵀ h_i)²
            + λ Σ_u (n_u + α₀ n_items)^ν ‖w_u‖² + λ Σ_i (n_i + α₀ n_users)^ν ‖h_i‖²,

    n_u and n_i the training pairs of a user and of an item. A sweep improves all w_u, then all h_i. Each is a problem
    of least squares, whose system is

        (α₀ HᵀH + Σ h_i h_iᵀ + λ (n_u + α₀ n_items)^ν I) w_u = Σ h_i, the sums over the user's items.

    Source of this form: Rendle et al., Revisiting the Performance of iALS on Item Recommendation Benchmarks, RecSys
    2022. Its scales: ν = 1; W and H start as normal with standard deviation σ/√d, σ = 0.1; 12 or 16 sweeps. It searches
    λ and α₀ together, at a large d: on ML-1M λ = 0.007, α₀ = 0.3 and d = 192.

    The solver is that of `implicit`, which has one λ for all rows, and weights c and 1 for pairs inside and outside S.
    Both objectives are equal with c = 1 + 1/α₀, factors larger by √(1 + α₀), and d more columns beside S. The k-th has
    the factor e_k and the target 0, with row u's λ (n_u + α₀ n_items)^ν c as its weight.

    With baskets, S has the pairs of all baskets of a user.

    Departures from the source: each system is solved by a few steps of conjugate gradients from the last solution
    (Takács, Pilászy and Tikk, RecSys 2011), not exactly. `solver_steps=21` in place of 3 changes the validation
    NDCG@10 on ML-100k by less than .001 at d 64, and by less than .003 at d 128.
    """

    context_length = 0

    @check_arguments
    def __init__(
        self,
        dim: PositiveInt = 64,
        unobserved_weight: PositiveFloat = 0.3,
        regularization: PositiveFloat = 0.01,
        frequency_exponent: NonNegativeFloat = 1.0,
        sweeps: PositiveInt = 16,
        solver_steps: PositiveInt = 3,
        init_std: PositiveFloat = 0.1,
    ) -> None:
        """Set the options.

        Args:
            dim: d, the embedding size.
            unobserved_weight: α₀, the weight of every pair's square.
            regularization: λ, the weight of the squares of W and H.
            frequency_exponent: ν, how much more a frequent user or item is regularized.
            sweeps: The number of times that W and H are solved.
            solver_steps: Steps of conjugate gradients for each system.
            init_std: σ, the root mean square of a factor's length at the start.
        """
        self.dim, self.unobserved_weight, self.regularization = dim, unobserved_weight, regularization
        self.frequency_exponent, self.sweeps, self.solver_steps = frequency_exponent, sweeps, solver_steps
        self.init_std = init_std

    def fit(self, training: Training) -> None:
        rng, shape = np.random.default_rng(training.seed), (training.n_users + training.n_items, self.dim)
        factors = rng.normal(0, self.init_std * ((1 + self.unobserved_weight) / self.dim) ** 0.5, shape)
        self.users, self.items = np.split(factors.astype(np.float32), [training.n_users])  # W, H
        user_weights, item_weights = self._weigh(training.matrix), self._weigh(training.matrix.T.tocsr())
        axes = np.eye(self.dim, dtype=np.float32)
        with threadpool_limits(1, "blas"):  # implicit has threads of its own
            als = AlternatingLeastSquares(self.dim)
            als.cg_steps = self.solver_steps
            threads = count_threads(user_weights.nnz * self.dim)
            for _ in range(self.sweeps):
                als.solver(user_weights, self.users, np.vstack([self.items, axes]), 0.0, num_threads=threads)
                als.solver(item_weights, self.items, np.vstack([self.users, axes]), 0.0, num_threads=threads)

    def score(self, users: IntArray, contexts: IntArray, candidates: IntArray) -> NDArray[np.float32]:
        return np.einsum("bd,bcd->bc", self.users[users], self.items[candidates])

    def score_all(self, users: IntArray, contexts: IntArray) -> NDArray[np.float32]:
        return self.users[users] @ self.items.T

    def _weigh(self, matrix: csr_matrix) -> csr_matrix:
        """Return the weights [n, m + d] of implicit's objective for S [n, m]."""
        scale = 1 + 1 / self.unobserved_weight  # c
        frequencies = matrix.getnnz(axis=1) + self.unobserved_weight * matrix.shape[1]
        penalties = scale * self.regularization * frequencies**self.frequency_exponent
        rows = np.repeat(-penalties[:, None], self.dim, axis=1)  # negative: implicit's sign of a target 0
        return hstack([scale * matrix, csr_matrix(rows)], format="csr", dtype=np.float32)

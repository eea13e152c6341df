from collections.abc import Callable

import numpy as np
import pytest
from scipy import sparse

from sdmr.baselines._neighbors import sum_over_history, sum_over_history_for_all


@pytest.mark.parametrize("weights", [lambda rng: np.float32(1), lambda rng: rng.random((30, 40))])
def test_a_sum_has_the_same_bits_whichever_candidates_are_scored_with_it(
    weights: Callable[[np.random.Generator], np.ndarray],
) -> None:
    rng = np.random.default_rng(0)
    similarity = sparse.random(40, 40, 0.5, "csr", random_state=rng)
    histories = sparse.csr_matrix((rng.random((30, 40)) < 0.4) * weights(rng))
    every = sum_over_history(histories, similarity, np.tile(np.arange(40), (30, 1)))  # by a product
    np.testing.assert_allclose(every, histories.toarray() @ similarity.toarray().T)
    np.testing.assert_array_equal(sum_over_history_for_all(histories, similarity), every)
    for user in range(30):  # by a loop
        candidates = rng.permutation(40)[None, :7]
        np.testing.assert_array_equal(
            sum_over_history(histories[[user]], similarity, candidates), every[[user], candidates]
        )

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from scipy.stats import chisquare

from sdmr.datasets.sampling import NegativeSampler

seen_sets = st.lists(st.sets(st.integers(0, 11)), min_size=1, max_size=6)


def make_matrix(seen: list[set[int]], n_items: int = 12) -> csr_matrix:
    dense = np.zeros((len(seen), n_items))
    for user, items in enumerate(seen):
        dense[user, list(items)] = 1
    return csr_matrix(dense)


@given(seen_sets)
def test_get_items_returns_the_sorted_complement_by_rank(seen: list[set[int]]) -> None:
    sampler = NegativeSampler(make_matrix(seen))
    for user, items in enumerate(seen):
        complement = sorted(set(range(12)) - items)
        assert sampler.n_unseen[user] == len(complement)
        ranks = np.arange(len(complement))
        assert sampler.get_items(np.full(len(ranks), user), ranks).tolist() == complement


@given(seen_sets.filter(lambda seen: all(len(items) <= 8 for items in seen)), st.integers(0, 99))
def test_samples_are_unseen_and_distinct_where_promised(seen: list[set[int]], seed: int) -> None:
    sampler, rng = NegativeSampler(make_matrix(seen)), np.random.default_rng(seed)
    users = np.arange(len(seen)).repeat(2)
    for sample in (sampler.sample(users, 7, rng), sampler.sample_distinct(users, 4, rng)):
        for user, items in zip(users, sample.tolist(), strict=True):
            assert not set(items) & seen[user]
            assert set(items) <= set(range(12))
    assert all(len(set(items)) == 4 for items in sampler.sample_distinct(users, 4, rng).tolist())


def test_sample_is_uniform_over_the_unseen_items() -> None:
    seen = {0, 3, 4, 11}
    samples = NegativeSampler(make_matrix([set(), seen])).sample(
        np.ones(4000, dtype=np.int64), 10, np.random.default_rng(0)
    )
    counts = np.bincount(samples.ravel(), minlength=12)
    assert counts[list(seen)].sum() == 0
    assert chisquare(np.delete(counts, list(seen))).pvalue > 0.001


def test_sample_distinct_returns_every_set_equally_often() -> None:
    samples = NegativeSampler(make_matrix([{1, 2, 5}], n_items=8)).sample_distinct(
        np.zeros(20_000, dtype=np.int64), 3, np.random.default_rng(0)
    )
    sets, counts = np.unique(np.sort(samples, axis=1), axis=0, return_counts=True)
    assert [tuple(items) for items in sets] == list(itertools.combinations([0, 3, 4, 6, 7], 3))
    assert chisquare(counts).pvalue > 0.001


def test_error_names_the_user_without_unseen_items() -> None:
    sampler, rng = NegativeSampler(make_matrix([{0}, set(range(12)), set(range(10))])), np.random.default_rng(0)
    with pytest.raises(ValueError, match="user 1 has seen every item"):
        sampler.sample(np.array([0, 1]), 1, rng)


def test_a_user_with_fewer_unseen_items_gets_all_of_them_and_padding() -> None:
    sampler = NegativeSampler(make_matrix([{0}, set(range(12)), set(range(10))]))
    rows = sampler.sample_distinct(np.array([1, 2, 0]), 3, np.random.default_rng(0))
    assert rows[:2].tolist() == [[12, 12, 12], [10, 11, 12]]
    assert len(set(rows[2].tolist()) - {0, 12}) == 3


def test_sample_by_weight_draws_one_unseen_item_after_another_by_its_weight() -> None:
    weights, unseen = np.array([3.0, 1, 5, 2, 9, 4]), [0, 1, 3, 5]
    sampler = NegativeSampler(make_matrix([{2, 4}], n_items=6))
    samples = sampler.sample_by_weight(np.zeros(20_000, dtype=np.int64), 2, weights, np.random.default_rng(0))
    sets, counts = np.unique(np.sort(samples, axis=1), axis=0, return_counts=True)
    pairs = list(itertools.combinations(unseen, 2))
    assert [tuple(items) for items in sets] == pairs
    total = weights[unseen].sum()
    chances = [weights[a] / total * weights[b] / (total - weights[a]) for a, b in pairs]
    chances = [
        one + weights[b] / total * weights[a] / (total - weights[b]) for one, (a, b) in zip(chances, pairs, strict=True)
    ]
    assert chisquare(counts, 20_000 * np.array(chances)).pvalue > 0.001


def test_sample_by_weight_gives_a_user_with_fewer_unseen_items_all_of_them_and_padding() -> None:
    sampler = NegativeSampler(make_matrix([{0}, set(range(12)), set(range(10))]))
    rows = sampler.sample_by_weight(np.array([1, 2, 0]), 3, np.ones(12), np.random.default_rng(0))
    assert np.sort(rows[:2]).tolist() == [[12, 12, 12], [10, 11, 12]]
    assert len(set(rows[2].tolist()) - {0, 12}) == 3
    assert np.sort(sampler.sample_by_weight(np.array([0]), 99, np.ones(12), np.random.default_rng(0)))[0].tolist() == [
        *range(1, 13)
    ]

"""The agreement of sampled and full ranking: Kendall's τ, its interval, and what is said of samples."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau

from sdmr.experiments.report.agreement import compare_orders, describe_full_ranking
from sdmr.experiments.report.averages import ALL, average_seeds
from sdmr.experiments.report.printed import METRICS
from sdmr.experiments.report.ranked_rows import load_row
from sdmr.experiments.report.uncertainty import RESAMPLES, bootstrap_means, correlate_orders
from sdmr.harness.metrics import Ranks
from tests.experiments.report.records import write_random_run, write_run_among_all, write_runs
from tests.experiments.report.test_cells import NO_SPREADS

COLUMNS = [*METRICS, *(metric + ALL for metric in METRICS)]


def test_orders_correlate_as_in_scipy() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(6, size=(50, 7)).astype(float), rng.normal(size=(50, 7))
    expected = [kendalltau(*pair).statistic for pair in zip(x, y, strict=True)]
    np.testing.assert_allclose(correlate_orders(x, y), expected)
    assert np.isnan(correlate_orders(np.ones(3), np.arange(3.0)))


def test_means_are_resampled_over_users() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 4, size=(400, 1)).astype(float)
    totals = counts * rng.random((400, 1))
    means = np.concatenate(list(bootstrap_means(totals, counts)))
    ratio = totals.sum() / counts.sum()
    error = np.sqrt(((totals - ratio * counts) ** 2).sum()) / counts.sum()
    assert means.shape == (RESAMPLES, 1)
    assert means.mean() == pytest.approx(ratio, abs=4 * error / np.sqrt(RESAMPLES))
    assert means.std() == pytest.approx(error, rel=0.1)


@pytest.mark.parametrize("n_sampled", [200, 40])
def test_kendalls_tau_is_that_of_the_means_and_inside_its_interval(tmp_path: Path, n_sampled: int) -> None:
    folders = write_runs(tmp_path, n_sampled, noise=0.2)
    for metric in METRICS:
        means = [
            [load_row(model, paths, one, NO_SPREADS).values.mean() for model, paths in folders.items()]
            for one in (metric, metric + ALL)
        ]
        tau, interval = compare_orders(folders, metric)
        assert tau == pytest.approx(kendalltau(*means).statistic)
        assert -1 <= interval.low < tau <= interval.high <= 1


def test_interval_of_few_instances_is_wider(tmp_path: Path) -> None:
    (_, every), (_, few) = (compare_orders(write_runs(tmp_path / str(n), n, noise=0.2), "hit@10") for n in (200, 20))
    assert few.high - few.low > every.high - every.low


def test_lines_name_the_samples_and_both_metrics(tmp_path: Path) -> None:
    folders = write_runs(tmp_path)
    folders["slim"] = [write_random_run(tmp_path / "ml-100k" / "slim-0", "slim", 0)]  # an older record
    (line,) = describe_full_ranking("ml-100k", folders, COLUMNS)
    assert line.startswith(
        "ml-100k: Kendall's τ between the orders of 5 rows among the sampled candidates and among all"
    )
    assert "users: hit@10 " in line
    assert "; NDCG@10 " in line
    folders["sdm"] = write_runs(tmp_path / "few", 40)["sdm"]
    sample, _ = describe_full_ranking("ml-100k", folders, COLUMNS)
    assert sample.endswith("a fixed random sample of 40 of 200 test instances for SDM.")
    assert not list(describe_full_ranking("ml-100k", {model: folders[model] for model in ("slim", "sdp")}, COLUMNS))


def test_a_model_without_ranks_among_all_items_has_no_such_value(tmp_path: Path) -> None:
    old = write_random_run(tmp_path / "ml-100k" / "sdm-1", "sdm", 1)
    cells = average_seeds("ml-100k", "sdm", [old, *write_runs(tmp_path)["sdm"]], metrics=COLUMNS).set_index("metric")
    assert cells["seeds"].tolist() == [2, 2, 1, 1]
    assert average_seeds("ml-100k", "sdm", [old], metrics=COLUMNS)["ours"].isna().tolist() == [False, False, True, True]
    assert len(load_row("sdm", [old, *write_runs(tmp_path)["sdm"]], "hit@10 all", NO_SPREADS).values) == 1


NONE = np.zeros(200, int)


def write_agreeing(folder: Path, model: str, seed: int, sampled: Ranks, full: Ranks) -> Path:
    return write_run_among_all(folder / f"{model}-{seed}", model, sampled, full, 200)


def test_equal_ranks_on_both_sides_agree_in_every_resample(tmp_path: Path) -> None:
    rng, folders = np.random.default_rng(0), {}
    for model, share in {"popularity": 0.3, "cml": 0.33, "sdm": 0.36}.items():
        ranks = Ranks(np.where(rng.random(200) < share, 0, 60), NONE)
        folders[model] = [write_agreeing(tmp_path, model, 0, ranks, ranks)]
    tau, interval = compare_orders(folders, "hit@10")
    assert (tau, *interval) == pytest.approx((1, 1, 1))


def test_orders_read_ties_by_the_policy(tmp_path: Path) -> None:
    sides = {"sdm": ((0, 100), (0, 0)), "cml": ((8, 0), (2, 0)), "popularity": ((60, 0), (60, 0))}
    folders = {
        model: [write_agreeing(tmp_path, model, 0, *(Ranks(NONE + above, NONE + tied) for above, tied in pairs))]
        for model, pairs in sides.items()
    }
    taus = [compare_orders(folders, "NDCG@10", policy)[0] for policy in ("optimistic", "expected")]
    assert taus == pytest.approx([1, 1 / 3])


def test_orders_are_those_of_the_means_over_seeds(tmp_path: Path) -> None:
    sampled = {"sdm": (180, 20), "cml": (120, 120), "popularity": (40, 40)}
    full = {"sdm": 110, "cml": 120, "popularity": 40}

    def make(hits: int) -> Ranks:
        return Ranks(np.where(np.arange(200) < hits, 0, 60), NONE)

    folders = {
        model: [write_agreeing(tmp_path, model, n, make(hits), make(full[model])) for n, hits in enumerate(pair)]
        for model, pair in sampled.items()
    }
    assert compare_orders(folders, "hit@10")[0] == pytest.approx(1)

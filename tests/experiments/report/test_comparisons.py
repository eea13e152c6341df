"""Comparisons with the baselines that are best on validation, and gains over the best ones."""

from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t, ttest_1samp

from sdmr.datasets.errors import DataError
from sdmr.experiments.core.registry import MODELS
from sdmr.experiments.report.averages import list_rows
from sdmr.experiments.report.comparisons import (
    compare_models,
    compare_paper_models,
    compare_rows,
    compute_gains,
    describe_comparisons,
    mark_cells,
    select_best_on_validation,
)
from sdmr.experiments.report.printed import METRICS, get_paper_value
from sdmr.experiments.report.ranked_rows import load_row, read_seed_spreads
from sdmr.experiments.report.uncertainty import SeedPart
from sdmr.experiments.report.writers import format_p_value
from sdmr.harness.metrics import Ranks, TiePolicy
from tests.experiments.report.records import change_record, write_random_run, write_run

NO_SPREADS = read_seed_spreads(Path("nowhere"))  # a trained row with one seed then has no seed part

# --- two models ---


def make_pair(folder: Path, seeds: tuple[int, int], qualities: tuple[float, float]) -> dict[str, list[Path]]:
    """Write runs of SDM and CML for the same 200 users; every seed of a model differs."""
    rng, numbers = np.random.default_rng(0), np.arange(200)
    folders: dict[str, list[Path]] = {"sdm": [], "cml": []}
    for model, count, quality in zip(folders, seeds, qualities, strict=True):
        ability = rng.random(200)
        for seed in range(count):
            above = np.where(ability + rng.normal(0, 0.1, 200) < quality, 0, 60)
            ranks = Ranks(above, np.zeros_like(above))
            folders[model].append(write_run(folder / model / str(seed), model, seed, numbers, ranks))
    return folders


@pytest.mark.parametrize("counts", [(3, 3), (3, 2), (1, 4)])
def test_difference_has_the_seed_parts_and_interactions_of_both_models(counts: tuple[int, int], tmp_path: Path) -> None:
    """Against the formulas, with the users' part from the users' mean over seeds and the interactions."""
    folders = make_pair(tmp_path, counts, (0.6, 0.4))
    first, second = (np.array([load_hits(folder) for folder in folders[m]]) for m in ("sdm", "cml"))
    one = compare_models(folders, "sdm", "cml", "hit@10", NO_SPREADS)
    averages = first.mean(axis=0) - second.mean(axis=0)
    trained = [values for values in (first, second) if len(values) > 1]  # one seed has no part of its own
    seeds = [values.mean(axis=1).var(ddof=1) / len(values) for values in trained]
    users = averages.var(ddof=1) / 200
    for values in trained:
        residual = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
        users -= (residual**2).sum() / (len(values) * (len(values) - 1) * 200 * 199)
    weights = sum((2 * part) ** 2 / (len(values) - 1) for part, values in zip(seeds, trained, strict=True))
    degrees = (users + 2 * sum(seeds)) ** 2 / (users**2 / 199 + weights)
    reach = t.ppf(0.975, degrees) * (users + sum(seeds)) ** 0.5
    assert (one.low, one.high) == pytest.approx((averages.mean() - reach, averages.mean() + reach))
    assert one.run_high - one.run_low > one.high - one.low
    assert one.effect == pytest.approx(averages.mean() / averages.std(ddof=1))
    assert (one.wins, one.ties, one.losses) == pytest.approx(
        ((averages > 0).mean(), (averages == 0).mean(), (averages < 0).mean())
    )


def load_hits(folder: Path) -> np.ndarray:
    with np.load(folder / "ranks.npz") as saved:
        return (saved["above"] < 10).astype(float)


def test_rows_of_other_users_are_not_compared(tmp_path: Path) -> None:
    folders = make_pair(tmp_path, (1, 1), (0.6, 0.5))
    first, second = (load_row(model, folders[model], "NDCG@10", NO_SPREADS) for model in folders)
    with pytest.raises(DataError, match="their test instances are of other users, or in another order"):
        compare_rows(first, second._replace(users=second.users[::-1]))


def test_trained_model_with_one_seed_borrows_the_spread_of_its_seeds_elsewhere(tmp_path: Path) -> None:
    folders = make_pair(tmp_path, (1, 1), (0.6, 0.5))
    alone = compare_models(folders, "sdm", "cml", "hit@10", NO_SPREADS)
    assert alone.p == pytest.approx(ttest_1samp(load_hits(folders["sdm"][0]) - load_hits(folders["cml"][0]), 0).pvalue)
    rows = [("sdm", "hit@10", 4e-4, 2), ("sdm", "hit@10", 1e-4, 2), ("caser", "hit@10", 9e-4, 4)]
    spreads = pd.DataFrame(rows, columns=["model", "metric", "variance", "degrees"])
    one = compare_models(folders, "sdm", "cml", "hit@10", spreads)  # CML has three seeds nowhere: the largest of any
    users = (load_hits(folders["sdm"][0]) - load_hits(folders["cml"][0])).var(ddof=1) / 200
    weights = [users, 2 * 4e-4, 2 * 9e-4]
    degrees = sum(weights) ** 2 / sum(w**2 / n for w, n in zip(weights, (199, 2, 4), strict=True))
    assert one.high - one.difference == pytest.approx(t.ppf(0.975, degrees) * (users + 13e-4) ** 0.5)
    assert one.p > alone.p


def test_users_class_with_a_training_loop_of_its_own_borrows_a_spread(tmp_path: Path) -> None:
    run = write_random_run(tmp_path / "net", "sdm", 0, 0.6)
    change_record(run, model="my.Net", history=None)
    spreads = pd.DataFrame([("caser", "hit@10", 9e-4, 4)], columns=["model", "metric", "variance", "degrees"])
    assert load_row("my.Net", [run], "hit@10", spreads).seeds == (SeedPart(9e-4, 1, 4),)
    assert load_row("item-knn", [run], "hit@10", spreads).seeds == ()


# --- the paper's models ---


def test_paper_models_are_compared_with_each_groups_best_on_validation(tmp_path: Path) -> None:
    """Test values, seeds' order and Popularity do not matter."""

    def write_runs(model: str, validation: float, quality: float, seeds: int = 2) -> list[Path]:
        return [
            write_random_run(tmp_path / model / str(seed), model, seed, quality, validation=validation)
            for seed in range(seeds)
        ]

    folders = {
        "popularity": write_runs("popularity", 0.99, 0.9, 1),
        "slim": write_runs("slim", 0.5, 0.3, 1),
        "mf-bpr": write_runs("mf-bpr", 0.4, 0.8),
        "prme": write_runs("prme", 0.6, 0.5),
        "caser": [],
        "sdm": write_runs("sdm", 0.5, 0.52),
        "sdmr": [],
    }
    general, sequential = list_rows(compare_paper_models("ml-100k", folders, NO_SPREADS))
    assert (general.model, general.group, general.baseline) == ("SDM", "general", "SLIM")
    assert (sequential.group, sequential.baseline) == ("sequential", "PRME")

    def ndcg(model: str) -> np.ndarray:
        values = []
        for folder in folders[model]:
            with np.load(folder / "ranks.npz") as saved:
                values.append(Ranks(saved["above"], saved["tied"]).ndcg(10))
        return np.mean(values, axis=0)

    best = {"general": "slim", "sequential": "prme"}
    for comparison in (general, sequential):
        other = ndcg(best[comparison.group])
        assert comparison.difference == pytest.approx((ndcg("sdm") - other).mean())
        assert comparison.p == compare_models(folders, "sdm", best[comparison.group], "NDCG@10", NO_SPREADS).p
    assert general.corrected == pytest.approx(2 * general.p)
    assert sequential.mark == ""


def test_no_mark_is_given_against_a_baseline_below_popularity_on_validation(tmp_path: Path) -> None:
    marks = []
    for validation in (0.4, 0.6):
        qualities = {"popularity": (validation, 0.3), "slim": (0.5, 0.3), "sdm": (0.5, 0.9)}
        folders = {
            m: [write_random_run(tmp_path / m / str(validation), m, 0, quality, validation=one)]
            for m, (one, quality) in qualities.items()
        }
        (general,) = list_rows(compare_paper_models("ta-feng", folders, NO_SPREADS))
        assert general.baseline == "SLIM"
        marks.append(general.mark)
    assert marks == ["g+", ""]


def test_marks_are_those_of_significant_differences_on_ndcg() -> None:
    comparisons = pd.DataFrame(
        [("ml-100k", "SDM", "g+"), ("ml-100k", "SDM", "s−"), ("ml-100k", "SDP", "")],
        columns=["dataset", "model", "mark"],
    )
    cells = pd.DataFrame(product(["ml-100k"], ["SDM", "SDP"], METRICS), columns=["dataset", "model", "metric"])
    assert list(mark_cells(cells, comparisons)["marks"]) == ["", "g+ s−", "", ""]
    assert list(mark_cells(cells, comparisons[:0])["marks"]) == [""] * 4


def test_mark_is_the_sign_of_a_difference_that_is_significant_after_correction(tmp_path: Path) -> None:
    qualities = {"slim": 0.3, "prme": 0.9, "sdp": 0.34, "sdm": 0.6}
    folders = {m: [write_random_run(tmp_path / m, m, 0, quality)] for m, quality in qualities.items()}
    comparisons = list_rows(compare_paper_models("ml-100k", folders, NO_SPREADS))
    marks = {(one.model, one.baseline): one.mark for one in comparisons}
    assert marks == {("SDP", "SLIM"): "", ("SDP", "PRME"): "s−", ("SDM", "SLIM"): "g+", ("SDM", "PRME"): "s−"}


# --- gains ---


def make_cells(rows: Iterable[tuple[str, str, float, float]]) -> pd.DataFrame:
    """Return cells of ML-100k from model, metric, the paper's value and ours."""
    return pd.DataFrame(rows, columns=["model", "metric", "paper", "ours"]).assign(dataset="ml-100k")


def test_papers_gains_follow_from_its_values() -> None:
    """As printed for ML-100k, from values with more digits than three."""
    printed = {
        "SDM over the best general baseline": (14.54, 26.51),
        "SDMR over the best general baseline": (11.65, 63.44),
        "SDM over the best sequential baseline": (4.24, 8.21),
        "SDMR over the best sequential baseline": (1.61, 39.80),
    }
    values = {(m, metric): get_paper_value("ml-100k", m, metric) for m, metric in product(MODELS, METRICS)}
    gains = compute_gains(make_cells((MODELS[m].name, metric, x, x) for (m, metric), x in values.items()))
    assert list(gains["model"].unique()) == list(printed)
    assert len(gains) == 8
    for gain in list_rows(gains):
        assert gain.dataset == "ml-100k"
        assert gain.paper == pytest.approx(printed[gain.model][METRICS.index(gain.metric)], abs=0.1)
        assert gain.ours == gain.paper


def test_gain_is_over_the_best_baseline_of_the_group_on_each_side() -> None:
    values = {
        "Popularity": (np.nan, 0.9),  # in no group of the paper's
        "SLIM": (0.5, 0.4),
        "CML": (0.4, 0.5),
        "PRME": (0.8, np.nan),
        "SDP": (0.1, 0.95),  # no baseline
        "SDM": (0.6, 0.45),
    }
    cells = make_cells((model, "hit@10", paper, ours) for model, (paper, ours) in values.items())
    general, sequential = list_rows(compute_gains(cells))
    assert (general.dataset, general.metric) == ("ml-100k", "hit@10")
    assert general.model == "SDM over the best general baseline"
    assert (general.paper, general.ours) == pytest.approx((20, -10))
    assert sequential.paper == pytest.approx(-25)
    assert np.isnan(sequential.ours)


def test_there_is_no_gain_over_baselines_that_the_paper_does_not_print() -> None:
    cells = make_cells([("SLIM", "hit@10", np.nan, 0.4), ("PRME", "hit@10", 0.5, 0.4), ("SDM", "hit@10", 0.6, 0.5)])
    assert list(compute_gains(cells)["model"]) == ["SDM over the best sequential baseline"]


# --- a user's class ---


def write_user_runs(folder: Path, users: np.ndarray, above: Sequence[np.ndarray], validation: float) -> list[Path]:
    """Write a run without ties for each seed's ranks."""
    return [
        write_run(folder / str(seed), "my_models.Random", seed, users, Ranks(one, np.zeros_like(one)), validation)
        for seed, one in enumerate(above)
    ]


def test_user_class_is_compared_with_the_baseline_that_is_best_on_validation(tmp_path: Path) -> None:
    """A better one on test does not count, nor do the paper's models. A basket counts once; seeds are averaged."""
    users = np.array([0, 0, 0, 1, 2, 3])  # a user with three baskets is one user of four
    hit, miss = np.zeros(6, dtype=int), np.full(6, 99)
    folders = {
        "prme": write_user_runs(tmp_path / "prme", users, [hit], 0.2),
        "slim": write_user_runs(tmp_path / "slim", users, [miss], 0.3),
        "sdm": write_user_runs(tmp_path / "sdm", users, [hit], 0.9),
        "my_models.Random": write_user_runs(tmp_path / "user", users, [99 * (users > 0), hit], 0.9),
    }
    *paper, line = describe_comparisons("ml-100k", folders, NO_SPREADS, "expected")
    assert [text.partition(":")[0] for text in paper] == [
        "ml-100k, SDM − SLIM, the best general baseline by validation",
        "ml-100k, SDM − PRME, the best sequential baseline by validation",
    ]
    assert line.startswith("ml-100k, my_models.Random − SLIM, the best baseline by validation: hit@10 +0.750 (")
    assert "win / tie / loss for 100 / 0 / 0 % of the users" in line
    for metric in METRICS:  # not corrected for the other one
        p = compare_models(folders, "my_models.Random", "slim", metric, NO_SPREADS).p
        assert f", p {format_p_value(p, '= ')}, " in line
    others = {"sdm": folders["sdm"], "my_models.Random": folders["my_models.Random"]}
    assert list(describe_comparisons("ml-100k", others, NO_SPREADS, "expected")) == []


@pytest.mark.parametrize(
    ("tie_policy", "difference"),
    [("optimistic", "hit@10 +0.500"), ("expected", "hit@10 −0.401"), ("pessimistic", "hit@10 −0.500")],
)
def test_comparison_reads_ties_as_the_table_does(tie_policy: TiePolicy, difference: str, tmp_path: Path) -> None:
    """Equal scores hit for sure if ties favor the target, and never if not."""
    users, none = np.arange(20), np.zeros(20, dtype=int)
    folders = {
        "popularity": [write_run(tmp_path / "a", "popularity", 0, users, Ranks(99 * (users % 2), none), 0.9)],
        "my_models.Random": [write_run(tmp_path / "b", "my_models.Random", 0, users, Ranks(none, none + 100), 0.9)],
    }
    (line,) = describe_comparisons("ml-100k", folders, NO_SPREADS, tie_policy)
    assert difference in line


NONE = np.zeros(200, int)


def test_interaction_is_taken_off_where_the_other_row_has_one_seed(tmp_path: Path) -> None:
    folders = make_pair(tmp_path, (3, 1), (0.6, 0.4))
    first, second = (np.array([load_hits(folder) for folder in folders[m]]) for m in ("sdm", "cml"))
    one = compare_models(folders, "sdm", "cml", "hit@10", NO_SPREADS)
    values = first - second
    averages = values.mean(axis=0)
    residual = values - averages - values.mean(axis=1, keepdims=True) + averages.mean()
    users = averages.var(ddof=1) / 200 - (residual**2).sum() / (2 * 3 * 200 * 199)
    seed = first.mean(axis=1).var(ddof=1) / 3
    degrees = (users + 2 * seed) ** 2 / (users**2 / 199 + (2 * seed) ** 2 / 2)
    assert one.high - one.difference == pytest.approx(t.ppf(0.975, degrees) * (users + seed) ** 0.5)


def test_baseline_is_selected_by_the_mean_validation_over_its_seeds(tmp_path: Path) -> None:
    values = {"cml": (0.9, 0.1), "slim": (0.1, 0.9), "mf-bpr": (0.6, 0.6)}
    folders = {
        m: [write_random_run(tmp_path / m / str(n), m, n, validation=one) for n, one in enumerate(pair)]
        for m, pair in values.items()
    }
    assert select_best_on_validation(folders) == "mf-bpr"


def test_papers_models_are_compared_by_the_tie_policy(tmp_path: Path) -> None:
    folders = {
        "slim": [write_run(tmp_path / "a", "slim", 0, np.arange(200), Ranks(99 * (np.arange(200) % 2), NONE))],
        "sdm": [write_run(tmp_path / "b", "sdm", 0, np.arange(200), Ranks(NONE, NONE + 100))],
    }
    (one,) = list_rows(compare_paper_models("ml-100k", folders, NO_SPREADS, "optimistic"))
    assert one.difference == pytest.approx(0.5)

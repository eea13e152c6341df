"""Figure 5: pointwise mutual information, pairs, and the weights of saved models."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from scipy.stats import pearsonr

from sdmr.experiments.figures.figure5 import compute_pmi, compute_trends, correlate, list_pairs, read_paper_values
from sdmr.experiments.figures.figure5 import draw as draw_figure
from tests.experiments.figures.records import is_drawn, read_rows
from tests.experiments.figures.tasks import split_histories

Command = Callable[..., int]


def test_pmi_is_that_of_a_hand_computed_example() -> None:
    """Users 0 and 1 took items 0 and 1, user 2 items 1 and 2, user 3 item 3 alone.

    Ordered pairs of D: (0, 1) and (1, 0) twice each, (1, 2) and (2, 1) once each: 6. #(0) = 2, #(1) = 3, #(2) = 1.
    """
    matrix = csr_matrix(np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]], dtype=np.float32))
    pmi = compute_pmi(matrix, np.array([0, 1, 2, 0, 3, 0]), np.array([1, 0, 1, 2, 0, 0]))
    together = [(2 / 6) / (2 / 6 * 3 / 6), (2 / 6) / (3 / 6 * 2 / 6), (1 / 6) / (1 / 6 * 3 / 6)]
    assert pmi[:3] == pytest.approx(np.log(together))
    assert pmi[3:].tolist() == [-np.inf] * 3  # never together, alone, and an item with itself


def test_pairs_are_a_target_with_each_of_its_context_items() -> None:
    task = split_histories(u0=[5, 3, 8, 2, 7], u1=[3, 5, 4])
    pairs = list_pairs(task.test, 3, task.training.matrix)
    contexts = task.test.contexts.last_n(3)
    for row, column, user, target, item in pairs[["row", "column", "user", "target", "item"]].itertuples(index=False):
        assert contexts[row, column] == item != task.training.n_items
        assert (task.test.users[row], task.test.targets[row]) == (user, target)
    known = [(t, k) for t, context in zip(task.test.targets, contexts, strict=True) for k in context if k < 130]
    counts = (task.training.matrix.T @ task.training.matrix).toarray()
    assert len(pairs) == len(known)
    n_finite = np.isfinite(pairs["pmi"]).sum()
    assert 0 < n_finite == sum(counts[t, k] > 0 for t, k in known) < len(pairs)


def test_paper_prints_correlations_of_ml_100k_alone() -> None:
    assert read_paper_values("ml-100k") == {1: 0.059, 2: 0.097, 3: 0.143, 4: 0.146}
    assert read_paper_values("csv") == {}


def test_trends_are_the_lines_that_lie_nearest_to_the_weights_of_each_seed() -> None:
    """Two seeds: the weights rise with PMI, w = .2 + .1 PMI, or are .3 throughout. Noise of mean 0 changes no line."""
    pmi = np.repeat([-1.0, 1.0, 3.0], 2)
    noise = np.tile([0.05, -0.05], 3)
    trends = compute_trends(pmi, [0.2 + 0.1 * pmi + noise, np.full(6, 0.3) - noise])
    assert (trends.index[0], trends.index[-1]) == (-1, 3)
    rising = 0.2 + 0.1 * trends.index.to_numpy()
    assert trends["low"].to_numpy() == pytest.approx(np.minimum(rising, 0.3))
    assert trends["high"].to_numpy() == pytest.approx(np.maximum(rising, 0.3))
    assert trends["mean"].to_numpy() == pytest.approx((rising + 0.3) / 2)


def test_each_panel_names_the_correlations_of_all_seeds_beside_the_papers() -> None:
    rng = np.random.default_rng(0)
    pairs = pd.DataFrame({"user": np.arange(40) % 10, "pmi": rng.normal(size=40)})
    weights = {(2, seed): rng.random((2, 40)) for seed in (0, 1)}
    correlations = correlate(pairs, weights, {2: 0.097})
    figure = draw_figure([1, 2], pairs, weights, correlations)
    (first, second, *_) = figure.axes
    assert first.get_title() == "SDM-1"
    assert [text.get_text() for text in first.texts] == ["not run"]
    r = [pearsonr(pairs["pmi"], weights[2, seed][1]).statistic for seed in (0, 1)]  # of the last hop
    title, paper, further = second.get_title().split("\n")
    assert title.startswith(f"SDM-2: r = {r[0]:.3f} (")
    assert (paper, further) == ("paper 0.097", f"further seeds {r[1]:.3f}")
    assert len(second.collections) == 2  # the points and the band


def test_figure_shows_the_weights_of_saved_models(
    small: tuple[str, ...], tmp_path: Path, draw: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert draw("name=figure5", *small, "hops=2", "seeds=2") == 0
    assert is_drawn(tmp_path / "plots", "figure5")
    points = read_rows(tmp_path / "plots" / "figure5.csv")
    correlations = read_rows(tmp_path / "plots" / "figure5-correlations.csv")
    assert [(row["hops"], row["hop"], row["seed"]) for row in correlations] == [
        *(("2", "1", "0"), ("2", "2", "0"), ("2", "1", "1"), ("2", "2", "1"))
    ]
    pmi = [float(row["pmi"]) for row in points]
    for row in correlations:
        assert int(row["pairs"]) == len(points)
        assert float(row["low"]) < float(row["r"]) < float(row["high"])
        assert not row["paper"]  # which is of ML-100k
        assert (row["dataset"], row["dim"]) == ("csv", "8")
        assert "epochs" in row["settings"]
        assert len(row["source"]) == 64
        if row["hop"] == row["hops"]:
            weights = [np.float32(point[f"attention_hops{row['hops']}_seed{row['seed']}"]) for point in points]
            assert float(row["r"]) == pytest.approx(pearsonr(pmi, weights).statistic, abs=1e-9)
    share = 100 * float(correlations[0]["dropped_share"])
    assert f"({share:.1f} %) that no user took together are left out" in capsys.readouterr().out
    # The same weights as those of the model that a run has saved.
    assert draw("name=figure5", *small, "hops=[2,3]", "train=false", "output=again") == 0
    assert "1 of 2 runs are missing" in capsys.readouterr().out
    again = read_rows(tmp_path / "plots" / "again.csv")
    assert [row["attention_hops2_seed0"] for row in again] == [row["attention_hops2_seed0"] for row in points]


def test_model_of_the_run_that_trained_serves_a_run_that_only_ranks(
    small: tuple[str, ...], tmp_path: Path, draw: Command
) -> None:
    assert draw("name=figure5", *small, "hops=1") == 0
    assert draw("name=figure5", *small, "hops=1", "protocol.candidates=all", "output=all") == 0
    first, second = (read_rows(tmp_path / "plots" / f"{name}.csv") for name in ("figure5", "all"))
    assert first == second


@pytest.mark.parametrize("name", ["figure5", "figure7"])
def test_without_a_model_the_command_that_makes_it_is_printed(
    name: str, small: tuple[str, ...], tmp_path: Path, draw: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert draw(f"name={name}", *small, "train=false") == 0
    out = capsys.readouterr().out
    assert f"{name} is not drawn: none of its runs exists" in out
    assert "sdmr run model=sdm dataset=csv seed=0" in out
    assert not (tmp_path / "plots").exists()

"""Figure 6: its numbers are the records', of whatever runs exist; missing runs are reported."""

import statistics
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sdmr.experiments.core import plan
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.parallel import Outcome
from sdmr.experiments.figures import figure6, style
from sdmr.experiments.report.hop_points import read_published_points
from tests.experiments.figures.records import is_drawn, read_rows, write_record

Command = Callable[..., int]


def test_csv_holds_the_numbers_of_the_records(tmp_path: Path, runs: Path, draw: Command) -> None:
    records = {}
    for hops, dim, seed in product((1, 4), (8, 128), (0, 1)):
        folder = runs / f"sdm-{hops}-{dim}-5-{seed}"
        records[hops, dim, seed] = write_record(folder, quality=0.3 + 0.02 * hops + 0.001 * dim, seed=seed)
    assert draw("name=figure6", "seeds=2", "hops=[1,4]", "dims=[8,128]") == 0
    assert is_drawn(tmp_path / "plots", "figure6")
    rows = read_rows(tmp_path / "plots" / "figure6.csv")
    assert len(rows) == len(records)
    for row in rows:
        record = records[int(row["hops"]), int(row["dim"]), int(row["seed"])]
        assert (row["dataset"], row["model"], row["context_length"]) == ("ml-100k", "sdm", "5")
        for metric in ("hit@10", "NDCG@10"):
            assert float(row[metric]) == record.metrics()[metric]["expected"]
        assert row["commit"] == record.environment.commit
        assert row["best_epoch"] == "4"


def make_frame(points: Sequence[tuple[str, int, int, int]]) -> pd.DataFrame:
    """Return a row a run of (data set, hops, d, seed), with values that differ."""
    frame = pd.DataFrame(points, columns=["dataset", "hops", "dim", "seed"]).assign(model="sdm", context_length=5)
    frame["hit@10"] = 0.1 * frame["hops"] + 0.01 * frame["dim"] + 0.02 * frame["seed"]
    return frame.assign(**{"NDCG@10": frame["hit@10"] / 2})


def test_two_hundred_records_make_four_panels_of_four_lines(tmp_path: Path) -> None:
    axes = {"dim": [8, 16, 32, 64, 128], "hops": [1, 2, 3, 4]}
    frame = make_frame(list(product(("ml-100k", "ta-feng"), axes["hops"], axes["dim"], range(5))))
    assert len(frame) == 200
    figure = figure6.draw([("ml-100k", "sdm"), ("ta-feng", "sdm")], axes, frame)
    assert len(figure.axes) == 4
    assert all(len(panel.containers) == 4 for panel in figure.axes)
    style.save_figure(figure, tmp_path, "many", frame)
    assert is_drawn(tmp_path, "many")
    assert len(read_rows(tmp_path / "many.csv")) == 200


def test_lines_show_mean_and_spread_over_seeds() -> None:
    frame = make_frame(list(product(("ml-100k",), (1, 2), (8, 16, 32), (0, 1))))
    figure = figure6.draw([("ml-100k", "sdm")], {"dim": [8, 16, 32], "hops": [1, 2]}, frame)
    hit, ndcg = figure.axes
    assert [label.get_text() for label in ndcg.get_xticklabels()] == ["8", "16", "32"]  # the axis with most values
    assert hit.get_legend_handles_labels()[1] == ["h = 1", "h = 2"]
    for panel, scale in ((hit, 1), (ndcg, 0.5)):
        for hops, container in zip((1, 2), panel.containers, strict=True):
            line, _, (bars,) = container
            values = [[scale * (0.1 * hops + 0.01 * dim + 0.02 * seed) for seed in (0, 1)] for dim in (8, 16, 32)]
            assert line.get_ydata() == pytest.approx([statistics.mean(v) for v in values])
            ends = np.array([segment[:, 1] for segment in bars.get_segments()])
            assert (ends[:, 1] - ends[:, 0]) / 2 == pytest.approx([statistics.stdev(v) for v in values])


def test_published_points_are_means_over_seeds_by_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "records" / "figure6" / "ml-100k"
    names = ("sdm-hops1-d8-s5-0", "sdm-hops1-d8-s5-1", "cmn-hops2-d16-0")
    values = [
        write_record(folder / name, quality=0.3 + 0.1 * number, seed=0).metrics()["NDCG@10"]["expected"]
        for number, name in enumerate(names)
    ]
    points = read_published_points(tmp_path).query("metric == 'NDCG@10'").set_index("model")
    assert points.loc["SDM", ["hops", "dim", "context_length", "seeds"]].tolist() == [1, 8, 5, 2]
    assert points.loc["SDM", "mean"] == pytest.approx(statistics.mean(values[:2]))
    assert points.loc["SDM", "spread"] == pytest.approx(statistics.stdev(values[:2]))
    assert (points.loc["CMN++", "mean"], points.loc["CMN++", "seeds"]) == (values[2], 1)


def test_two_of_eight_runs_are_drawn_and_the_missing_ones_reported(
    tmp_path: Path, runs: Path, draw: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    for hops in (1, 3):
        write_record(runs / f"cmn-{hops}-16-None-0", "cmn")
    assert draw("name=figure6", "train=false", "models=[cmn,sdm]", "hops=[1,3]", "dims=[16,64]", "output=few") == 0
    assert is_drawn(tmp_path / "plots", "few")
    rows = read_rows(tmp_path / "plots" / "few.csv")
    assert [(row["model"], row["hops"], row["context_length"]) for row in rows] == [("cmn", "1", ""), ("cmn", "3", "")]
    out = capsys.readouterr().out
    assert "6 of 8 runs are missing" in out
    assert "sdmr run model=cmn dataset=ml-100k seed=0 model.hops=1 model.gmf.dim=64\n" in out


def test_without_a_record_the_existing_files_stay(
    tmp_path: Path, runs: Path, draw: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    existing = tmp_path / "plots" / "figure6.png"
    existing.parent.mkdir()
    existing.write_text("drawn before")
    assert draw("name=figure6", "train=false", "dims=8") == 0
    assert "figure6 is not drawn: none of its runs exists" in capsys.readouterr().out
    assert [path.name for path in existing.parent.iterdir()] == ["figure6.png"]
    assert existing.read_text() == "drawn before"


def test_published_record_stands_in_for_a_missing_run_of_the_same_settings(
    tmp_path: Path, runs: Path, draw: Command
) -> None:
    arguments = ("name=figure6", "train=false", "hops=[1,2]", "dims=8")
    for hops in (1, 2):
        write_record(runs / f"sdm-{hops}-8-5-0", quality=0.6)
    assert draw("publish=true", *arguments) == 0
    first = read_rows(tmp_path / "plots" / "figure6.csv")
    published = tmp_path / "results" / "records" / "figure6" / "ml-100k"
    assert {path.name for path in published.iterdir()} == {f"sdm-hops{hops}-d8-s5-0" for hops in (1, 2)}
    (runs / "sdm-1-8-5-0" / "record.json").unlink()
    write_record(runs / "sdm-2-8-5-0", quality=0.9)  # this machine's record comes first
    assert draw(*arguments) == 0
    second = read_rows(tmp_path / "plots" / "figure6.csv")
    assert second[0] == first[0]
    assert float(second[1]["hit@10"]) > float(first[1]["hit@10"])
    (tmp_path / "plots" / "figure6.csv").unlink()
    (runs / "sdm-2-8-5-0" / "record.json").unlink()
    assert draw("epochs=2", *arguments) == 0  # other settings than those of the published records
    assert not (tmp_path / "plots" / "figure6.csv").exists()


def test_missing_runs_are_made_seed_by_seed(
    tmp_path: Path,
    runs: Path,
    draw: Command,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made: list[tuple[str, str]] = []

    def run_all(tasks: Sequence[tuple[str, ...]], folder: Path, workers: int) -> list[Outcome]:
        outcomes = []
        for overrides in tasks:
            settings = dict(override.split("=") for override in overrides)
            made.append((settings["seed"], settings["context_length"]))
            if made[-1] == ("1", "10"):
                outcomes.append(Outcome(overrides, None, "MemoryError: too much"))
                continue
            name = f"sdm-{settings['model.hops']}-64-{settings['context_length']}-{settings['seed']}"
            outcomes.append(Outcome(overrides, write_record(runs / name)))
        return outcomes

    monkeypatch.setattr(plan, "run_all", run_all)
    write_record(runs / "sdm-3-64-5-0")
    assert draw("name=figure6", "dims=64", "hops=3", "lengths=[5,10,20]", "seeds=2") == 1
    assert made == [("0", "10"), ("0", "20"), ("1", "5"), ("1", "10"), ("1", "20")]
    assert "MemoryError: too much" in capsys.readouterr().err
    assert len(read_rows(tmp_path / "plots" / "figure6.csv")) == 5


def test_same_figure_is_the_same_bytes(tmp_path: Path, runs: Path, draw: Command) -> None:
    for hops in (1, 2):
        write_record(runs / f"sdm-{hops}-8-5-0")
    files = []
    for _ in range(2):
        assert draw("name=figure6", "train=false", "hops=[1,2]", "dims=8") == 0
        files.append({path.name: path.read_bytes() for path in (tmp_path / "plots").iterdir()})
    assert len(files[0]) == 3
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["models=[sdm,prme]"], "models=prme: this model has no hops; the figure shows sdm, cmn"),
        (["models=cmn", "lengths=5"], r"CMN\+\+ reads no context"),
        (["lengths=[5,10]", "context_length=20"], "context_length=20 would make the figure's labels wrong"),
        (["datasets=unknown"], "dataset=unknown"),
        (["model.layers=2"], "has no argument 'layers'"),
    ],
)
def test_wrong_axes_are_refused(arguments: list[str], message: str, draw: Command) -> None:
    with pytest.raises(UsageError, match=message):
        draw("name=figure6", *arguments)

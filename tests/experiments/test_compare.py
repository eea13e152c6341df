"""`sdmr compare` prints and writes differences of records on the same test instances."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from sdmr.experiments import compare
from sdmr.experiments.core import cli
from sdmr.experiments.core.run import compose_task
from sdmr.experiments.report.differences import KEY
from sdmr.experiments.score import score
from sdmr.harness.metrics import Ranks
from tests.experiments.figures.records import is_drawn, read_rows
from tests.experiments.report.records import change_record, write_run
from tests.experiments.small import make_run, make_small_dataset

MARKDOWN = """# SDM and 2 other rows on tiny

## Means

| model        |   seeds | NDCG@5            | NDCG@5, 95 %   |
|:-------------|--------:|:------------------|:---------------|
| SDM          |       2 | **0.675 ± 0.049** | 0.231 … 1.119  |
| Elsewhere    |       1 | <u>0.347</u>      | 0.075 … 0.618  |
| Popularity † |       1 | 0.157             | -0.044 … 0.358 |

## Differences

| metric   | difference of      | difference, 95 % interval   |       p |   corrected |   effect | win / tie / loss, % of users   |
|:---------|:-------------------|:----------------------------|--------:|------------:|---------:|:-------------------------------|
| NDCG@5   | SDM − Elsewhere    | +0.329 (+0.121 … +0.536)    |  0.0061 |      0.0061 |    +0.99 | 75 / 8 / 17                    |
| NDCG@5   | SDM − Popularity † | +0.518 (+0.332 … +0.704)    | 0.00039 |     0.00078 |    +1.80 | 92 / 8 / 0                     |
"""  # noqa: E501
LATEX = r"""% Means

\begin{tabular}{lrll}
\toprule
model & seeds & NDCG@5 & NDCG@5, 95 \% \\
\midrule
SDM & 2 & \textbf{0.675 $\pm$ 0.049} & 0.231 \dots{} 1.119 \\
Elsewhere & 1 & \underline{0.347} & 0.075 \dots{} 0.618 \\
Popularity \dag{} & 1 & 0.157 & $-$0.044 \dots{} 0.358 \\
\bottomrule
\end{tabular}
"""
CSV = """stratum,range,instances,metric,model,baseline,difference,low,high,run_low,run_high,p,effect,wins,ties,losses,corrected
,,12,NDCG@5,SDM,Elsewhere,0.328643,0.120819,0.536466,0.00673132,0.650554,0.00614629,0.987669,0.75,0.0833333,0.166667,0.00614629
,,12,NDCG@5,SDM,Popularity,0.518118,0.331744,0.704492,0.214449,0.821787,0.000388785,1.79836,0.916667,0.0833333,0,0.000777571
"""  # noqa: E501


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter a folder with records of 12 users: SDM with two seeds, scores made elsewhere, and another protocol's."""
    monkeypatch.chdir(tmp_path)
    runs, numbers = Path("runs/tiny"), np.arange(12)
    above = {"sdm-0": numbers % 3, "sdm-1": numbers % 4, "Elsewhere-0": 4 * (numbers % 4), "popularity-0": 2 * numbers}
    for name, ranks in above.items():
        model, _, seed = name.partition("-")
        write_run(runs / name, model, int(seed), numbers, Ranks(ranks, np.zeros(12, int)))
    change_record(runs / "Elsewhere-0", validation={}, config={"scores": "scores.csv"})
    change_record(runs / "popularity-0", config={"protocol": {"validation_item": "next-to-last"}}, data="other")
    for name in above:
        change_record(runs / name, test_items="of twelve users", test_candidates="of twelve users")
    return runs


def test_tables_are_written_in_three_formats(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["runs=[sdm-*,Elsewhere-0,runs/tiny/popularity-0]", "cutoffs=5", "metrics=NDCG", "output=out"]
    assert cli.main(["compare", *arguments]) == 0
    printed = capsys.readouterr().out
    written = Path("out/tables.md").read_text()
    assert written.startswith(MARKDOWN)
    assert Path("out/tables.tex").read_text().startswith(LATEX)
    assert Path("out/differences.csv").read_text() == CSV
    for text in (
        "tiny, 12 test instances. Differences are SDM − the other row",
        "† Popularity: protocol.validation_item next-to-last, not random.",
        "One seed: Elsewhere. The intervals of NDCG@5 count users alone: no published row has three seeds, whose "
        "spread it could borrow.",
    ):
        assert text in written
        assert text in printed
    assert read_rows(Path("out/metrics.csv"))[0]["mean"] == "0.675356"


def test_picture_has_a_line_for_each_pair(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    draw = compare.draw_forest
    monkeypatch.setattr(compare, "draw_forest", lambda *arguments: figures.append(draw(*arguments)) or figures[-1])
    assert cli.main(["compare", "runs=[sdm-*,Elsewhere-0,popularity-0]"]) == 0
    (folder,) = Path("runs/compare").iterdir()
    assert folder.name.startswith("tiny-")
    assert is_drawn(folder, "differences")
    (figure,) = figures
    assert [axes.get_title() for axes in figure.axes] == ["hit@10", "NDCG@10"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["Elsewhere", "Popularity"]
    for axes in figure.axes:
        assert [len(axes.containers), axes.get_xlabel()] == [2, "SDM − row"]
    assert cli.main(["compare", "runs=[sdm-*,Elsewhere-0,popularity-0]", "metrics=mean-rank"]) == 0
    assert [axes.get_title() for axes in figures[-1].axes] == ["mean-rank (lower is better)"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "runs=... is missing"),
        (["runs=sdm-0"], "there is one row, SDM; name the runs of another model or setting"),
        (["runs=[sdm-0,sdm-1]"], "there is one row, SDM;"),
        (["runs=[sdm-*,SDP-*]"], "runs=SDP-*: there is no such run in runs"),
        (
            ["runs=[sdm-*,Elsewhere-0]", "by=age"],
            "by=age: there is none of this name; there are gap,",
        ),
        (["runs=[sdm-*,Elsewhere-0]", "metrics=recall"], "metrics=recall: there is none of this name"),
        (["runs=[sdm-*,Elsewhere-0]", "metrics=AUC"], "The ranks of SDM or of all other rows have no AUC, no AUC all"),
        (["runs=[sdm-*,Elsewhere-0]", "model=sdm"], "there is no option 'model'"),
    ],
)
def test_a_wrong_option_of_compare_is_one_line(
    arguments: list[str], message: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["compare", *arguments]) == cli.WRONG_USE
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not Path("runs/compare").exists()


def test_records_of_other_instances_are_refused_with_a_line_each(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change_record(runs / "popularity-0", dataset="ml-1m", test_items="of others")
    change_record(runs / "Elsewhere-0", data="other", test_items="of others")
    assert cli.main(["compare", "runs=[sdm-*,Elsewhere-0,popularity-0]"]) == cli.WRONG_USE
    first, second, last = capsys.readouterr().err.splitlines()
    assert first.startswith("Elsewhere (runs/tiny/Elsewhere-0): data hash other, not data")
    assert second == "Popularity (runs/tiny/popularity-0): dataset ml-1m, not tiny"
    assert "the records above are not of the test instances of SDM" in last


def test_runs_and_scores_of_others_are_compared_on_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seeds of a trained model, and the scores of a program, on parts that a count of the split gives."""
    overrides = make_small_dataset(tmp_path, monkeypatch)
    for seed in (0, 1):
        make_run("model=mf-bpr", "epochs=1", f"seed={seed}", *overrides)
    make_run("model=popularity", *overrides)
    run = compose_task("csv", overrides[1:])
    test = run.load_task().test
    n, number = test.candidates.shape
    table = pd.DataFrame({"instance": np.arange(n).repeat(number), "candidate": test.candidates.ravel()})
    table.assign(score=-table["candidate"]).to_csv("scores.csv", index=False)
    score(Path("scores.csv"), run, "Elsewhere")
    capsys.readouterr()
    names = "runs=[MFBPR-*,Elsewhere-*,Popularity-*]"
    assert cli.main(["compare", names, "by=[popularity,history]", "metrics=[hit,AUC]", "output=out"]) == 0
    printed = capsys.readouterr().out
    metrics = pd.read_csv("out/metrics.csv", keep_default_na=False)
    assert metrics["model"].unique().tolist() == ["MF-BPR", "Elsewhere", "Popularity"]
    assert set(metrics["metric"]) == {"hit@10", "AUC", "hit@10 all", "AUC all"}
    assert set(metrics.loc[metrics["model"] == "Elsewhere", "metric"]) == {"hit@10", "AUC"}
    assert "On parts, seeds may spread more" in printed
    assert "Without ranks to compute it from: hit@10 all of Elsewhere, AUC all of Elsewhere." in printed
    parts = metrics.loc[metrics["metric"] == "AUC", KEY].drop_duplicates()
    assert parts["stratum"].unique().tolist() == ["", "popularity", "history"]
    assert parts.loc[parts["stratum"] == "history", ["range", "instances"]].to_numpy().tolist() == [["4", 40]]
    for name in ("differences", "popularity", "history"):
        assert is_drawn(Path("out"), name)
    assert cli.main(["compare", names, "by=gap"]) == cli.WRONG_USE
    assert (
        "by=gap: needs histories whose times are dates or epoch times; csv has popularity, history"
        in capsys.readouterr().err
    )


def test_runs_that_rank_another_number_of_items_are_not_compared_among_all_items(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows of a user who only trains bring new items, and leave the test items as they are."""
    monkeypatch.setenv("SDMR_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(5)
    rows = [f"{u},{item},{n}" for u in range(20) for n, item in enumerate(rng.choice(130, 6, replace=False))]
    for name, more in {"few": [], "many": ["90,1000,1", "90,1001,2"]}.items():
        Path(f"{name}.csv").write_text("\n".join(["user,item,time", *rows, *more]) + "\n")
    for model, name in {"popularity": "few", "transitions": "few", "slim": "many"}.items():
        make_run(f"model={model}", "dataset=csv", f"dataset.path={name}.csv", "dataset.time=time")
    capsys.readouterr()
    names = "runs=[Popularity-*,TransitionCounts-*,SLIM-*]"
    assert cli.main(["compare", names, "metrics=[hit,hit]", "cutoffs=[5,5]", "output=out"]) == 0
    rows = pd.read_csv("out/differences.csv")[["metric", "baseline"]].to_numpy().tolist()
    assert rows == [["hit@5", "Transitions"], ["hit@5 all", "Transitions"]]
    assert (
        "another number of items to rank than Popularity, or under 10 test instances in common, and are not compared "
        "by metrics among all items: SLIM."
    ) in capsys.readouterr().out


def test_runs_with_other_candidates_are_compared_among_all_items_of_the_same_test_items(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = make_small_dataset(tmp_path, monkeypatch)
    make_run("model=popularity", *overrides)
    make_run("model=item-knn", "protocol.candidates=20", *overrides)
    make_run("model=transitions", "protocol.candidates=all", *overrides)
    capsys.readouterr()
    names = "runs=[Popularity-*,ItemKNN-*,TransitionCounts-*]"
    assert cli.main(["compare", names, "metrics=hit", "output=out"]) == 0
    rows = pd.read_csv("out/differences.csv")
    assert rows[["metric", "baseline"]].to_numpy().tolist() == [
        ["hit@10 all", "Item-KNN"],
        ["hit@10 all", "Transitions"],
    ]
    printed = capsys.readouterr().out
    assert "candidates than Popularity, and are not compared by sampled metrics: Item-KNN, Transitions." in printed
    assert "another number of items" not in printed
    assert "Without ranks to compute it from: hit@10 of Transitions." in printed
    make_run("model=ease", *overrides[:-1], "split_seed=3")  # without times, the test items differ, too
    assert cli.main(["compare", "runs=[Popularity-*,EASE-*]"]) == cli.WRONG_USE
    assert "split_seed 3, not 2" in capsys.readouterr().err
    text = Path("small.csv").read_text()
    Path("other.csv").write_text(text.replace("\n0,", "\n0,9"))  # other items of the first user
    make_run("model=ials", "protocol.candidates=30", *(one.replace("small", "other") for one in overrides))
    assert cli.main(["compare", "runs=[Popularity-*,IALS-*]"]) == cli.WRONG_USE
    assert "dataset.path other.csv, not small.csv" in capsys.readouterr().err
    Path("small.csv").write_text(text.replace("\n0,", "\n0,9"))
    make_run("model=slim", "protocol.candidates=30", *overrides)
    assert cli.main(["compare", "runs=[Popularity-*,SLIM-*]"]) == cli.WRONG_USE
    assert (
        ": the raw data or the code that splits them has changed; make the older run again" in capsys.readouterr().err
    )

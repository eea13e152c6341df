"""Numbers in the README and in docs/ agree with the published results that they copy, to the printed digits."""

import json
import re
from decimal import Decimal
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd
import pytest
import yaml

from sdmr.experiments.report.summary import fill_blocks, make_blocks

CHECKOUT = Path(__file__).parents[1]
RESULTS, PLOTS = CHECKOUT / "results", CHECKOUT / "plots"
NAMES = {"ML-100k": "ml-100k", "ML-1M": "ml-1m", "Epinions": "epinions", "Ta-Feng": "ta-feng"}
CELL_SEPARATOR = re.compile(r"(?<!\\)\|")
Row = list[str]


def read_page(name: str) -> str:
    return (CHECKOUT / name).read_text(encoding="utf-8")


def read_tables(name: str) -> dict[str, list[Row]]:
    """Return the rows of each Markdown table of a page by its first line, after the heading above it."""
    tables: dict[str, list[Row]] = {}
    heading, title = "", ""
    for line in read_page(name).splitlines():
        if line.startswith("#"):
            heading = line.strip("# ")
        if not line.startswith("|"):
            title = ""
        elif not title:
            cells = [cell.strip() for cell in CELL_SEPARATOR.split(line)[1:-1]]
            title = f"{heading}: {' | '.join(cells)}"
            tables[title] = []
        elif not set(line) <= set("|:- "):
            tables[title].append([cell.strip() for cell in CELL_SEPARATOR.split(line)[1:-1]])
    return tables


def find_table(name: str, title: str) -> list[Row]:
    """Return the rows of the one table of a page whose heading and first line contain the title."""
    (rows,) = [rows for key, rows in read_tables(name).items() if title in key]
    assert rows
    return rows


def read_prose(name: str) -> str:
    """Return a page with single spaces between its words."""
    return " ".join(read_page(name).split())


def read_results(name: str) -> pd.DataFrame:
    return pd.read_csv(RESULTS / name, dtype=str, keep_default_na=False)


ACCURACY = pd.concat([read_results("table3.csv"), read_results("table4.csv")]).set_index(["dataset", "model", "metric"])
AUDIT = read_results("audit.csv").set_index(["dataset", "factor", "model", "metric", "tie_policy"])


def get_cell(dataset: str, model: str, metric: str) -> Any:
    return ACCURACY.loc[(dataset, model, metric)]


def agrees(shown: str, published: str | float) -> bool:
    """Return whether the shown digits are those of the number, which may be rounded itself."""
    shown = shown.replace("−", "-")
    digits = max(0, -int(Decimal(shown).as_tuple().exponent))
    published_digits = max(0, -int(Decimal(str(published)).as_tuple().exponent))
    slack = 0.0 if digits >= published_digits else 0.5 * 10.0**-digits + 0.5 * 10.0**-published_digits
    return abs(float(shown) - float(published)) <= slack + 1e-9


def check_accuracy(dataset: str, model: str, metric: str, paper: str, ours: str, difference: str | None = None) -> None:
    """Fail unless the shown values are the published ones, and Δ is their difference with its mark."""
    cell = get_cell(dataset, model, metric)
    where = f"{dataset}, {model}, {metric}: {paper} {ours} {difference}, published {cell['paper']} {cell['ours']}"
    assert paper == (cell["paper"] or "–"), where
    assert agrees(ours, cell["ours"]), where
    if difference is not None and not cell["paper"]:
        assert difference == "–", where
    elif difference is not None:
        number, _, mark = difference.partition(" ")
        assert Decimal(number.replace("−", "-")) == Decimal(ours) - Decimal(paper), where
        assert number[0] in "+−" or Decimal(number) == 0, where
        assert (mark == "°") == (cell["verdict"] != "inside"), where


@pytest.mark.parametrize(("name", "dataset"), NAMES.items())
def test_a_table_of_accuracy_is_the_published_one(name: str, dataset: str) -> None:
    rows = [row for row in find_table("docs/all-rows.md", f"{name}: model | hit@10: paper") if row[1]]  # no heading
    models = [row[0].removesuffix(" †") for row in rows]
    for model, (_, *cells) in zip(models, rows, strict=True):
        check_accuracy(dataset, model, "hit@10", *cells[:3])
        check_accuracy(dataset, model, "NDCG@10", *cells[3:6])
        cell = get_cell(dataset, model, "NDCG@10")
        for bound, text in zip(("low", "high"), cells[6].split(" … "), strict=True):
            assert agrees(text, cell[bound]), (dataset, model, bound)
        assert cells[8] == cell["seeds"]
    published = ACCURACY.loc[dataset]
    assert models == list(published[published["ours"] != ""].index.unique("model"))


def test_the_table_of_the_readme_is_the_published_one() -> None:
    rows = find_table("README.md", "What was found: model | hit@10: paper")
    for model, *cells in rows:
        check_accuracy("ml-100k", model, "hit@10", *cells[:3])
        check_accuracy("ml-100k", model, "NDCG@10", *cells[3:6])
        cell = get_cell("ml-100k", model, "NDCG@10")
        assert cells[6:] == [cell["seeds"], cell["search"].partition(",")[0]]
    assert {"SDP", "SDM", "SDMR"} < {row[0] for row in rows}


def test_the_generated_blocks_are_those_of_the_published_results() -> None:
    blocks = make_blocks(RESULTS)
    pages = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
    texts = {page.name: page.read_text(encoding="utf-8") for page in pages}
    old = [name for name, text in texts.items() if fill_blocks(text, blocks) != text]
    assert not old, "`sdmr publish` fills them"
    assert sum("<!-- generated: " in text for text in texts.values()) >= 4


def test_the_answers_of_the_pages_are_those_of_the_audit() -> None:
    claims = read_results("claims.csv").query("answer != 'not tested'")
    published = {row[0]: "".join(row[1:]) for row in find_table("results/audit.md", "The claims: claim | ")}
    answers = (claims["answer"] + claims["note"]).groupby(claims["claim"], sort=False).sum().to_dict()
    assert answers == {claim: text.replace("–", "") for claim, text in published.items() if text.strip("–")}


def test_the_printed_table_of_the_readme_has_the_published_values() -> None:
    rows = re.findall(r"^(\S+) +(\S+) \| (\S+) \| \S+ +(\S+) \| (\S+) \| \S+$", read_page("README.md"), re.MULTILINE)
    assert len(rows) == 5
    for model, paper, ours, paper_ndcg, ours_ndcg in rows:
        check_accuracy("ml-100k", model, "hit@10", paper, ours)
        check_accuracy("ml-100k", model, "NDCG@10", paper_ndcg, ours_ndcg)


def test_the_strata_of_the_protocol_are_published() -> None:
    strata = read_results("table3-strata.csv").query("dataset == 'ml-100k' and stratum == 'time gap'")
    cells = strata.set_index(["model", "range"])
    parts = {part: int(cells.loc[("SDM", part), "instances"]) for part in strata["range"].unique()}
    *rows, users = find_table("docs/protocol.md", "What the test items measure: model | same time")
    ranges = list(parts)
    assert users == ["users", *(str(parts[one]) for one in ranges)]
    for model, *values in rows:
        for part, value in zip(ranges, values, strict=True):
            assert agrees(value, cells.loc[(model, part), "NDCG@10"]), (model, part)
    same, minute = parts["same time"], parts["same time"] + parts["to a minute"]
    shares = [f"{100 * count / sum(parts.values()):.0f} %" for count in (same, minute)]
    assert f"{shares[0]} of the test items have the time of the interaction before, and {shares[1]}" in read_prose(
        "docs/protocol.md"
    )


def format_audit(dataset: str, factor: str, model: str, metric: str, tie_policy: str) -> tuple[str, str]:
    cell = AUDIT.loc[(dataset, factor, model, metric, tie_policy)]
    return cell["mean"], cell["spread"]


def test_the_contexts_without_the_last_hour_are_of_the_published_run() -> None:
    record = json.loads((RESULTS / "records" / "table3" / "ml-100k" / "transrec-0" / "record.json").read_text())
    assert f"measure_older_contexts runs/ml-100k/{record['run']}\n" in read_page("docs/protocol.md")


def test_the_page_names_the_rows_with_uncommitted_changes() -> None:
    rows = set()
    for path in (RESULTS / "records").glob("table*/*/*/record.json"):
        if json.loads(path.read_text())["environment"]["commit"].endswith("+"):
            rows.add((path.parts[-3], path.parts[-2].rpartition("-")[0]))
    sample = {row for row in rows if row[0] == "netflix-sample"}
    assert rows - sample == {("ml-1m", "neumf"), ("ta-feng", "transrec")}
    assert len(sample) == len(list((RESULTS / "records" / "table3" / "netflix-sample").glob("*-0")))
    text = " ".join(read_page("docs/reproducing.md").split())
    assert "holds for NeuMF++ on ML-1M, TransRec on Ta-Feng, and all rows of the Netflix sample." in text


def test_the_released_choices_have_the_values_of_the_audit() -> None:
    rows = find_table("docs/audit.md", "All released choices together")
    factors = {"next-to-last": "released-next-to-last", "random": "released"}
    columns = [("sdp", "hit@10"), ("sdp", "NDCG@10"), ("sdm", "hit@10"), ("sdm", "NDCG@10")]
    for program, held_out, *cells in rows:
        for cell, (model, metric) in zip(cells, columns, strict=True):
            if program == "released models":
                shown = cell.split(" ± ")
                published = format_audit("ml-100k", factors[held_out], model, metric, "argsort-target-last")
                assert all(agrees(*pair) for pair in zip(shown, published, strict=True)), (held_out, model, metric)
    (theirs,) = [row for row in find_table("results/audit.md", "ML-100k: one choice") if "authors' own" in row[0]]
    assert [float(cell) for cell in rows[0][2:]] == [
        float(n) for cell in theirs[1:] if cell != "–" for n in cell.split(" / ")
    ]


def test_the_tie_policies_have_the_values_of_the_audit() -> None:
    for name, printed, *cells in find_table("docs/audit.md", "Ties decide SDMR's number: NDCG@10"):
        dataset = NAMES[name.partition(",")[0]]
        assert agrees(printed, get_cell(dataset, "SDMR", "NDCG@10")["paper"])
        for policy, cell in zip(("optimistic", "expected", "pessimistic"), cells, strict=True):
            assert agrees(cell, format_audit(dataset, "released", "sdmr", "NDCG@10", policy)[0]), (dataset, policy)


def test_the_shares_of_users_with_a_tie_are_those_of_the_records() -> None:
    prose = {name: read_prose(f"docs/{name}.md") for name in ("protocol", "audit")}
    share, _ = average_ties("table3/ml-100k/sdmr-grid")
    assert f"With the paper's equations, {100 * share:.1f} % of the users have a tie on ML-100k" in prose["protocol"]
    epinions, _ = average_ties("table3/epinions/sdmr")
    assert f"and {100 * epinions:.0f} % on Epinions" in prose["protocol"]
    assert f"the paper's equations {100 * share:.1f} % of ML-100k's users" in prose["audit"]
    share, tied = average_ties("audit/ml-100k/released-sdmr")
    assert f"with those of the authors' code, {100 * share:.0f} % on ML-100k" in prose["protocol"]
    names = ("ours", "pessimistic", "optimistic")
    value, low, high = (float(ACCURACY.loc["epinions", "SDMR", "NDCG@10 all"][name]) for name in names)
    bounds = f"SDMR's NDCG@10 on Epinions is {value:.3f}, within bounds of {low:.3f} and {high:.3f}"
    assert bounds.replace("0.", ".") in prose["protocol"]
    assert f"On ML-100k {100 * share:.0f} % of the users have a tie, with about {tied:.0f}" in prose["audit"]


def average_ties(name: str) -> tuple[float, float]:
    """Return the share of targets that tie and the number of candidates they tie with, means over seeds."""
    records = sorted(RESULTS.glob(f"records/{name}-?/record.json"))
    ties = [json.loads(record.read_text(encoding="utf-8"))["ties"] for record in records]
    return fmean(one["tied_share"] for one in ties), fmean(one["mean_tied"] for one in ties)


def test_the_patience_of_sequence_models_has_the_effect_that_is_told() -> None:
    """By the curves of all complete trials: the best validation NDCG@10 with a patience of 10, and with their own."""
    prose = read_prose("docs/tuning.md")
    for dataset, model, shorter, longer in (
        ("ml-100k", "gru4rec", None, None),
        ("ml-1m", "gru4rec", None, None),
        ("ml-100k", "sasrec", None, None),
        ("ml-1m", "sasrec", ".7217", ".7232"),
        ("ml-100k", "bert4rec", ".590", ".603"),
    ):
        trials = pd.read_csv(RESULTS / "sweeps" / dataset / f"{model}.csv").query("state == 'complete'")
        paths = [RESULTS / "sweeps" / dataset / run / "record.json" for run in trials["run"]]
        histories = [json.loads(path.read_text(encoding="utf-8"))["history"] for path in paths]
        curves = [[entry["validation"] for entry in one if "validation" in entry] for one in histories]
        best, shortened = max(map(max, curves)), max(find_best_value(curve, 10) for curve in curves)
        if shorter is None:
            assert shortened == best
        else:
            assert agrees(f"0{shorter}", shortened)
            assert agrees(f"0{longer}", best)
            assert f"{shorter} instead of {longer} for" in prose


def find_best_value(curve: list[float], patience: int) -> float:
    """Return the best value before `patience` epochs without a better one."""
    best = 0
    for epoch, value in enumerate(curve):
        if value > curve[best]:
            best = epoch
        elif epoch - best >= patience:
            break
    return curve[best]


def test_rows_that_were_searched_anew_have_their_published_values() -> None:
    for row, _, now, _ in find_table("docs/changes.md", "Numbers: row | before | now"):
        model, dataset = row.split(", ")
        for shown, metric in zip(now.split("/"), ("hit@10", "NDCG@10"), strict=True):
            assert agrees(f"0{shown}", get_cell(NAMES[dataset], model, metric)["ours"])


def test_the_order_of_epinions_has_the_values_of_the_audit() -> None:
    popular, nearest, paper = find_table("docs/audit.md", "The order of Epinions")
    for model, row in (("popular", popular), ("nearest", nearest)):
        for order, cell in zip(("file", "random"), row[1:], strict=True):
            for metric, shown in zip(("hit@10", "NDCG@10"), cell.split(" / "), strict=True):
                assert agrees(shown, format_audit("epinions", order, model, metric, "expected")[0]), (model, order)
    for metric, shown in zip(("hit@10", "NDCG@10"), paper[1].split(" / "), strict=True):
        assert agrees(shown, get_cell("epinions", "SDM", metric)["paper"])


def find_measurement(name: str, **setting: Any) -> dict[str, Any]:
    """Return the one entry of the speed benchmark with this name and these settings, and no size but these."""
    entries = [
        entry
        for entry in json.loads(read_page("results/bench.json"))
        if entry["name"] == name
        and setting.items() <= entry["setting"].items()
        and ("size" in setting) == ("size" in entry["setting"])
        and ("items" in setting) == ("items" in entry["setting"])
    ]
    (entry,) = entries
    return entry


def test_the_speeds_are_those_of_the_benchmark() -> None:
    """Each row has a ratio to the literal implementation or to SDP, and the seconds of one call."""
    rows = find_table("docs/performance.md", "Models: what | ratio | seconds")
    sdp, sdm = (find_measurement("train", model=model) for model in ("sdp", "sdm"))
    large = find_measurement("train", model="sdm", size="large")
    others = [find_measurement("train", model=model) for model in ("mf-bpr", "transrec", "neumf")]
    draws = find_measurement("negatives", count=400_000)
    ranking_sdm, ranking_sdp = (find_measurement("rank", model=model) for model in ("sdm", "sdp"))
    entries = [sdm, large, ranking_sdm, sdp, ranking_sdp, *others, draws]
    steps = 98_114 / 256  # of an epoch of ML-100k
    ratios = [entry["ratio"] or entry["seconds"] / sdp["seconds"] for entry in entries]
    ratios[-1] = draws["seconds"] / (sdp["seconds"] * steps)
    for (what, ratio, seconds), entry, expected in zip(rows, entries, ratios, strict=True):
        assert agrees(ratio.split(" ")[0], expected), what
        first, _, epoch = seconds.partition("; ")
        assert agrees(first, entry["seconds"]), what
        if epoch:
            assert agrees(epoch.split(" ")[0], entry["seconds"] * steps), what
        if "literal: " in epoch:
            assert agrees(epoch.split("literal: ")[1].rstrip(")"), entry["reference_seconds"] * steps), what


def test_the_ratios_to_other_programs_are_those_of_the_benchmark() -> None:
    rows = find_table("docs/performance.md", "Other programs: what | ratio | threads | seconds")
    names = (("epoch vs released", "sdm sdm-released"), ("step vs plain", "mf-bpr transrec sasrec"))
    names += (("step vs RecBole", "mf-bpr neumf transrec"),)
    entries = [find_measurement(name, model=model) for name, models in names for model in models.split()]
    for (what, ratio, threads, seconds), entry in zip(rows, entries, strict=True):
        assert agrees(ratio.split(" ")[0], entry["ratio"]), what
        assert int(threads) == entry["threads"], what
        ours, theirs = seconds.split("; ")
        assert agrees(ours, entry["seconds"]), what
        assert agrees(theirs, entry["reference_seconds"]), what


def find_hops_evidence() -> str:
    """Return the evidence on hops of ML-100k in the audit."""
    return next(line for line in read_page("results/audit.md").splitlines() if "3 and 4 hops − 1 hop" in line)


def test_the_figures_have_the_numbers_of_their_files() -> None:
    context = pd.read_csv(PLOTS / "figure6-context.csv")
    ((_, *cells),) = find_table("docs/figures.md", "context items s | 5 | 10 | 20")
    lengths = context.groupby("context_length")["hit@10"]
    assert set(lengths.count()) == {3}
    assert all(agrees(*pair) for pair in zip(cells, lengths.mean(), strict=True))
    gain, low, high = re.findall(r"hit@10 ([−+][\d.]+) \(([−+][\d.]+) … ([−+][\d.]+)\)", find_hops_evidence())[0]
    text = read_prose("docs/figures.md").replace("−.", "−0.").replace("+.", "+0.")
    assert f"gain {gain} hit@10 over one hop, the mean over sizes, with an interval of {low} … {high}" in text
    correlations = pd.read_csv(PLOTS / "figure5-correlations.csv").query("hop == hops")
    ours, paper = find_table("docs/figures.md", "hops | 1 | 2 | 3 | 4")
    hops = correlations.groupby("hops")
    assert set(hops["seed"].count()) == {3}
    assert all(agrees(*pair) for pair in zip(ours[1:], hops["r"].mean(), strict=True))
    assert all(agrees(*pair) for pair in zip(paper[1:], hops["paper"].first(), strict=True))
    dropped = 100 * correlations["dropped_share"].iloc[0]
    assert f"{dropped:.1f} % on ML-100k" in read_prose("docs/figures.md")


@pytest.mark.parametrize("name", ["curves.csv", "speed.csv"])
def test_the_curves_are_those_of_the_published_records(name: str) -> None:
    rows = pd.read_csv(PLOTS / name).drop_duplicates(["dataset", "model", "seed"])
    assert len(rows) > 30
    for _, row in rows.iterrows():
        path = RESULTS / "records" / "table3" / row["dataset"] / f"{row['model']}-{row['seed']}" / "record.json"
        assert json.loads(path.read_text())["environment"]["commit"] == row["commit"], path


def test_the_end_of_each_list_where_a_best_setting_lies_is_explained() -> None:
    paths = [*(CHECKOUT / "experiments/conf/settings/tuned").glob("*/*.yaml"), *RESULTS.glob("records/table*/*/*.yaml")]
    tunings = [yaml.safe_load(path.read_text(encoding="utf-8")).get("tuning") or {} for path in paths]
    edges = {edge.rpartition(".")[2] for tuning in tunings for edge in tuning.get("edges") or []}
    explained = {name for row in find_table("docs/tuning.md", "Where the lists end") for name in row[0].split(", ")}
    assert edges
    assert {f"`{edge}`" for edge in edges} <= explained


def test_the_published_report_has_the_values_of_the_tables() -> None:
    page = json.loads(read_page("results/report.html").partition('id="data">')[2].partition("</script>")[0])
    shown = {
        (dataset, *row[:2]): row[3] for dataset, content in page["datasets"].items() for row in content["cells"]["data"]
    }
    for key, row in ACCURACY.iterrows():
        if row["ours"] and key in shown:
            assert agrees(str(shown[key]), row["ours"]), key
    assert {key for key, row in ACCURACY.iterrows() if row["ours"]} <= shown.keys()

"""The audit: its runs, its tables, and claims that are judged by nothing but records."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdmr.experiments import id_order
from sdmr.experiments.figures import collect
from sdmr.experiments.jobs import _run
from sdmr.experiments.tables import audit, audit_report, claims
from sdmr.experiments.tables.audit import Place
from sdmr.experiments.tables.claims import IN_PART, NOT, NOT_TESTED, REPRODUCED, UNDECIDED
from sdmr.experiments.tables.factors import AS_RANKED, FACTORS, ORDERS
from sdmr.harness.metrics import Ranks, count_ties, summarize
from tests.behavior import small

READINGS = ("expected", "optimistic", "pessimistic")


def record(ndcg: float, ties: int = 0, **more: Any) -> dict[str, Any]:
    """A record whose target is first for a share `ndcg` of a hundred users, and tied with so many wherever it is."""
    above = np.where(np.arange(100) < round(100 * ndcg), 0, 60)
    ranks = Ranks(above, np.full(100, ties), above)
    found = {"test": summarize(ranks), "ties": count_ties(ranks), "deviations": {}, "environment": {"commit": "c0ffee"}}
    return found | more


def history(*epochs: dict[str, float]) -> list[dict[str, float]]:
    """Of SDMR: NDCG@10 by reading, epoch by epoch."""
    entries = []
    for number, ndcg in enumerate(({}, *epochs)):
        readings = {f"{m} {t}": ndcg.get(t, 0.1) for m in ("hit@10", "NDCG@10") for t in READINGS}
        entries.append({"epoch": number, "zero_share": 0.5, "tied_share": 0.38, "mean_tied": 2.3, **readings})
    return entries


def write_table(folder: Path, model: str, quality: float, seeds: int = 2, users: int = 300, ties: int = 0) -> None:
    """Published records of a model that puts this share of the targets, the first ones, on top."""
    folder.mkdir(parents=True, exist_ok=True)
    above = np.where(np.arange(users) < round(users * quality), 0, 60)
    for seed in range(seeds):
        np.savez(folder / f"{model}-{seed}-ranks.npz", users=np.arange(users), above=above, tied=np.full(users, ties))
        (folder / f"{model}-{seed}-record.json").write_text("{}")


# --- the runs ---


def given(tmp_path: Path, **options: Any) -> argparse.Namespace:
    values: dict[str, Any] = {"seeds": 2, "factors": [f.name for f in FACTORS] + list(ORDERS), "overrides": []}
    values |= {"models": ["sdm", "popularity"], "order_models": ["popularity", "mf-bpr"], "runs": tmp_path / "runs"}
    return argparse.Namespace(**values | {"results": tmp_path / "results"} | options)


def test_sdmr_is_run_as_released_wherever_its_ties_are_read(tmp_path: Path) -> None:
    runs = audit.wanted(given(tmp_path, models=["sdmr"], factors=["released"]))
    assert {(place.dataset, place.seed) for place in runs} == {("ml-100k", 0), ("ml-100k", 1), ("ta-feng", 0)}
    of = {place.dataset: set(one.overrides) for place, one in runs.items() if not place.seed}
    assert of["ml-100k"] & of["ta-feng"] >= {"model.variant=released", "protocol.select_on=test", "seed=0"}
    assert {"model.sdm.optimization.epochs=4", "dataset=ta-feng"} <= of["ta-feng"]


def test_each_factor_is_one_choice_more_and_released_is_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_is_made", lambda *_: False)
    runs = audit.wanted(given(tmp_path))
    honest = runs[Place("ml-100k", "honest", "sdm", 0)].overrides
    assert honest == ("model=sdm", "dataset=ml-100k", "seed=0")
    changed = {
        place.factor: set(one.overrides) - set(honest)
        for place, one in runs.items()
        if (place.dataset, place.model, place.seed) == ("ml-100k", "sdm", 0)
    }
    assert changed["select-on-test"] == {"protocol.select_on=test"}
    assert changed["all-items"] == {"protocol.candidates=all"}
    assert changed["released"] == set(AS_RANKED) | changed["variant"]
    assert changed["released-next-to-last"] == {"protocol.validation_item=next-to-last"} | changed["released"]
    assert changed["variant"] == {"model.variant=released", "model.optimization.epochs=16"}
    assert changed["dropout-off"] == {"model.dropout_at_test=off"} | changed["variant"]
    # what needs no seed is run once, and the variant is that of the paper's own models
    assert {place.seed for place in runs if place.model == "popularity"} == {0}
    assert {place.model for place in runs if place.factor == "variant"} == {"sdm"}
    assert {place.model for place in runs if place.dataset == "epinions"} == {
        "nearest",
        "popular",
        "popularity",
        "mf-bpr",
    }


def test_models_that_are_trained_already_are_ranked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        audit, "_is_made", lambda overrides, _: overrides[0] == "model=prme" and overrides[2] == "seed=0"
    )
    runs = audit.wanted(given(tmp_path, models=["popularity"], factors=["honest", "all-items", "argsort"]))
    assert {(p.factor, p.model, p.seed) for p in runs if p.model != "popularity"} == {
        ("honest", "prme", 0),
        ("all-items", "prme", 0),
    }


def test_the_honest_row_has_the_records_of_table_3_as_long_as_they_are_plain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_is_made", lambda *_: False)
    folder = tmp_path / "results" / "records" / "table3" / "ml-100k"
    write_table(folder, "sdm", 0.6, ties=9)
    write_table(folder, "prme", 0.7)
    arguments = given(tmp_path, models=["sdm"], factors=["honest", "argsort"])
    runs = audit.wanted(arguments)
    assert {place.model for place in runs} == {"sdm", "prme"}
    assert runs[Place("ml-100k", "honest", "sdm", 1)].published == folder / "sdm-1-record.json"
    of_audit = tmp_path / "results" / "records" / "audit" / "ml-100k"
    assert runs[Place("ml-100k", "argsort", "sdm", 1)].published == of_audit / "argsort-sdm-1-record.json"
    sources = {
        p: collect.Source(one.published, True) for p, one in runs.items() if p.factor == "honest" and one.published
    }
    ties = audit.records_of(sources)["ml-100k", "honest", "sdm"][0]["ties"]
    assert ties == {"tied_share": 1.0, "mean_tied": 9.0}
    (folder / "sdm-chosen.txt").write_text("model.dim=128\n")
    assert (
        audit.wanted(arguments)[Place("ml-100k", "honest", "sdm", 1)].published == of_audit / "honest-sdm-1-record.json"
    )


def test_the_command_makes_what_is_missing_shows_and_publishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(5)
    rows = [f"{user},{item},{time}" for user in range(40) for time, item in enumerate(rng.choice(130, 6, False))]
    (tmp_path / "mine.csv").write_text("\n".join(["user,item,time", *rows]) + "\n")
    monkeypatch.setenv("SDMR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(collect, "run_all", lambda jobs, runs, workers: (_run(job, runs) for job in jobs))
    monkeypatch.setattr(
        audit,
        "_base",
        lambda p: (f"model={p.model}", "dataset=csv", f"dataset.path={tmp_path}/mine.csv", f"seed={p.seed}"),
    )

    def run(*arguments: str) -> str:
        own = ["--runs", str(tmp_path / "runs"), "--results", str(tmp_path / "results"), "--plots", str(tmp_path)]
        monkeypatch.setattr(sys, "argv", ["audit", "--models", "popularity", *own, *arguments])
        assert audit.main() == 0
        return capsys.readouterr().out

    def report(out: str) -> str:
        return out[out.index("# What the paper's") :].strip()

    factors = ("--factors", "honest", "argsort", "all-items")
    assert "runs are missing" in run("--no-train", *factors)
    assert not (tmp_path / "results").exists()
    text = report(run(*factors, "--publish"))
    table = text[text.index("## ML-100k: one choice") :]
    for label in ("honest protocol", "tie_policy: optimistic", "tie_policy: argsort-target-last", "candidates: all"):
        assert f"| {label}" in table
    assert text == (tmp_path / "results" / "audit.md").read_text().strip()
    names = {path.name for path in (tmp_path / "results" / "records" / "audit" / "ml-100k").iterdir()}
    assert names == {f"{factor}-popularity-0-record.json" for factor in ("honest", "argsort", "all-items")}
    with (tmp_path / "results" / "audit.csv").open() as lines:
        cells = list(csv.DictReader(lines))
    assert {row["deviations"] for row in cells} == {"", "tie_policy=argsort-target-last", "candidates=all"}
    # without the runs, the published records make the same tables
    assert report(run("--no-train", *factors, "--runs", str(tmp_path / "nothing"))) == text


# --- the tables ---


def test_the_table_of_factors_reads_ties_as_its_rows_say() -> None:
    key = ("ml-100k", "honest", "sdmr")
    lines = audit_report.factors(
        {key: [record(0.5, ties=9), record(0.7, ties=9)], ("ml-100k", "argsort", "sdmr"): [record(0.5)]}
    )
    row = {line.split(" | ")[0].strip("| "): line for line in lines if line.startswith("|")}
    assert "0.600 ± 0.141 / 0.600 ± 0.141 (2)" in row["tie_policy: optimistic"]
    assert "0.600 ± 0.141 / 0.173" in row["tie_policy: pessimistic"]  # tenth place: 1 / log2(11) = .289 of .6
    assert "0.500 / 0.500 |" in row["tie_policy: argsort-target-last"]
    assert not any("select_on" in line.split(" | ")[0] for line in lines[4:])
    assert "Popularity" in audit_report.factors({("ml-100k", "honest", "popularity"): [record(0.5)]})[4]
    with_epinions = {key: [record(0.5)], ("epinions", "file", "prme"): [record(0.5)]}
    assert not any("PRME" in line for line in audit_report.factors(with_epinions))


def test_the_orders_of_models_and_their_agreement() -> None:
    sampled = {"popularity": 0.2, "item-knn": 0.5, "mf-bpr": 0.6, "sdm": 0.7}
    full = {"popularity": 0.1, "item-knn": 0.4, "mf-bpr": 0.3, "sdm": 0.5}

    def of_seeds(values: dict[int, float]) -> list[dict[str, Any]]:
        return [record(value, config={"seed": seed}) for seed, value in values.items()]

    # Seed 1 is not there among all items, and seed 0 must not be paired with it.
    records = {("ml-100k", "honest", model): of_seeds({1: 0.0, 0: value}) for model, value in sampled.items()}
    records |= {("ml-100k", "all-items", model): of_seeds({0: value}) for model, value in full.items()}
    lines = audit_report.orders(records)
    assert "| Item-KNN | 0.500 (3) | 0.400 (2) | 0.500 (3) | 0.400 (2) |" in lines
    assert "hit@10: Kendall's τ 0.67, Spearman's ρ 0.80" in lines[-1]
    assert audit_report.orders({}) == []


def test_ties_are_told_by_model_and_by_epoch() -> None:
    released = record(
        0.5,
        history=history({"optimistic": 0.548, "expected": 0.38}, {"optimistic": 0.705}),
        config={"model": {"sdp": {"optimization": {"epochs": 10}}, "sdm": {"optimization": {"epochs": 4}}}},
    )
    lines = audit_report.ties_by_epoch({("ta-feng", "released", "sdmr"): [released]}, "ta-feng")
    assert "epochs of its parts: SDP 10, SDM 4" in lines[2]
    assert lines[-2] == "| 1 | 50% | 38% | 2.3 | 0.548 / 0.548 | 0.380 / 0.380 | 0.100 / 0.100 |"
    table = audit_report.tie_statistics({("ml-100k", "honest", "sdmr"): [record(0.5, ties=9)]})
    assert table[-1].startswith("| SDMR | 100.0% | 9.0 | ")


# --- the claims ---


def statuses(found: list[claims.Claim]) -> dict[str, dict[str, str]]:
    return {claim.text: {finding.dataset: finding.status for finding in claim.findings} for claim in found}


def test_without_records_nothing_is_tested(tmp_path: Path) -> None:
    found = claims.claims(tmp_path, tmp_path, {})
    assert {status for own in statuses(found).values() for status in own.values()} == {NOT_TESTED}
    assert len(found) == 13
    assert "| SDP is better than CML | ml-100k, ml-1m, netflix, epinions: not tested |" in claims.markdown(found)


def test_models_are_judged_by_a_paired_test_and_by_all_that_they_are_compared_with(tmp_path: Path) -> None:
    folder = tmp_path / "records" / "table3" / "ml-100k"
    for model, quality in {"sdp": 0.6, "mf-bpr": 0.4, "cml": 0.6, "sdm": 0.7, "cmn": 0.5, "neumf": 0.8}.items():
        write_table(folder, model, quality)
    found = claims.claims(tmp_path, tmp_path, {})
    own = statuses(found)
    assert own["SDP is better than MF-BPR"]["ml-100k"] == REPRODUCED
    assert own["SDP is better than CML"]["ml-100k"] == NOT
    assert own["SDM is better than CMN++ and NeuMF++"]["ml-100k"] == IN_PART
    assert own["SDM is better than the neighbourhood models"]["ml-100k"] == NOT_TESTED
    assert {own["SDP is better than CML"][dataset] for dataset in ("ml-1m", "netflix", "epinions")} == {NOT_TESTED}
    text = claims.markdown(found)
    assert "SDP less MF-BPR: hit@10 +0.200 (+0.1" in text
    assert "`+`, printed +0.062" in text
    for model, level, status in (("popularity", 0.4, NOT_TESTED), ("item-knn", 0.6, NOT)):
        assert own["Item-KNN's values, on ML-100k .166 / .073"]["ml-100k"] == NOT_TESTED
        write_table(folder, model, level)
        own = statuses(claims.claims(tmp_path, tmp_path, {}))
        assert own["Item-KNN's values, on ML-100k .166 / .073"]["ml-100k"] == status
    (folder / "item-knn-0-record.json").unlink()
    (folder / "item-knn-1-record.json").unlink()
    write_table(folder, "slim", 0.5)
    own = statuses(claims.claims(tmp_path, tmp_path, {}))
    assert own["SDM is better than the neighbourhood models"]["ml-100k"] == IN_PART  # Item-KNN is missing


def test_what_the_paper_prints_the_other_way_round_is_not_counted(tmp_path: Path) -> None:
    """On ML-1M it has SDM below Caser, and above the other three."""
    folder = tmp_path / "records" / "table3" / "ml-1m"
    for model, quality in {"sdm": 0.7, "sdmr": 0.9, "prme": 0.5, "prme-s": 0.5, "transrec": 0.5, "caser": 0.8}.items():
        write_table(folder, model, quality)
    found = claims.claims(tmp_path, tmp_path, {})
    assert statuses(found)["SDM and SDMR are better than the sequential models"]["ml-1m"] == REPRODUCED
    assert "printed -0.010, not counted" in claims.markdown(found)


@pytest.mark.parametrize(
    ("readings", "status"),
    [
        ({"optimistic": 0.55, "expected": 0.38, "pessimistic": 0.3}, "an artefact of ties read for the target"),
        ({"optimistic": 0.57, "expected": 0.55, "pessimistic": 0.3}, REPRODUCED),
        ({"optimistic": 0.5, "expected": 0.46, "pessimistic": 0.4}, NOT),
    ],
)
@pytest.mark.parametrize("dataset", ["ml-100k", "ta-feng"])  # of which .562 and .559 are printed
def test_the_printed_ndcg_of_sdmr_is_held_against_each_reading(
    readings: dict[str, float], status: str, dataset: str, tmp_path: Path
) -> None:
    of = {(dataset, "released", "sdmr"): [record(0.4, history=history({}, readings, {}))]}
    own = statuses(claims.claims(tmp_path, tmp_path, of))["SDMR's NDCG@10, on ML-100k .562 at a hit@10 of .695"]
    assert own == {"ml-100k": NOT_TESTED, "ta-feng": NOT_TESTED} | {dataset: status}


@pytest.mark.parametrize(("file", "random", "artefact"), [(0.8, 0.1, True), (0.5, 0.1, False), (0.8, 0.7, False)])
def test_the_order_of_ids_explains_epinions_if_a_rule_beats_it_there_alone(
    file: float, random: float, artefact: bool, tmp_path: Path
) -> None:
    of = {("epinions", "file", "popular"): [record(file)], ("epinions", "random", "popular"): [record(random)]}
    (own,) = statuses(claims.claims(tmp_path, tmp_path, of))["SDM gets .575 / .390 on Epinions"].values()
    assert own == ("an artefact of the file's order taken for time" if artefact else NOT)


def test_what_sdm_gets_on_epinions_without_the_files_order_comes_first(tmp_path: Path) -> None:
    of = {("epinions", "file", "popular"): [record(0.8)], ("epinions", "random", "popular"): [record(0.1)]}
    for quality, status in ((0.575, IN_PART), (0.8, "an artefact of the file's order taken for time")):  # .575 / .390
        write_table(tmp_path / "records" / "table3" / "epinions", "sdm", quality)
        found = claims.claims(tmp_path, tmp_path, of)
        assert statuses(found)["SDM gets .575 / .390 on Epinions"] == {"epinions": status}


def test_a_status_that_rests_on_one_seed_of_a_trained_model_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "records" / "table3" / "ml-100k"
    for model, quality, seeds in (("sdm", 0.7, 2), ("item-knn", 0.5, 1), ("slim", 0.5, 1), ("sdp", 0.6, 1)):
        write_table(folder, model, quality, seeds)
    write_table(folder, "mf-bpr", 0.4)
    own = {claim.text: claim.status for claim in claims.claims(tmp_path, tmp_path, {})}
    assert own["SDM is better than the neighbourhood models"].startswith("ml-100k: reproduced;")
    assert own["SDP is better than MF-BPR"].startswith("ml-100k: reproduced (one seed);")


def test_a_difference_that_may_be_zero_or_the_printed_one_is_undecided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for model in ("sdp", "cml"):
        write_table(tmp_path / "records" / "table3" / "ml-100k", model, 0.6)
    for low, high, status in ((-0.01, 0.03, UNDECIDED), (-0.01, 0.01, NOT), (0.01, 0.03, REPRODUCED)):
        monkeypatch.setattr(claims, "paired", lambda *_, low=low, high=high: (0.0, (low, high), 1.0))
        found = claims.claims(tmp_path, tmp_path, {})  # printed +0.020 and +0.023
        assert statuses(found)["SDP is better than CML"]["ml-100k"] == status
        assert ("`?`, printed +0.020" in claims.markdown(found)) == (status == UNDECIDED)


@pytest.mark.parametrize(("dataset", "helps"), [("ml-100k", REPRODUCED), ("ta-feng", NOT)])
def test_hops_are_judged_over_sizes_and_seeds(dataset: str, helps: str, tmp_path: Path) -> None:
    folder = tmp_path / "records" / "figure6" / dataset
    folder.mkdir(parents=True)
    for hops in (1, 2, 3, 4):
        for n, dim in enumerate((8, 16, 32)):
            text = json.dumps(record(0.3 + 0.1 * hops + 0.01 * n * (hops > 1)))
            (folder / f"sdm-hops{hops}-d{dim}-s5-0-record.json").write_text(text)
    own = statuses(claims.claims(tmp_path, tmp_path, {}))["More hops help SDM, Ta-Feng excepted"]
    assert own[dataset] == helps
    assert own["netflix"] == NOT_TESTED


@pytest.mark.parametrize(("gains", "status"), [((-0.03, 0.04), UNDECIDED), ((-0.001, 0.001), REPRODUCED)])
def test_no_gain_is_shown_by_hops_only_where_an_interval_excludes_one(
    gains: tuple[float, float], status: str, tmp_path: Path
) -> None:
    folder = tmp_path / "records" / "figure6" / "ta-feng"
    folder.mkdir(parents=True)
    for hops in (1, 3, 4):
        for dim, gain in zip((16, 64, 128), (*gains, 0.0), strict=True):
            text = json.dumps(record(0.4 + gain * (hops > 1)))
            (folder / f"sdm-hops{hops}-d{dim}-s18-0-record.json").write_text(text)
    own = statuses(claims.claims(tmp_path, tmp_path, {}))["More hops help SDM, Ta-Feng excepted"]
    assert own["ta-feng"] == status


@pytest.mark.parametrize(("r", "status"), [((0.1, 0.2, 0.3, 0.4), REPRODUCED), ((0.1, 0.3, 0.2, 0.4), IN_PART)])
def test_attention_is_judged_by_the_last_hops_of_figure_5(r: tuple[float, ...], status: str, tmp_path: Path) -> None:
    lines = ["hops,hop,seed,r,low,high,paper,pairs,dropped_share"]
    lines += [f"{h},{h},0,{x},{x - 0.05},{x + 0.05},,9,0" for h, x in enumerate(r, start=1)]
    lines += [f"{h},1,0,0.9,0.8,1.0,,9,0" for h in (2, 3, 4)]  # earlier hops, which do not count
    (tmp_path / "figure5-correlations.csv").write_text("\n".join(lines) + "\n")
    own = statuses(claims.claims(tmp_path, tmp_path, {}))["SDM's attention follows PMI more with more hops"]
    assert own == {"ml-100k": status}


# --- the rule ---


def test_the_rule_reads_the_order_of_ids_as_strings(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ids:
        item_ids = np.arange(small().training.n_items)

    monkeypatch.setattr(id_order, "load_epinions", lambda: Ids)
    n = len(Ids.item_ids)
    order = sorted(range(n), key=str)
    rule = id_order.IdOrder()
    rule.fit(small().training)
    previous = order[n // 2]
    candidates = np.array([[item for item in range(n) if item != previous]])
    scores = rule.score(np.array([0]), np.array([[previous]]), candidates)[0]
    ranked = [int(candidates[0, column]) for column in np.argsort(-scores)]
    assert ranked == [*order[n // 2 + 1 :], *order[: n // 2]]
    popular = id_order.IdOrder("popular")
    popular.fit(small().training)
    scores = popular.score(np.array([0]), np.array([[previous]]), candidates)[0]
    users = np.asarray(small().training.matrix.sum(axis=0)).ravel()
    after = np.isin(candidates[0], order[n // 2 + 1 :])
    assert scores[after].min() > scores[~after].max()
    assert (np.diff(users[candidates[0][after]][np.argsort(-scores[after], kind="stable")]) <= 0).all()
    with pytest.raises(ValueError, match="first must be"):
        id_order.IdOrder("last")  # type: ignore[arg-type]


@pytest.mark.parametrize("override", ["protocol.candidates=99", "++model.variant=released"])
def test_what_the_rows_differ_in_is_no_override(
    override: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["audit", override])
    with pytest.raises(SystemExit):
        audit.main()
    assert f"{override}: that is what the rows differ in" in capsys.readouterr().err


def test_a_report_of_other_settings_says_so(tmp_path: Path) -> None:
    assert "made with" not in audit_report.report({}, tmp_path, tmp_path)
    assert "**Every run is made with epochs=2**" in audit_report.report({}, tmp_path, tmp_path, ["epochs=2"])

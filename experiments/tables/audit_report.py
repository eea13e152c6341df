"""The audit's tables, from records: what each choice does, ties, sampled and full ranking, the file's order."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scipy.stats import kendalltau, spearmanr

from sdmr.experiments.configs import MODELS
from sdmr.experiments.id_order import RULES
from sdmr.experiments.tables.accuracy import number
from sdmr.experiments.tables.cells import METRICS, paper_values
from sdmr.experiments.tables.claims import claims, markdown
from sdmr.experiments.tables.factors import (
    AS_RANKED,
    EPOCHS,
    FACTORS,
    ORDER,
    ORDERS,
    READ,
    RELEASED_EPOCHS,
    SHORT,
    THEIRS,
    TIES,
    Factor,
)
from sdmr.harness.metrics import TIE_POLICIES


def cell(records: Sequence[Mapping[str, Any]], reading: str) -> str:
    """hit@10 / NDCG@10, each with its spread over seeds, and how many there are; a dash for none."""
    if not records:
        return "–"
    texts = []
    for metric in METRICS:
        values = [record["test"][metric][reading] for record in records]
        texts.append(f"{statistics.mean(values):.3f}" + (f" ± {statistics.stdev(values):.3f}" if values[1:] else ""))
    return " / ".join(texts) + (f" ({len(records)})" if records[1:] else "")


Records = Mapping[tuple[str, str, str], Sequence[Mapping[str, Any]]]  # by data set, factor and model; one a seed


def rows_of_factors(records: Records) -> Iterator[tuple[Factor, str]]:
    """The rows of the table of factors that have a record, readings of ties included, and each one's label."""
    for factor in FACTORS:
        if any(name == factor.name for _, name, _ in records):
            yield factor, factor.label
            for name, label, reading in READ:
                if name == factor.name:
                    yield replace(factor, reading=reading), label


def factors(records: Records) -> list[str]:
    """One choice at a time, all models side by side."""
    asked = {m for d, f, m in records if d == "ml-100k" and f not in ("honest", "all-items")}
    here = asked or {m for d, _, m in records if d == "ml-100k"}
    models = [model for model in MODELS if model in here]
    lines = [
        "## ML-100k: one choice at a time",
        "",
        "hit@10 / NDCG@10 ± sample standard deviation over seeds (number of seeds). d 64, plain settings, 3 hops, s 5. "
        "Every row but the first departs from the default protocol, or from the paper's equations, as its name says; "
        f"where the variant is the released one, SDP has {RELEASED_EPOCHS['sdp']} epochs and SDM "
        f"{RELEASED_EPOCHS['sdm']}, λ 0.001. All of the released choices: {', '.join(AS_RANKED)} (less `protocol.`), "
        "and for SDP, SDM and SDMR `model.variant=released`. An item of each user stays for validation all the same, "
        "which the authors' program does not have: a random one, or the next-to-last.",
        "",
        f"| | {' | '.join(MODELS[model].name for model in models)} |",
        f"|---|{'---|' * len(models)}",
    ]
    for factor, label in rows_of_factors(records):
        of = [records.get(("ml-100k", factor.name, model), ()) for model in models]
        lines.append(f"| {label} | {' | '.join(cell(r, factor.reading) for r in of)} |")
    theirs = [f"{THEIRS[m][0]:.3f} / {THEIRS[m][1]:.3f}" if m in THEIRS else "–" for m in models]
    lines.append(f"| *the authors' own program, one run* | {' | '.join(theirs)} |")
    return lines


def ties_by_epoch(records: Records, dataset: str) -> list[str]:
    """What SDMR's ReLU does to one set of scores, read in three ways, epoch by epoch."""
    found = records.get((dataset, "released", "sdmr"), ())
    if not found:
        return []
    parts = (f"{part.upper()} {found[0]['config']['model'][part]['optimization']['epochs']}" for part in ("sdp", "sdm"))
    lines = [
        f"## SDMR as released, {dataset}: one set of scores, three readings",
        "",
        "hit@10 / NDCG@10 on the test items (a random 10,000 if there are more) after an epoch, mean over "
        f"{len(found)} seed(s); departs from the default protocol as above, epochs of its parts: {', '.join(parts)}. "
        "Zero: the share of candidates at distance 0.",
        "",
        "| epoch | zero | instances with a tie | mean tied candidates | optimistic | expected | pessimistic |",
        "|---:|---:|---:|---:|---|---|---|",
    ]
    for epoch in EPOCHS:
        of = [record["history"][epoch] for record in found if len(record["history"]) > epoch]
        if of:
            mean = {name: statistics.mean(entry[name] for entry in of) for name in of[0]}
            readings = (
                f"{mean[f'hit@10 {t}']:.3f} / {mean[f'NDCG@10 {t}']:.3f}"
                for t in ("optimistic", "expected", "pessimistic")
            )
            share = f"{mean['zero_share']:.0%} | {mean['tied_share']:.0%} | {mean['mean_tied']:.1f}"
            lines.append(f"| {epoch} | {share} | {' | '.join(readings)} |")
    return lines


def tie_statistics(records: Records) -> list[str]:
    """How often each model's target ties, and what that is worth."""
    lines = [
        "## ML-100k: ties under the honest protocol",
        "",
        "Among the target and 100 candidates; mean over seeds. Spread: NDCG@10 if every tie went for the target, less "
        "NDCG@10 if every tie went against it.",
        "",
        "| model | instances with a tie | candidates tied there | NDCG@10, expected | spread | seeds |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for model in MODELS:
        of = records.get(("ml-100k", "honest", model), ())
        if of:
            share, tied = (statistics.mean(r["ties"][name] for r in of) for name in ("tied_share", "mean_tied"))
            ndcg = {t: statistics.mean(r["test"]["NDCG@10"][t] for r in of) for t in TIE_POLICIES}
            spread = f"{ndcg['expected']:.3f} | {ndcg['optimistic'] - ndcg['pessimistic']:.3f}"
            lines.append(f"| {MODELS[model].name} | {share:.1%} | {tied:.1f} | {spread} | {len(of)} |")
    return lines


def orders(records: Records) -> list[str]:
    """The models ordered by the sampled and by the full metrics of the same seeds, and how far the orders agree."""
    means = {}
    for model in MODELS:
        among_100, among_all = (
            {record["config"]["seed"]: record for record in records.get(("ml-100k", factor, model), ())}
            for factor in ("honest", "all-items")
        )
        pairs = [(among_100[seed], among_all[seed]) for seed in sorted(among_100.keys() & among_all.keys())]
        if pairs:
            means[model] = [
                statistics.mean(pair[side]["test"][metric]["expected"] for pair in pairs)
                for metric in METRICS
                for side in (0, 1)
            ]
    if not means:
        return []
    places = {
        model: [1 + sum(o[n] > v for o in means.values()) for n, v in enumerate(own)] for model, own in means.items()
    }
    lines = [
        "## ML-100k: ranked among 100 candidates, and among all",
        "",
        "The same trained models; in brackets the model's place. *All* departs from the default protocol: every item "
        "that the user never touched is a candidate.",
        "",
        "| model | hit@10, 100 | hit@10, all | NDCG@10, 100 | NDCG@10, all |",
        "|---|---|---|---|---|",
    ]
    for model in sorted(means, key=lambda model: places[model][2]):
        values = (f"{value:.3f} ({place})" for value, place in zip(means[model], places[model], strict=True))
        lines.append(f"| {MODELS[model].name} | {' | '.join(values)} |")
    if len(means) > 2:
        texts = []
        for n, metric in zip((0, 2), METRICS, strict=True):
            sampled, full = ([own[n + side] for own in means.values()] for side in (0, 1))
            tau, rho = kendalltau(sampled, full).statistic, spearmanr(sampled, full).statistic
            texts.append(f"{metric}: Kendall's τ {tau:.2f}, Spearman's ρ {rho:.2f}")
        lines += ["", f"Agreement of the two orders of {len(means)} models. {'; '.join(texts)}."]
    return lines


def file_order(records: Records) -> list[str]:
    """Epinions with its file order taken for time, and shuffled."""
    found = list(dict.fromkeys(model for dataset, _, model in records if dataset == ORDER))
    if not found:
        return []
    lines = [
        "## Epinions: the order of the file taken for time",
        "",
        "hit@10 / NDCG@10, one seed. `order: file` departs from the default, and hands the test item to whoever reads "
        f"the order of ids. Trained models: {', '.join(SHORT)}, no tuning; read them between the columns, not as those "
        "models' best.",
        "",
        "| | order: file | order: random | the paper |",
        "|---|---|---|---|",
    ]
    paper = paper_values(3)
    for model in found:
        of = (cell(records.get((ORDER, order, model), ()), "expected") for order in ORDERS)
        name = RULES.get(model) or MODELS[model].name
        printed = " / ".join(number(paper.get((ORDER, name, metric))) for metric in METRICS)
        lines.append(f"| {name} | {' | '.join(of)} | {printed} |")
    best = max((m for d, m, metric in paper if d == ORDER), key=lambda m: paper[ORDER, m, "NDCG@10"])
    printed = " / ".join(number(paper[ORDER, best, metric]) for metric in METRICS)
    lines += ["", f"The paper's best NDCG@10 on Epinions is {best}'s: {printed}."]
    return lines


def tidy(records: Records) -> str:
    """One row a data set, factor, model, metric and reading of ties, as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("dataset", "factor", "model", "metric", "ties", "mean", "spread", "seeds", "deviations", "commit"))
    for (dataset, factor, model), of in records.items():
        deviations = ", ".join(f"{name}={value}" for name, value in of[0].get("deviations", {}).items())
        commit = ", ".join(sorted({record["environment"]["commit"] or "" for record in of}))
        for metric in METRICS:
            for reading in of[0]["test"][metric]:
                values = [record["test"][metric][reading] for record in of]
                spread = f"{statistics.stdev(values):.4f}" if values[1:] else ""
                mean = f"{statistics.mean(values):.4f}"
                writer.writerow((dataset, factor, model, metric, reading, mean, spread, len(of), deviations, commit))
    return text.getvalue()


def report(records: Records, results: Path, plots: Path, overrides: Sequence[str] = ()) -> str:
    """The claims, and the tables, in Markdown. Claims are judged by what is published in `results` and `plots`.

    `overrides`: of every run, against what the captions say.
    """
    made_with = f"**Every run is made with {' '.join(overrides)}**, whatever is said below.\n\n" if overrides else ""
    head = f"# What the paper's numbers are made of\n\n{made_with}"
    return f"{head}{markdown(claims(results, plots, records))}\n{tables(records)}"


def tables(records: Records) -> str:
    """All tables, in Markdown."""
    ties = (ties_by_epoch(records, dataset) for dataset in TIES)
    parts = (factors(records), *ties, tie_statistics(records), orders(records), file_order(records))
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"

"""The audit: what becomes of hit@10 and NDCG@10 if one choice of the released code after the other is made.

`python -m experiments.tables.audit --seeds 3 --factors honest released`. Each row of the tables is a factor: the honest
protocol with one choice made in another way. Runs that this machine has not made are made, factor by factor in the
order of `FACTORS` and seed by seed within one, so that the command may be stopped and given again; what is missing is
said, and a row shows the seeds that are there. `--publish` copies the records to `results/records/audit/`, and writes
`results/audit.csv` and `results/audit.md`.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf.errors import OmegaConfBaseException
from scipy.stats import kendalltau, spearmanr

from datasets.sources import write_whole
from experiments.configs import MODELS, compose_run
from experiments.execute import make_run
from experiments.figures.collect import Source, Wanted, sources_of
from experiments.id_order import RULES
from experiments.tables.accuracy import has_seed, number
from experiments.tables.cells import METRICS, paper_values, ranks_beside
from experiments.tables.claims import claims, markdown
from harness.ranking import READINGS, Ranks, tie_counts

ORDER = "epinions"  # the data set whose order is audited
RULE = "experiments.id_order.IdOrder"
OWN = ("sdp", "sdm", "sdmr")

# What the authors' own program gave on such a split (d 64, 3 hops, s 5, λ 0.001), the best of so many epochs on test.
THEIRS = {"sdp": (0.663, 0.376), "sdm": (0.691, 0.411)}
RELEASED_EPOCHS = {"sdp": 40, "sdm": 16}
EPOCHS = (1, 2, 4, 7, 10, 20)  # of SDMR, that are shown
RELEASED = {
    model: ("model.variant=released", f"model.optimisation.epochs={epochs}")
    for model, epochs in RELEASED_EPOCHS.items()
} | {
    "sdmr": (
        "model.variant=released",
        *(f"model.{model}.optimisation.epochs={epochs}" for model, epochs in RELEASED_EPOCHS.items()),
    )
}
AS_RANKED = ("protocol.select_on=test", "protocol.candidates=99", "protocol.ties=argsort-target-last")
# Its tables are large beside a batch: Adam on the batch's rows, few epochs, and a tenth of the development items.
SHORT = ("model.optimisation.optimizer=rowwise", "epochs=8", "development_instances=2000")


@dataclass(frozen=True)
class Factor:
    """A row: runs with these overrides, read in one way."""

    name: str
    label: str
    overrides: tuple[str, ...] = ()
    own: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # further ones, of some models
    models: tuple[str, ...] = ()  # all that are asked for, if none are named
    reading: str = "expected"  # of ties


FACTORS = (
    Factor("honest", "honest protocol, the paper's equations"),
    Factor("released", "all of the released choices", AS_RANKED, RELEASED, reading="argsort-target-last"),
    Factor("argsort", "ties: argsort-target-last", AS_RANKED[2:], reading="argsort-target-last"),
    Factor("all-items", "candidates: all", ("protocol.candidates=all",)),
    Factor("select-on-test", "select_on: test", ("protocol.select_on=test",)),
    Factor("variant", "variant: released", (), RELEASED, OWN),
    Factor("candidates-99", "candidates: 99", ("protocol.candidates=99",)),
    Factor("next-to-last", "dev: next-to-last", ("protocol.dev_item=next-to-last",)),
    Factor("random-test", "test: random", ("protocol.test_item=random",)),
    Factor("item-id", "last_tie: item-id", ("protocol.last_tie=item-id",)),
    Factor(
        "dropout-off",
        "variant: released, dropout_at_test: off",
        ("model.dropout_at_test=off", *RELEASED["sdm"]),
        {},
        ("sdm",),
    ),
)
READ = (  # rows that are other readings of a factor's runs, and follow it
    ("honest", "ties: optimistic", "optimistic"),
    ("honest", "ties: pessimistic", "pessimistic"),
    ("released", "all of the released choices, ties: expected", "expected"),
    ("released", "all of the released choices, ties: optimistic", "optimistic"),
    ("released", "all of the released choices, ties: pessimistic", "pessimistic"),
)
ORDERS = {
    "file": Factor("file", "order: file", ("dataset.order=file",)),
    "random": Factor("random", "order: random"),
}


@dataclass(frozen=True)
class Place:
    """Where a run stands in the tables."""

    dataset: str
    factor: str
    model: str  # a choice of `MODELS`, or a rule
    seed: int

    @property
    def record(self) -> str:
        """The published record, below `results/records/audit/`."""
        return f"{self.dataset}/{self.factor}-{self.model}-{self.seed}-record.json"


def wanted(arguments: argparse.Namespace) -> dict[Place, Wanted]:
    """The runs of the tables, in the order in which they are made."""
    runs: dict[Place, tuple[str, ...]] = {}
    for factor in (f for f in FACTORS if f.name in arguments.factors):
        for seed in range(arguments.seeds):
            for model in (m for m in arguments.models if m in factor.models or not factor.models):
                if seed and not has_seed(model):
                    continue
                place = Place("ml-100k", factor.name, model, seed)
                runs[place] = (*_base(place), *factor.overrides, *factor.own.get(model, ()))
            if factor.name in ("honest", "all-items"):  # of the other models, what is trained already
                for model in (m for m in MODELS if m not in arguments.models and (not seed or has_seed(m))):
                    place = Place("ml-100k", factor.name, model, seed)
                    known = _published(place, arguments)
                    if (known is not None and known.exists()) or _is_made(_base(place), arguments):
                        runs[place] = (*_base(place), *factor.overrides)
    for order in (order for name, order in ORDERS.items() if name in arguments.factors):
        for rule in RULES:
            place = Place(ORDER, order.name, rule, 0)
            runs[place] = (f"model={RULE}", f"model.first={rule}", f"dataset={ORDER}", *order.overrides)
        for model in arguments.order_models:
            place = Place(ORDER, order.name, model, 0)
            runs[place] = (*_base(place), *order.overrides, *(SHORT if has_seed(model) else ()))
    return {
        place: Wanted((*overrides, *arguments.overrides), _published(place, arguments))
        for place, overrides in runs.items()
    }


def _published(place: Place, arguments: argparse.Namespace) -> Path | None:
    """The published record of a run, or where it would be: the audit's own; for the honest row, else Table 3's."""
    if arguments.overrides:
        return None
    records = arguments.results / "records"
    own = records / "audit" / place.record
    of_table = records / "table3" / place.dataset / f"{place.model}-{place.seed}-record.json"
    is_plain = of_table.exists() and not of_table.with_name(f"{place.model}-chosen.txt").exists()
    return of_table if place.factor == "honest" and is_plain and not own.exists() else own


def _base(place: Place) -> tuple[str, ...]:
    return (f"model={place.model}", f"dataset={place.dataset}", f"seed={place.seed}")


def _is_made(overrides: tuple[str, ...], arguments: argparse.Namespace) -> bool:
    try:
        return make_run(*compose_run((*overrides, *arguments.overrides)), arguments.runs).record is not None
    except (ValueError, OmegaConfBaseException):
        return False


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
    models = [m for m in MODELS if any(f not in ("honest", "all-items") and m == model for _, f, model in records)]
    lines = [
        "## ML-100k: one choice at a time",
        "",
        "hit@10 / NDCG@10 ± sample standard deviation over seeds (number of seeds). d 64, plain settings, 3 hops, s 5. "
        "Every row but the first departs from the default protocol, or from the paper's equations, as its name says; "
        f"where the variant is the released one, SDP has {RELEASED_EPOCHS['sdp']} epochs and SDM "
        f"{RELEASED_EPOCHS['sdm']}, λ 0.001. All of the released choices: {', '.join(AS_RANKED)} (less `protocol.`), "
        "and for SDP, SDM and SDMR `model.variant=released`. An item of each user stays for development all the same.",
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


def ties_by_epoch(records: Records) -> list[str]:
    """What SDMR's ReLU does to one set of scores, read in three ways, epoch by epoch."""
    found = records.get(("ml-100k", "released", "sdmr"), ())
    if not found:
        return []
    lines = [
        "## SDMR as released: one set of scores, three readings",
        "",
        f"hit@10 / NDCG@10 on the test items after an epoch, mean over {len(found)} seed(s); departs from the default "
        "protocol as above. Zero: the share of candidates at distance 0.",
        "",
        "| epoch | zero | users with a tie | mean tied candidates | optimistic | expected | pessimistic |",
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
            ndcg = {t: statistics.mean(r["test"]["NDCG@10"][t] for r in of) for t in READINGS}
            spread = f"{ndcg['expected']:.3f} | {ndcg['optimistic'] - ndcg['pessimistic']:.3f}"
            lines.append(f"| {MODELS[model].name} | {share:.1%} | {tied:.1f} | {spread} | {len(of)} |")
    return lines


def orders(records: Records) -> list[str]:
    """The models ordered by the sampled and by the full metrics of the same seeds, and how far the orders agree."""
    means = {}
    for model in MODELS:
        pairs = list(zip(*(records.get(("ml-100k", f, model), ()) for f in ("honest", "all-items")), strict=False))
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
    writer.writerow(("dataset", "factor", "model", "metric", "ties", "mean", "spread", "seeds", "departures", "commit"))
    for (dataset, factor, model), of in records.items():
        departures = ", ".join(f"{name}={value}" for name, value in of[0].get("departures", {}).items())
        commit = ", ".join(sorted({record["environment"]["commit"] or "" for record in of}))
        for metric in METRICS:
            for reading in of[0]["test"][metric]:
                values = [record["test"][metric][reading] for record in of]
                spread = f"{statistics.stdev(values):.4f}" if values[1:] else ""
                mean = f"{statistics.mean(values):.4f}"
                writer.writerow((dataset, factor, model, metric, reading, mean, spread, len(of), departures, commit))
    return text.getvalue()


def report(records: Records, results: Path, plots: Path) -> str:
    """The claims, and the tables, in Markdown. Claims are judged by what is published in `results` and `plots`."""
    return f"# What the paper's numbers are made of\n\n{markdown(claims(results, plots, records))}\n{tables(records)}"


def tables(records: Records) -> str:
    """All tables, in Markdown."""
    parts = (factors(records), ties_by_epoch(records), tie_statistics(records), orders(records), file_order(records))
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def records_of(sources: Mapping[Place, Source]) -> Records:
    """The records of each data set, factor and model, by seed."""
    records: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for place in sorted(sources, key=lambda place: place.seed):
        record = sources[place].record
        if "ties" not in record:  # records of Table 3 that are older than these counts
            with np.load(ranks_beside(sources[place].path)) as saved:
                record["ties"] = tie_counts(Ranks(saved["above"], saved["tied"]))
        records.setdefault((place.dataset, place.factor, place.model), []).append(record)
    return records


def arguments_of() -> argparse.Namespace:
    names = [factor.name for factor in FACTORS] + list(ORDERS)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="seeds 0 … n − 1 of each model that has one")
    parser.add_argument("--factors", nargs="+", default=names, choices=names, metavar="FACTOR", help=", ".join(names))
    parser.add_argument(
        "--models", nargs="+", default=["sdp", "sdm", "sdmr", "item-knn", "popularity", "mf-bpr"], choices=MODELS
    )
    parser.add_argument(
        "--order-models", nargs="+", default=["popularity", "item-knn", "mf-bpr", "prme", "sdp", "sdm"], choices=MODELS
    )
    parser.add_argument("--no-train", dest="train", action="store_false", help="show what is there, leave out the rest")
    parser.add_argument("--publish", action="store_true", help="write what is shown into results/")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs side by side, on one thread each")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="this machine's records and models")
    parser.add_argument("--results", type=Path, default=Path("results"), help="the published records")
    parser.add_argument("--plots", type=Path, default=Path("plots"), help="where figure 5's correlations are")
    parser.add_argument("overrides", nargs="*", default=[], help="of every run, such as epochs=2")
    arguments = parser.parse_intermixed_args()
    if arguments.publish and arguments.overrides:
        parser.error(f"--publish: not with other settings ({' '.join(arguments.overrides)})")
    return arguments


def main() -> int:
    arguments = arguments_of()
    arguments.name = "audit"
    runs = wanted(arguments)
    sources = sources_of(runs, arguments)
    records = records_of(sources)
    text = report(records, arguments.results, arguments.plots)
    print(text)
    if arguments.publish:
        for place, source in sources.items():
            if not source.is_published:
                write_whole(arguments.results / "records" / "audit" / place.record, source.path.read_bytes())
        write_whole(arguments.results / "audit.csv", tidy(records).encode())
        write_whole(arguments.results / "audit.md", text.encode())
    return 1 if arguments.train and len(sources) < len(runs) else 0


if __name__ == "__main__":
    sys.exit(main())

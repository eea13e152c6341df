"""The audit: what becomes of hit@10 and NDCG@10 if one choice of the released code after the other is made.

`python -m sdmr.experiments.tables.audit --seeds 3 --factors honest released`. Each row of the tables is a factor
(`FACTORS` in `factors.py`): the honest protocol with one choice made in another way. Runs that this machine has not
made are made, factor by factor in that order and seed by seed within one, so that the command may be stopped and given
again; what is missing is said, and a row shows the seeds that are there. `--publish` copies the records to
`results/records/audit/`, and writes `results/audit.csv` and `results/audit.md`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdmr.datasets.files import write_atomic
from sdmr.experiments.configs import MODELS, compose_run
from sdmr.experiments.execute import make_run, told_when_cut_off
from sdmr.experiments.figures.collect import Source, Wanted, sources_of
from sdmr.experiments.id_order import RULES
from sdmr.experiments.jobs import CORES, at_least_one, heeded
from sdmr.experiments.tables.accuracy import has_seed
from sdmr.experiments.tables.audit_report import Records, report, tidy
from sdmr.experiments.tables.cells import chosen_beside, ranks_beside
from sdmr.experiments.tables.factors import AS_RANKED, FACTORS, ORDER, ORDERS, RULE, SHORT, TIES
from sdmr.harness.metrics import count_ties
from sdmr.harness.records import read_ranks


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
    for dataset, (_, overrides) in TIES.items():
        place = Place(dataset, "released", "sdmr", 0)
        if "released" in arguments.factors and "sdmr" in arguments.models and place not in runs:
            runs[place] = (*_base(place), *AS_RANKED, *overrides)
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
    is_plain = of_table.exists() and not chosen_beside(of_table.parent, place.model).exists()
    return of_table if place.factor == "honest" and is_plain and not own.exists() else own


def _base(place: Place) -> tuple[str, ...]:
    return (f"model={place.model}", f"dataset={place.dataset}", f"seed={place.seed}")


def _is_made(overrides: tuple[str, ...], arguments: argparse.Namespace) -> bool:
    try:
        return make_run(*compose_run((*overrides, *arguments.overrides)), arguments.runs).record is not None
    except ValueError:
        return False


def records_of(sources: Mapping[Place, Source]) -> Records:
    """The records of each data set, factor and model, by seed."""
    records: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for place in sorted(sources, key=lambda place: place.seed):
        record = sources[place].record
        if "ties" not in record:  # records of Table 3 that are older than these counts
            record["ties"] = count_ties(read_ranks(ranks_beside(sources[place].path))[1])
        records.setdefault((place.dataset, place.factor, place.model), []).append(record)
    return records


def arguments_of() -> argparse.Namespace:
    names = [factor.name for factor in FACTORS] + list(ORDERS)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=at_least_one, default=1, help="seeds 0 … n − 1 of each model that has one")
    parser.add_argument("--factors", nargs="+", default=names, choices=names, metavar="FACTOR", help=", ".join(names))
    parser.add_argument(
        "--models", nargs="+", default=["sdp", "sdm", "sdmr", "item-knn", "popularity", "mf-bpr"], choices=MODELS
    )
    parser.add_argument(
        "--order-models", nargs="+", default=["popularity", "item-knn", "mf-bpr", "prme", "sdp", "sdm"], choices=MODELS
    )
    parser.add_argument("--no-train", dest="train", action="store_false", help="show what is there, leave out the rest")
    parser.add_argument("--publish", action="store_true", help="write what is shown into results/")
    parser.add_argument("--jobs", type=at_least_one, default=CORES, help="runs side by side, on one thread each")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="this machine's records and models")
    parser.add_argument("--results", type=Path, default=Path("results"), help="the published records")
    parser.add_argument("--plots", type=Path, default=Path("plots"), help="where figure 5's correlations are")
    parser.add_argument("overrides", nargs="*", type=heeded, default=[], help="of every run, such as epochs=2")
    arguments = parser.parse_intermixed_args()
    if undone := [o for o in arguments.overrides if o.lstrip("+").startswith(("protocol.", "model.variant"))]:
        parser.error(f"{' '.join(undone)}: that is what the rows differ in; see --factors")
    if arguments.publish and arguments.overrides:
        parser.error(f"--publish: not with other settings ({' '.join(arguments.overrides)})")
    return arguments


def main() -> int:
    arguments = arguments_of()
    arguments.name = "audit"
    runs = wanted(arguments)
    sources = sources_of(runs, arguments)
    records = records_of(sources)
    text = report(records, arguments.results, arguments.plots, arguments.overrides)
    print(text)
    if arguments.publish:
        for place, source in sources.items():
            if not source.is_published:
                write_atomic(arguments.results / "records" / "audit" / place.record, source.path.read_bytes())
        write_atomic(arguments.results / "audit.csv", tidy(records).encode())
        write_atomic(arguments.results / "audit.md", text.encode())
    return 1 if arguments.train and len(sources) < len(runs) else 0


if __name__ == "__main__":
    with told_when_cut_off():
        sys.exit(main())

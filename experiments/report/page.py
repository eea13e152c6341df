"""The page that `sdmr report` writes: one HTML file with its data, style and program.

It asks for no other file, and its policy forbids it to. All numbers come from the functions that make the tables; the
program in the page only shows them.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from sdmr.datasets.errors import DataError
from sdmr.experiments.report.accuracy import collect_published
from sdmr.experiments.report.audit_runs import read_published_audit
from sdmr.experiments.report.averages import ALL
from sdmr.experiments.report.claims import CLAIMED_FACTORS, Claim, judge_claims
from sdmr.experiments.report.compared_rows import ComparedRow
from sdmr.experiments.report.hop_points import read_published_points
from sdmr.experiments.report.page_dataset import COMPARED, EVERY_METRIC, collect_dataset, describe_points
from sdmr.experiments.report.printed import DATASETS
from sdmr.experiments.report.ranked_rows import read_seed_spreads

FOLDER = Path(__file__).with_name("html")
SCRIPTS = ("elements.js", "tables.js", "charts.js", "sections.js", "differences.js", "figures.js", "report.js")
DECIMALS = 5  # of the numbers in the page


def collect_page(results: Path, plots: Path, user_rows: Sequence[ComparedRow] = ()) -> dict[str, Any]:
    """Collect what the page shows: the published records, and a user's rows beside them.

    Raises DataError if there is neither.
    """
    tables = [table for number in DATASETS if (table := collect_published(number, results, EVERY_METRIC, COMPARED))]
    if not tables and not user_rows:
        raise DataError(f"{results}: no published records; `sdmr publish` copies them there, or name runs=[...]")
    if not tables:
        print(f"{results}: no published records; results=CHECKOUT/results shows them beside yours", file=sys.stderr)
    spreads = read_seed_spreads(results, EVERY_METRIC)
    frames = {"strata": _read_all(results.glob("table?-strata.csv")), "hops": read_published_points(results)}
    published = {dataset: table for table in tables for dataset in table.records}
    datasets = {}
    for dataset in dict.fromkeys([*published, *(row.records[0].dataset for row in user_rows)]):
        yours = [row for row in user_rows if row.records[0].dataset == dataset]
        content = collect_dataset(dataset, published.get(dataset), yours, spreads, results)
        content |= {name: frame[frame["dataset"] == dataset] for name, frame in frames.items() if len(frame)}
        content["points"] = describe_points(dataset, results)
        datasets[dataset] = content
    claims = judge_claims(results, plots, read_published_audit(results, CLAIMED_FACTORS))
    return {
        "version": metadata.version("sdmr-benchmark"),
        "records": sum(len(row.get("seeds", [])) for one in datasets.values() for row in one["rows"].values()),
        "all": ALL,
        "datasets": datasets,
        "claims": [_describe_claim(claim) for claim in claims],
        "attention": [_describe_attention(pd.read_csv(path)) for path in sorted(plots.glob("figure7*.csv"))],
    }


def _read_all(paths: Iterable[Path]) -> pd.DataFrame:
    """Return the rows of all files."""
    frames = [pd.read_csv(path) for path in sorted(paths)]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _describe_claim(claim: Claim) -> dict[str, Any]:
    """Return a claim with its answer and evidence by data set."""
    answers = {}
    for one in claim.findings:
        if one.evidence:
            answers[one.dataset] = {
                "direction": one.direction or "",
                "answer": f"{one.answer}{one.note}",
                "lines": one.evidence,
            }
    return {"text": claim.text, "rule": claim.rule, "answers": answers}


def _describe_attention(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the weights of a user's context items by hop, the latest item first."""
    weights = frame.pivot(index=["latest", "label"], columns="hop", values="attention").sort_index()
    return {
        "user": str(frame["user"].iloc[0]),
        "target": str(frame["label_of_target"].iloc[0]),
        "hops": [int(hop) for hop in weights.columns],
        "items": [
            {"label": str(label), "weights": row}
            for (_, label), row in zip(weights.index, weights.to_numpy().round(3).tolist(), strict=True)
        ],
    }


def format_page(page: Mapping[str, Any]) -> str:
    """Return the page with its content, style and program."""
    content = json.dumps(page, ensure_ascii=False, separators=(",", ":"), default=_encode)
    parts = {
        "STYLE": (FOLDER / "style.css").read_text(encoding="utf-8"),
        "SCRIPT": "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS),
        "DATA": content.replace("<", r"\u003c"),  # so that no text in it ends the element
    }
    text = (FOLDER / "page.html").read_text(encoding="utf-8")
    for name, part in parts.items():
        text = text.replace(f"{{{{{name}}}}}", part)
    return text


def _encode(value: Any) -> Any:
    """Return a frame as its columns and rows, with null for NaN."""
    if not isinstance(value, pd.DataFrame):
        raise TypeError(f"{type(value).__name__} has no place in the page")
    return json.loads(value.to_json(orient="split", index=False, double_precision=DECIMALS))

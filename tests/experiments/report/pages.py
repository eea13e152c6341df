"""Generated blocks of pages, from few published records."""

import shutil
from pathlib import Path

import yaml

from sdmr.experiments.core.paths import CHECKOUT
from sdmr.experiments.report import claims, summary
from sdmr.experiments.report.accuracy import collect_published
from sdmr.experiments.report.averages import ALL
from sdmr.experiments.report.documents import format_csv
from sdmr.experiments.report.printed import METRICS
from sdmr.experiments.report.writers import write_csv
from tests.experiments.report.published import publish_model
from tests.experiments.report.records import change_record

SEARCH = {"trials": 9, "planned": 20, "cpu_minutes": 31.4, "space": {"model.dim": list(range(40))}}


def publish_few(results: Path) -> None:
    """Publish rows of ML-100k: SDM between MF-BPR and Caser, and Item-KNN as good as Caser, in less time."""
    folder = results / "records" / "table3" / "ml-100k"
    for model, share in {"sdm": 0.7, "mf-bpr": 0.4, "caser": 0.9, "item-knn": 0.89, "sdmr": 0.6}.items():
        publish_model(folder, model, share)
        for seed in range(2):
            seconds = {"fit": 6.0} if model == "item-knn" else {"fit": 600.0, "parts": 60.0}
            change_record(folder / f"{model}-{seed}", seconds=seconds)
    (folder / "caser.yaml").write_text(yaml.safe_dump({"model": {}, "tuning": SEARCH}))


def fill(results: Path, *names: str) -> list[str]:
    """Return the lines of blocks, from tables as the command that publishes writes them."""
    table = collect_published(3, results, [*METRICS, *(metric + ALL for metric in METRICS)])
    assert table
    write_csv(results / "table3.csv", format_csv(table.cells))
    for name in ("table1.csv", "table2.csv"):
        shutil.copy(CHECKOUT / "results" / name, results)
    write_csv(results / summary.CLAIMS, claims.tabulate_claims(claims.judge_claims(results, results, {})))
    blocks = summary.make_blocks(results)
    return "\n".join(blocks[name]() for name in names).splitlines()


def find_row(lines: list[str], *starts: str) -> list[str]:
    """Return the cells of the one row of a table that starts with these."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    (row,) = [row for row in rows if row[: len(starts)] == list(starts)]
    return row[len(starts) :]

"""The published tables as files."""

from pathlib import Path

import numpy as np
import pandas as pd

from sdmr.experiments.report.accuracy import collect_published
from sdmr.experiments.report.documents import format_csv, format_markdown
from sdmr.experiments.report.printed import METRICS
from tests.experiments.report.pages import find_row
from tests.experiments.report.published import publish_model
from tests.experiments.report.records import change_record
from tests.experiments.test_table import COLUMNS

ENVIRONMENT = {"commit": "c0ffee", "processor": "abacus", "threads": 1, "versions": {"torch": "2.0"}}


def test_csv_has_a_row_for_each_cell() -> None:
    nan = np.nan
    rows = [
        (
            "ml-100k",
            "SDM",
            "hit@10",
            0.713,
            0.55,
            0.0707,
            2,
            0.61,
            0.49,
            0.5,
            0.625,
            "paper higher",
            "tuned",
            "",
            0.4,
            0.7,
            "12 of 20, 31 min",
        ),
        ("ml-100k", "Popularity", "NDCG@10", nan, 0.25, nan, 1, 0.26, 0.24, nan, nan, "", "default", "", nan, nan, ""),
        ("ml-100k", "SDM", "NDCG@10", 0.435, 0.5, nan, 1, 0.5, 0.5, nan, nan, "", "default", "g+ s−", nan, nan, ""),
        ("ml-100k", "CML", "hit@10", 0.596, nan, nan, 0, nan, nan, nan, nan, "", "", "", nan, nan, ""),
    ]
    cells = pd.DataFrame(rows, columns=COLUMNS.split(",")).assign(commit="c0ffee")
    assert format_csv(cells).to_csv(index=False).splitlines() == [
        COLUMNS,
        "ml-100k,SDM,hit@10,0.713,0.550000,0.070700,2,0.610000,0.490000,0.500000,0.625000,paper higher,tuned,,"
        '0.400000,0.700000,"12 of 20, 31 min"',
        "ml-100k,Popularity,NDCG@10,,0.250000,,1,0.260000,0.240000,,,,default,,,,",
        "ml-100k,SDM,NDCG@10,0.435,0.500000,,1,0.500000,0.500000,,,,default,g+ s-,,,",
        "ml-100k,CML,hit@10,0.596,,,0,,,,,,,,,,",
    ]


def test_a_substitute_has_no_difference_from_the_paper(tmp_path: Path) -> None:
    for dataset in ("ta-feng", "ijcai-15"):
        folder = tmp_path / "records" / "table4" / dataset
        publish_model(folder, "sdm", 0.5, seeds=1)
        change_record(folder / "sdm-0", environment=ENVIRONMENT)
    table = collect_published(4, tmp_path, METRICS)
    assert table
    sections = format_markdown(table, tmp_path).split("\n## ")[1:]
    substitute, real = (next(one for one in sections if one.startswith(name)) for name in ("ijcai-15", "ta-feng"))
    column = find_row(real.splitlines(), "model").index("hit@10: Δ")
    assert find_row(real.splitlines(), "SDM")[column].startswith("−0.1")  # .651 is printed
    assert find_row(substitute.splitlines(), "SDM")[column] == "–"

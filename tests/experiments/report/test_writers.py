"""Numbers, Markdown tables and CSV files as they are written."""

import sys
from pathlib import Path

import pandas as pd
import pytest
from wcwidth import wcswidth

from sdmr.experiments.report.comparisons import Comparison
from sdmr.experiments.report.places import find_places
from sdmr.experiments.report.writers import (
    Style,
    format_difference,
    format_effect,
    format_mean,
    format_metric,
    format_p_value,
    format_percent,
    format_signed,
    make_markdown,
    make_table,
    write_csv,
)


def test_metric_has_three_decimals_and_a_missing_one_is_a_dash() -> None:
    assert [format_metric(value) for value in (0.12345, None)] == ["0.123", "–"]
    assert [format_mean(0.5, spread) for spread in (0.0123, None)] == ["0.500 ± 0.012", "0.500"]


def test_p_value_too_small_to_tell_from_0_is_a_bound() -> None:
    assert format_p_value(0.0312) == "0.031"
    assert format_p_value(0.0312, "= ") == "= 0.031"
    assert format_p_value(0.0) == format_p_value(0.0, "= ") == "< 1e-300"


def test_p_value_below_the_level_of_significance_never_reads_as_that_level() -> None:
    values = (0.0497, 0.0494, 0.049999, 0.0501, 0.05)
    assert [format_p_value(p) for p in values] == ["0.0497", "0.049", "0.049999", "0.05", "0.05"]


def test_signed_number_has_a_real_minus_and_zero_has_no_sign() -> None:
    values = (0.1234, -0.1234, -0.0004, 0.0, float("nan"))
    assert [format_signed(value) for value in values] == ["+0.123", "−0.123", "0.000", "0.000", "–"]
    assert format_percent(-12.44) == "−12.4 %"


def test_difference_has_signs_and_its_interval() -> None:
    test = Comparison(-0.0123, -0.02, 0.001, -0.04, 0.02, 0.1, -0.456, 0.2, 0.3, 0.5)
    assert format_difference(test) == "−0.012 (−0.020 … +0.001)"
    assert format_effect(test) == "effect −0.46, win / tie / loss for 20 / 30 / 50 % of the users"


def test_markdown_table_escapes_bars_and_leaves_missing_cells_empty() -> None:
    lines = make_markdown([{"name": "a|b", "count": 1}, {"name": None}], right=("count",)).splitlines()
    assert lines[1].count(":") == 2
    assert lines[1].endswith("-:|")
    assert [
        [cell.strip() for cell in line.replace(r"\|", "/").split("|")[1:-1]] for line in (lines[0], *lines[2:])
    ] == [
        ["name", "count"],
        ["a/b", "1"],
        ["", ""],
    ]


def test_latex_table_has_the_best_in_bold_and_escapes_its_text() -> None:
    rows = [{"model": "PRME_s", "a & b": "0.5 ± 0.1"}, {"model": "<SDM>", "a & b": "0.4"}, {"model": "−", "a & b": ""}]
    table = make_table(rows, "latex", right=("a & b",), places={"a & b": [1, 2, 0]})
    assert (
        table
        == r"""\begin{tabular}{lr}
\toprule
model & a \& b \\
\midrule
PRME\_s & \textbf{0.5 $\pm$ 0.1} \\
$<$SDM$>$ & \underline{0.4} \\
$-$ &  \\
\bottomrule
\end{tabular}
"""
    )


def test_terminal_table_has_bold_text_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ([{"model": "SDM", "hit": "0.5"}], "text", ("hit",), {"hit": [1]})
    assert make_table(*arguments) == "model      hit\n-------  -----\nSDM        0.5"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert make_table(*arguments).splitlines()[2] == "SDM        \033[1m0.5\033[0m"


@pytest.mark.parametrize("style", ["text", "markdown"])
@pytest.mark.parametrize("title", ["七人の侍", "Amélie", "e\u0301te\u0301"])
def test_columns_align_whatever_the_width_of_their_characters(style: Style, title: str) -> None:
    lines = make_table([{"title": title, "count": 1}, {"title": "Heat (1995)", "count": 10}], style, ("count",))
    assert len({wcswidth(line) for line in lines.splitlines()}) == 1


def test_places_are_those_of_the_values_as_written() -> None:
    assert find_places([0.4, 0.5001, 0.5002, float("nan"), 0.3]) == [0, 1, 1, 0, 0]
    assert find_places([4.0, 7.5, 9.0], is_lower_better=True) == [1, 2, 0]
    assert find_places([0.5135, 0.514]) == [2, 1]  # written 0.513, as .5135 in binary is less, and 0.514


def test_csv_has_no_index(tmp_path: Path) -> None:
    write_csv(tmp_path / "folder" / "table.csv", pd.DataFrame({"a": ["0.50", ""], "b": [1, 2]}))
    assert (tmp_path / "folder" / "table.csv").read_text() == "a,b\n0.50,1\n,2\n"

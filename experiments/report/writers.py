"""Write numbers, tables and CSV files, in one way everywhere. A missing number is NaN."""

import re
import sys
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import pandas as pd

from sdmr.datasets.files import write_atomic
from sdmr.experiments.report.uncertainty import ALPHA

NOTHING = "–"
Style = Literal["text", "markdown", "latex"]
Rows = pd.DataFrame | Iterable[Mapping[str, object]]
HIGHLIGHTS: dict[Style, tuple[str, str]] = {  # of the best and of the second best
    "text": ("\033[1m{}\033[0m", "\033[4m{}\033[0m"),
    "markdown": ("**{}**", "<u>{}</u>"),
    "latex": (r"\textbf{{{}}}", r"\underline{{{}}}"),
}
SPECIAL_CHARACTERS: dict[Style, dict[str, str | int | None]] = {
    "text": {},
    "markdown": {"|": r"\|"},
    "latex": {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
        **{"–": "--", "−": "$-$", "±": r"$\pm$", "…": r"\dots{}", "†": r"\dag{}", "<": "$<$", ">": "$>$"},
    },
}


def format_metric(value: float) -> str:
    """Return three decimals, a dash for NaN."""
    return NOTHING if pd.isna(value) else f"{value:.3f}"


def format_metrics(values: Iterable[float]) -> str:
    """Return hit@10 / NDCG@10."""
    return " / ".join(map(format_metric, values))


def format_mean(mean: float, spread: float, plus_minus: str = " ± ") -> str:
    """Return a mean and, if it is known, its spread over seeds."""
    return format_metric(mean) + ("" if pd.isna(spread) else f"{plus_minus}{spread:.3f}")


def format_signed(value: float, digits: int = 3) -> str:
    """Return a number with its sign, a real minus, none for zero. A dash stands for NaN."""
    if pd.isna(value):
        return NOTHING
    text = f"{value:+.{digits}f}"
    return text.replace("-", "−") if float(text) else text[1:]


def format_interval(low: float, high: float) -> str:
    """Return the bounds of a difference."""
    return f"{format_signed(low)} … {format_signed(high)}"


def format_percent(value: float) -> str:
    """Return a gain in percent, a dash for NaN."""
    return NOTHING if pd.isna(value) else f"{format_signed(value, 1)} %"


def format_p_value(p: float, equals: str = "") -> str:
    """Return two digits after `equals`, or a bound for p = 0. More digits where two would round up to `ALPHA`."""
    if not p:
        return "< 1e-300"
    digits = 2
    while p < ALPHA <= float(f"{p:.{digits}g}"):
        digits += 1
    return f"{equals}{p:.{digits}g}"


def format_difference(test: Any) -> str:
    """Return the difference and interval of a `Comparison`, or of a row with its fields."""
    return f"{format_signed(test.difference)} ({format_interval(test.low, test.high)})"


def format_effect(test: Any) -> str:
    """Return effect size and shares of users of a `Comparison`."""
    return f"effect {format_signed(test.effect, 2)}, win / tie / loss for {format_shares(test)} % of the users"


def format_shares(test: Any) -> str:
    """Return for how many percent of users the first model wins, ties and loses."""
    return " / ".join(f"{100 * share:.0f}" for share in (test.wins, test.ties, test.losses))


def format_test(test: Any) -> dict[str, str]:
    """Return p values, effect and shares of users of a corrected `Comparison`, by column."""
    return {
        "p": format_p_value(test.p),
        "corrected": format_p_value(test.corrected),
        "effect": format_signed(test.effect, 2),
        "win / tie / loss, % of users": format_shares(test),
    }


def highlight(cells: Iterable[str], places: Iterable[int], style: Style) -> list[str]:
    """Return cells, by their `find_places` the best in bold and the second best underlined.

    Text is as it was, unless it is printed on a terminal. Empty cells stay empty.
    """
    formats = ("{}", "{}", "{}") if style == "text" and not sys.stdout.isatty() else ("{}", *HIGHLIGHTS[style])
    return [formats[number].format(cell) if cell else cell for cell, number in zip(cells, places, strict=True)]


def make_markdown(rows: Rows, right: Container[str] = ()) -> str:
    """Return rows as a Markdown table; see `make_table`."""
    return make_table(rows, "markdown", right)


def make_table(
    rows: Rows, style: Style, right: Container[str] = (), places: Mapping[str, Sequence[int]] = MappingProxyType({})
) -> str:
    """Return rows as a table for the terminal, in Markdown, or in LaTeX (booktabs).

    Args:
        rows: A frame, or a mapping of column to cell for each row. Cells are written as they are, missing ones empty.
        style: Where the table is shown.
        right: Columns to align right.
        places: The `find_places` of a column's rows, for `highlight`.
    """
    frame = pd.DataFrame(rows if isinstance(rows, pd.DataFrame) else list(map(dict, rows)), dtype=object)
    cells = frame.where(frame.notna(), "").map(lambda cell: _escape(str(cell), style))
    for column, numbers in places.items():
        cells[column] = highlight(cells[column], numbers, style)
    if style == "latex":
        letters = "".join("r" if column in right else "l" for column in cells.columns)
        cells = cells.rename(columns=lambda name: _escape(name, style))
        return cells.to_latex(index=False, escape=False, column_format=letters)
    sides = ["right" if column in right else "left" for column in cells.columns]
    name = "pipe" if style == "markdown" else "simple"
    return cells.to_markdown(
        index=False, tablefmt=name, disable_numparse=True, preserve_whitespace=True, colalign=sides
    )


def _escape(text: str, style: Style) -> str:
    """Return text as a style writes it. A minus before digits is none of a name."""
    if style == "latex":
        text = re.sub(r"(?<!\w)-(?=\d)", "−", text)
    return text.translate(str.maketrans(SPECIAL_CHARACTERS[style]))


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a frame without its index. Cells that need a number of decimals are strings."""
    write_atomic(path, frame.to_csv(index=False, lineterminator="\n").encode())

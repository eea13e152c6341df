"""Write numbers, Markdown tables and CSV files, in one way everywhere. A missing number is NaN."""

from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from sdmr.datasets.files import write_atomic

NOTHING = "–"


def format_metric(value: float) -> str:
    """Return three decimals, a dash for NaN."""
    return NOTHING if pd.isna(value) else f"{value:.3f}"


def format_metrics(values: Iterable[float]) -> str:
    """Return hit@10 / NDCG@10."""
    return " / ".join(map(format_metric, values))


def format_mean(mean: float, spread: float, plus_minus: str = " ± ") -> str:
    """Return a mean and, if it is known, its spread over seeds."""
    return format_metric(mean) + ("" if pd.isna(spread) else f"{plus_minus}{spread:.3f}")


def format_percent(value: float) -> str:
    """Return a gain in percent, a dash for NaN."""
    return NOTHING if pd.isna(value) else f"{value:+.1f} %"


def format_p_value(p: float, equals: str = "") -> str:
    """Return two digits after `equals`, or a bound for p = 0."""
    return f"{equals}{p:.2g}" if p else "< 1e-300"


def format_difference(test: Any) -> str:
    """Return the difference and interval of a `Comparison`, or of a row with its fields."""
    return f"{test.difference:+.3f} ({test.low:+.3f} … {test.high:+.3f})"


def format_effect(test: Any) -> str:
    """Return effect size and shares of users of a `Comparison`."""
    return f"effect {test.effect:+.2f}, win / tie / loss for {format_shares(test)} % of the users"


def format_shares(test: Any) -> str:
    """Return for how many percent of users the first model wins, ties and loses."""
    return " / ".join(f"{100 * share:.0f}" for share in (test.wins, test.ties, test.losses))


def make_markdown(rows: pd.DataFrame | Iterable[Mapping[str, object]], right: Container[str] = ()) -> str:
    """Return rows as a Markdown table.

    Args:
        rows: A frame, or a mapping of column to cell for each row. Cells are written as they are, missing ones empty.
        right: Columns to align right.
    """
    frame = pd.DataFrame(rows if isinstance(rows, pd.DataFrame) else list(map(dict, rows)), dtype=object)
    cells = frame.where(frame.notna(), "").map(lambda cell: str(cell).replace("|", r"\|"))
    sides = ["right" if column in right else "left" for column in cells.columns]
    return cells.to_markdown(index=False, tablefmt="pipe", disable_numparse=True, colalign=sides)


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a frame without its index. Cells that need a number of decimals are strings."""
    write_atomic(path, frame.to_csv(index=False, lineterminator="\n").encode())

"""Tables 1 and 2, the data sets as loaded beside the paper's: `python -m sdmr.experiments.tables.statistics 1`."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from pathlib import Path

from hydra import compose, initialize
from hydra.utils import get_method

from sdmr.datasets.errors import DataError
from sdmr.datasets.files import write_atomic
from sdmr.datasets.interactions import Interactions
from sdmr.experiments.configs import register

PAPER = Path(__file__).parent.parent / "paper"

# The data set read for one of the paper's, where it is not the one of the same name, and why the two differ.
STAND_INS = {"netflix": "netflix-sample"}
REASONS = {
    "netflix": (
        "The paper's month is not named and the Prize's files are no longer given out. Read instead: 3,000 users by "
        "3,000 movies at random, without dates, iterated 5-core."
    ),
    "ijcai-15": (
        "The paper's random sample of 20,000 transactions is not public. Ours is drawn from the log if it is present, "
        "else from a published extract of purchases in sessions of two items or more, which holds larger baskets."
    ),
}

STATISTICS = {
    "users": "users",
    "items": "items",
    "interactions": "interactions",
    "avg_items_per_transaction": "items per transaction",
    "instances": "instances",
    "density_percent": "density (%)",
}


def statistics(data: Interactions) -> dict[str, float]:
    """What the paper's tables tell of a data set. An instance is an item with the rest of its basket."""
    rows = len(data)
    found = {
        "users": data.n_users,
        "items": data.n_items,
        "interactions": rows,
        "instances": rows,
        "density_percent": 100 * rows / (data.n_users * data.n_items),
    }
    return found | {"avg_items_per_transaction": rows / data.n_baskets} if data.baskets is not None else found


def table(number: int) -> list[dict[str, str]]:
    """The cells of Table `number` (1 or 2), tidy: dataset, statistic, paper, ours and their difference.

    Ours is printed with the paper's decimals; it is empty for a data set that cannot be found.
    """
    cells = []
    with (PAPER / f"table{number}.csv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            name = row.pop("dataset")
            found = _found(STAND_INS.get(name, name))
            for statistic, paper in row.items():
                decimals = len(paper.partition(".")[2])
                cell = {"dataset": name, "statistic": statistic, "paper": paper, "ours": "", "difference": ""}
                if found is not None:
                    cell["ours"] = f"{found[statistic]:.{decimals}f}"
                    difference = float(cell["ours"]) - float(paper)
                    cell["difference"] = f"{difference:+.{decimals}f}" if difference else "0"
                cells.append(cell)
    return cells


def keeping(published: Path, cells: list[dict[str, str]]) -> list[dict[str, str]]:
    """The cells, but the published ones of a data set that is not to be had here."""
    if not published.exists():
        return cells
    with published.open(encoding="utf-8") as lines:
        known = {(row["dataset"], row["statistic"]): row for row in csv.DictReader(lines)}
    return [cell if cell["ours"] else known.get((cell["dataset"], cell["statistic"]), cell) for cell in cells]


def markdown(number: int, cells: list[dict[str, str]]) -> str:
    """The table for reading: three lines a data set (paper, ours, difference), then why they differ."""
    columns = list(dict.fromkeys(cell["statistic"] for cell in cells))
    names = list(dict.fromkeys(cell["dataset"] for cell in cells))
    lines = [
        f"# Table {number}: statistics of the data sets",
        "",
        f"| data set | | {' | '.join(STATISTICS[column] for column in columns)} |",
        "|---|---|" + "---:|" * len(columns),
    ]
    notes = []
    for name in names:
        own = {cell["statistic"]: cell for cell in cells if cell["dataset"] == name}
        for side in ("paper", "ours", "difference"):
            values = [own[column][side] for column in columns]
            lines.append(f"| {name if side == 'paper' else ''} | {side} | {' | '.join(map(_readable, values))} |")
        if not own[columns[0]]["ours"]:
            notes.append(f"- {name}: not found on the machine that made this table.")
        elif any(float(cell["difference"]) for cell in own.values()):
            notes.append(f"- {name}: {REASONS.get(name, 'differs from the paper.')}")
    return "\n".join([*lines, "", *notes]).rstrip() + "\n"


def _found(choice: str) -> dict[str, float] | None:
    """The statistics of the data set that `dataset=choice` reads; None, with a word why, if it cannot be found."""
    with initialize(config_path="../conf", version_base="1.3"):
        config = compose("config", overrides=[f"dataset={choice}", "model=popularity"])
    settings = {str(name): value for name, value in config.dataset.items()}
    read = get_method(settings.pop("_target_"))  # not `instantiate`, which hides the error behind its own
    try:
        return statistics(read(**settings))
    except DataError as error:
        print(f"{choice}: {error}", file=sys.stderr)
        return None


def _readable(value: str) -> str:
    """Thousands parted by commas; a dash for nothing."""
    whole, point, decimals = value.partition(".")
    sign = whole[:1] if whole[:1] in "+-" else ""
    return f"{sign}{int(whole.lstrip('+-')):,}{point}{decimals}" if value else "–"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=int, choices=(1, 2))
    parser.add_argument("--results", type=Path, default=Path("results"), help="the folder to write into")
    arguments = parser.parse_args()
    register()
    path = arguments.results / f"table{arguments.table}.csv"
    cells = keeping(path, table(arguments.table))
    text = io.StringIO()
    writer = csv.DictWriter(text, list(cells[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(cells)
    readable = markdown(arguments.table, cells)
    write_atomic(path, text.getvalue().encode())
    write_atomic(arguments.results / f"table{arguments.table}.md", readable.encode())
    print(readable)


if __name__ == "__main__":
    main()

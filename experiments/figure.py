"""Draw a figure from records: `sdmr figure name=figure6 datasets=[ml-100k,ta-feng] dims=[16,64] seeds=3`.

Missing runs of figures 5 to 7 are made first; with train=false, the figure shows the existing ones. A published record
stands in for a missing run where its settings agree. The figure is written as PNG and PDF, its numbers as CSV.
A title is quoted: `sdmr figure name=figure7 user=13 'target="Titanic (1997)"'`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import get_args

from sdmr.experiments.core import cli
from sdmr.experiments.figures.options import FigureOptions as Options
from sdmr.experiments.figures.options import check_options


def describe_more(arguments: Sequence[str]) -> str:
    """Return which figure has which options."""
    lines = ["figures, and which of the options they have beside name, output and the folders:"]
    for name in get_args(Options.model_fields["name"].annotation):
        figure = _import_figure(name)
        lines += [
            f"  {name:8} {(figure.__doc__ or '').partition(chr(10))[0]}",
            f"           {', '.join(figure.OPTIONS)}",
        ]
    return "\n".join(lines)


def main(options: Options) -> int:
    figure = _import_figure(options.name)
    check_options(options, figure)
    return int(figure.main(options))


def _import_figure(name: str) -> ModuleType:
    return importlib.import_module(f"sdmr.experiments.figures.{name}")


if __name__ == "__main__":
    sys.exit(cli.main(["figure", *sys.argv[1:]]))

"""Draw a figure from records: `sdmr figure name=figure6 datasets=[ml-100k,ta-feng] dims=[16,64] seeds=3`.

Missing runs of figures 5 to 7 are made first; with `train=false`, the figure shows the existing ones. A published
record stands in for a missing run with the same settings. The figure is written as PNG and PDF, its numbers as CSV.
A title is quoted: `sdmr figure name=figure7 user=13 'target="Titanic (1997)"'`. `name=published` draws all figures as
they are published; with `train=false`, nothing is trained.
"""

import importlib
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import get_args

from sdmr.experiments.core import cli
from sdmr.experiments.core.options import check_used, parse_options
from sdmr.experiments.figures.options import FigureOptions as Options
from sdmr.experiments.figures.options import check_options

TRAINED = "mf-bpr,cml,neumf,cmn,prme,prme-s,transrec,caser,gru4rec,sasrec,bert4rec,sdp,sdm,sdmr"
# The options of each published figure.
PUBLISHED = (
    "name=figure5 seeds=3",
    "name=figure6 seeds=3",
    "name=figure6 output=figure6-cmn models=cmn",
    "name=figure6 output=figure6-context dims=64 hops=3 lengths=[5,10,20] seeds=3",
    "name=figure6 output=figure6-ta-feng datasets=ta-feng dims=[16,64]",
    "name=figure7",
    f"name=curves seeds=3 settings=tuned models=[{TRAINED}]",
    f"name=speed seeds=3 settings=tuned models=[popularity,item-knn,slim,transitions,ease,ials,{TRAINED}]",
)
FOLDERS = ("runs", "results", "plots")
COMMON = ("train", "publish", "workers")  # further options of `name=published`, for the figures that have them


def describe_more(arguments: Sequence[str]) -> str:
    """Return which figure has which options."""
    lines = ["figures, and which of the options they have beside name, output and the folders:"]
    for name in get_args(Options.model_fields["name"].annotation):
        if name != "published":
            figure = _import_figure(name)
            lines.append(f"  {name:8} {(figure.__doc__ or '').partition(chr(10))[0]}")
            lines.append(f"           {', '.join(figure.OPTIONS)}")
    lines.append(f"  published, which draws all of them; {', '.join(COMMON)}:")
    return "\n".join([*lines, *(f"           {part}" for part in PUBLISHED)])


def main(options: Options) -> int:
    if options.name != "published":
        return draw(options)
    check_used(options, ("name", *FOLDERS, *COMMON), "name=published")
    return max([draw(_complete(parse_options(Options, part.split()), options)) for part in PUBLISHED])


def _complete(part: Options, options: Options) -> Options:
    """Return the options of a published figure with those for all figures that it has."""
    names = [*FOLDERS, *(name for name in COMMON if name in _import_figure(part.name).OPTIONS)]
    return part.model_copy(update={name: getattr(options, name) for name in names})


def draw(options: Options) -> int:
    """Draw one figure. Returns the exit status."""
    figure = _import_figure(options.name)
    check_options(options, figure)
    return int(figure.main(options))


def _import_figure(name: str) -> ModuleType:
    return importlib.import_module(f"sdmr.experiments.figures.{name}")


if __name__ == "__main__":
    sys.exit(cli.main(["figure", *sys.argv[1:]]))

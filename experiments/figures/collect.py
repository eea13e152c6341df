"""The runs that a figure is made from: found, trained if they are missing, or left out and told."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sdmr.experiments.configs import compose_run
from sdmr.experiments.execute import Run, make_run, result_line
from sdmr.experiments.jobs import CORES, at_least_one, heeded, run_all
from sdmr.harness.records import read_record


@dataclass(frozen=True)
class Source:
    """A record that a figure is made from."""

    path: Path
    is_published: bool  # from results/, since this machine has not made the run with the present code

    @property
    def record(self) -> dict[str, Any]:
        return read_record(self.path)


@dataclass(frozen=True)
class Wanted:
    """A run that a figure is to show: its overrides, and where its published record would be."""

    overrides: tuple[str, ...]
    published: Path | None = None


def command_line(
    description: str | None, name: str, trains: bool = True, axes: Sequence[str] = ()
) -> argparse.ArgumentParser:
    """The options that all figures share. `name`: that of the files, unless another is given.

    `trains`: the command makes the runs that are missing, unless it is told not to. `axes`: settings that the figure
    has options for, and names its parts by, so that they are refused among the overrides.
    """

    def override(text: str) -> str:
        setting = text.partition("=")[0].lstrip("+")
        if setting in axes:
            raise argparse.ArgumentTypeError(f"{text} would belie the figure's labels; see the options of this command")
        if setting == "protocol.tie_policy":
            raise argparse.ArgumentTypeError(f"{text}: figures count ties with their expected value")
        return heeded(text)

    parser = argparse.ArgumentParser(description=description)
    if trains:
        told = "draw what is there, leave out the rest"
        parser.add_argument("--no-train", dest="train", action="store_false", help=told)
        parser.add_argument("--jobs", type=at_least_one, default=CORES, help="runs side by side, on one thread each")
    else:
        parser.set_defaults(train=False)
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="this machine's records and models")
    parser.add_argument("--results", type=Path, default=Path("results"), help="the published records")
    parser.add_argument("--plots", type=Path, default=Path("plots"), help="where NAME.png, NAME.pdf and NAME.csv go")
    parser.add_argument("--name", default=name)
    parser.add_argument("overrides", nargs="*", type=override, default=[], help="of every run, such as epochs=2")
    return parser


def made_with(given: argparse.Namespace) -> str:
    """The end of a line under a figure: in what its runs are not the plain ones; nothing, if in nothing."""
    told = ["chosen settings"] * (getattr(given, "config", "plain") == "chosen") + given.overrides
    return f"; made with {', '.join(told)}" if told else ""


def runs_of(wanted: Mapping[Any, Wanted], arguments: argparse.Namespace) -> dict[Any, Run]:
    """The finished runs of this machine, by the keys of `wanted`; those that are missing are made, if asked to.

    They are made in the order given. What fails is told and left out.
    """
    ready: dict[Any, Run] = {}
    for key, one in wanted.items():
        try:
            ready[key] = make_run(*compose_run(one.overrides), arguments.runs)
        except ValueError as error:  # no such data, or a setting that it must be given
            print(f"left out: {' '.join(one.overrides)}: {error}", file=sys.stderr)
    waiting = [wanted[key].overrides for key, run in ready.items() if run.record is None]
    if waiting and arguments.train:
        print(f"{len(ready) - len(waiting)} runs are there, {len(waiting)} to do, {arguments.jobs} side by side")
        outcomes = run_all(waiting, arguments.runs, arguments.jobs)
        for outcome in tqdm(outcomes, total=len(waiting), unit="run"):
            if outcome.record is None:
                tqdm.write(f"FAILED {' '.join(outcome.overrides)}: {outcome.error}", file=sys.stderr)
                continue
            seconds = sum(outcome.record["seconds"].values())
            tqdm.write(f"{' '.join(outcome.overrides)} ({seconds:.0f} s)\n  {result_line(outcome.record, Path('…'))}")
    return {key: run for key, run in ready.items() if run.record is not None}


def sources_of(wanted: Mapping[Any, Wanted], arguments: argparse.Namespace) -> dict[Any, Source]:
    """The record of each wanted run: this machine's, or else the published one. Says which are missing."""
    runs = runs_of(wanted, arguments)
    sources: dict[Any, Source] = {}
    for key, one in wanted.items():
        if key in runs:
            sources[key] = Source(runs[key].folder / "record.json", is_published=False)
        elif one.published is not None and one.published.exists():
            sources[key] = Source(one.published, is_published=True)
    tell_missing(wanted, sources, arguments)
    return sources


def tell_missing(wanted: Mapping[Any, Wanted], found: Mapping[Any, object], arguments: argparse.Namespace) -> None:
    """Say how many of the wanted runs are not there, and how to make the first of them."""
    missing = [one for key, one in wanted.items() if key not in found]
    if not missing:
        return
    places = [f"{arguments.runs}/"] + [f"{arguments.results}/"] * any(one.published for one in missing)
    print(
        f"{arguments.name}: {len(missing)} of {len(wanted)} runs are missing in {' and '.join(places)}; the first is\n"
        f"  python -m sdmr.experiments.run {' '.join(missing[0].overrides)}"
    )
    if not found:
        print(f"{arguments.name} is not drawn: none of its runs is there")

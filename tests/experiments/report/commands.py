"""Call commands in this process, on prepared runs: nothing is trained."""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

from sdmr.experiments.core import tuned
from sdmr.experiments.core.options import parse_options
from sdmr.experiments.core.run import Run


def call(command: ModuleType, folder: Path, *arguments: str) -> int:
    """Return the exit status of a command whose runs and results are in `folder`."""
    options = (f"runs={folder / 'runs'}", f"results={folder / 'results'}")
    return command.main(parse_options(command.Options, [*arguments, *options]))


def compose_fake_run(overrides: Sequence[str], runs: Path) -> Run:
    """Return a run whose folder is named by model and seed. No data are read."""
    settings = dict(override.split("=", 1) for override in overrides)
    folder = runs / settings["dataset"] / f"{settings['model']}-{settings['seed']}"
    config = {"seed": int(settings["seed"]), "model": {"_target_": "sdmr.baselines.popularity.Popularity"}}
    return Run(config, "data", "source", settings["dataset"], folder)


def hide_tuned_settings(folder: Path, monkeypatch: pytest.MonkeyPatch, dataset: str, kept: str) -> None:
    """Leave one model of a data set its tuned settings."""
    text = tuned.get_tuned_path(dataset, kept).read_text()
    monkeypatch.setattr(tuned, "FOLDER", folder / "tuned")
    path = folder / "tuned" / dataset / f"{kept}.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)

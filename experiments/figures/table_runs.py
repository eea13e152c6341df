"""The runs behind Tables 3 and 4, for the figures that show all models."""

from __future__ import annotations

import argparse
from pathlib import Path

from sdmr.experiments.chosen import NotChosen
from sdmr.experiments.configs import MODELS, model_of
from sdmr.experiments.figures.collect import Source, Wanted, command_line, sources_of
from sdmr.experiments.jobs import at_least_one
from sdmr.experiments.tables.accuracy import has_seed, job
from sdmr.experiments.tables.cells import DATASETS, chosen_beside

Key = tuple[str, int]  # choice of the model, seed


def arguments_of(description: str | None, name: str) -> argparse.Namespace:
    """The command line of a figure that is made from the tables' records, and trains nothing."""
    parser = command_line(description, name, trains=False)
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--seeds", type=at_least_one, default=1, help="seeds 0 … n − 1 of each model that has one")
    parser.add_argument("--config", choices=("plain", "chosen"), default="plain", help="settings of the models")
    return parser.parse_intermixed_args()


def found(given: argparse.Namespace) -> tuple[dict[Key, Source], int]:
    """The records that are there, by model and seed, in the order of Table 3; and the number of those wanted."""
    table = 4 if given.dataset in DATASETS[4] else 3
    folder: Path = given.results / "records" / f"table{table}" / given.dataset
    wanted = {}
    for model in given.models:
        for seed in range(given.seeds if has_seed(model) else 1):
            try:
                overrides = job(given.dataset, model, seed, given.config, given.overrides)
            except NotChosen as error:
                print(f"{model_of(model).name} on {given.dataset} is left out: {error}")
                break
            is_other = chosen_beside(folder, model).exists() != (
                given.config == "chosen"
            )  # settings than are asked for
            published = None if given.overrides or is_other else folder / f"{model}-{seed}-record.json"
            wanted[model, seed] = Wanted(overrides, published)
    return sources_of(wanted, given), len(wanted)

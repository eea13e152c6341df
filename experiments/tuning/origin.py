"""How tuned settings were found, for their file."""

import shlex
from typing import Any

from sdmr.experiments.core.messages import format_value
from sdmr.experiments.core.trackers import drop_tracker
from sdmr.experiments.core.tuned import is_user_data, resolve_data_settings
from sdmr.experiments.tuning.search import Search
from sdmr.experiments.tuning.space import find_edges
from sdmr.experiments.tuning.study import VALIDATION_METRICS
from sdmr.experiments.tuning.trial import Trial


def describe_origin(search: Search, trial: Trial, is_inside: bool = False) -> dict[str, Any]:
    """Return how the settings of a finished trial were found, as data.

    With `is_inside`, only the trials and the axes inside the paper's grid count.
    """
    record, options = trial.record, search.options
    assert record is not None
    trials = [one for one in search.trials if not (is_inside and search.list_axes_beyond_paper(one))]
    axes = {axis: v for axis, v in search.row.axes.items() if not (is_inside and axis in search.row.space.beyond_paper)}
    failures = [search.describe(one) for one in search.select("failed")]
    commits = {one.commit or "unknown" for one in search.select("complete")}
    origin: dict[str, Any] = {
        "validation": {metric: round(record.validation[metric]["expected"], 4) for metric in VALIDATION_METRICS},
        "best_epoch": record.best_epoch,
        "best_among_last_5_allowed": record.best_among_last_5_allowed or None,
        "seed": record.config["seed"],
        "run": record.run,
        "search": options.search,
        "trials": len(trials),
        "planned": max(search.limit, len(search.trials)),
        "pruned": sum(one.state == "pruned" for one in trials),
        "cpu_minutes": round(sum(one.cpu_seconds for one in trials) / 60, 1),
        "budget": search.budget,
        "is_capped": search.is_capped or None,
        "space": axes,
        "edges": (len(trials) > 1 and find_edges(axes, trial.settings)) or None,  # one trial has tried no list
        "beyond_paper": search.list_axes_beyond_paper(trial) or None,
        "best_in_paper": search.describe(search.best_in_paper) if search.best_in_paper not in (None, trial) else None,
        "parts": search.row.parts.searches or None,
        "points": str(search.study.path),
        "commits": sorted(commits),
        "commands": [format_command(search)],
        "notes": [*search.row.parts.notes.values(), *failures] or None,
        "dataset": resolve_data_settings(record.config["dataset"]) if is_user_data(options.dataset) else None,
    }
    return {key: value for key, value in origin.items() if value is not None}


def format_command(search: Search) -> str:
    """Return the command that repeats the search, without the options of this machine."""
    options = search.options
    names = ("search", "trials", "budget", "prune", "results")
    values = {name: getattr(options, name) for name in names if name in options.model_fields_set}
    if options.budget is not None:
        values["budget"] = f"{options.budget:g}"
    settings = {"model": search.row.name, "dataset": options.dataset} | values
    overrides = drop_tracker(options.overrides)
    return "sdmr sweep " + shlex.join([*(f"{k}={format_value(v)}" for k, v in settings.items()), *overrides])

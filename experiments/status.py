"""Show the progress of a sweep, by its arguments: `sdmr status model=sdm dataset=ml-100k`.

With `-m`, it shows the progress of `sdmr run -m` with the same settings. Nothing is run. Example:
`sdmr status -m model=sdm test=false model.dim=8,16,32`.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from statistics import fmean

from pydantic import Field

from sdmr.experiments.core import cli
from sdmr.experiments.core.config import prepare_overrides
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.estimate import compute_runtime
from sdmr.experiments.core.grammar import expand_sweep, is_of_hydra
from sdmr.experiments.core.help_text import describe_fields
from sdmr.experiments.core.options import CommandOptions, parse_options
from sdmr.experiments.core.run import Run, compose_run
from sdmr.experiments.core.run_files import CHECKPOINT
from sdmr.experiments.tuning.options import SearchOptions
from sdmr.experiments.tuning.search import Search
from sdmr.experiments.tuning.trial import Trial

TRIAL_STATES = ("complete", "pruned", "failed", "running", "interrupted")
STATES = ("done", "failed", "running", "interrupted", "pending")


class Options(CommandOptions):
    overrides: list[str] = Field(default_factory=list, description="settings of the runs")
    flags: list[str] = Field(default_factory=list, description="-m")


def describe_more(arguments: Sequence[str]) -> str:
    """Return the options of a sweep."""
    fields = {key: field for key, field in SearchOptions.model_fields.items() if key != "overrides"}
    title = "with -m or --multirun, the settings of `sdmr run`; else the options of the sweep:"
    return f"{title}\n{describe_fields(fields)}"


def main(options: Options) -> int:
    if unknown := [flag for flag in options.flags if flag not in ("-m", "--multirun")]:
        raise UsageError(f"{unknown[0]}: expected key=value, or -m")
    if options.flags:
        lines = describe_multirun(options.overrides)
    else:
        search_options = parse_options(SearchOptions, options.overrides)
        os.environ["SDMR_RESULTS"] = search_options.results  # as of the sweep; see `cli.run_command`
        searches = [Search(name, search_options) for name in search_options.model]
        lines = (line for search in searches for line in describe_progress(search))
    for line in lines:
        print(line)
    return 0


def describe_multirun(overrides: Sequence[str]) -> Iterator[str]:
    """Yield lines on the progress of `sdmr run -m` with these overrides."""
    settings = [override for override in prepare_overrides(overrides) if not is_of_hydra(override)]
    runs = {" ".join(combination): compose_run(combination) for combination in product(*expand_sweep(settings))}
    states = {label: get_state(run) for label, run in runs.items()}
    yield from describe_runs(runs, states)
    yield estimate_remaining(list(runs.values()), list(states.values()))


def describe_progress(search: Search) -> Iterator[str]:
    """Yield lines on the progress of a search."""
    with search.study.lock():
        states = {trial.number: _get_trial_state(search, trial) for trial in search.trials}
    count = Counter(states.values())
    numbers = ", ".join(f"{count[state]} {state}" for state in TRIAL_STATES)
    yield f"{search.row.name} on {search.options.dataset}: {len(states)} of {search.limit} trials: {numbers}"
    for trial in search.trials:
        if (state := states[trial.number]) in ("running", "interrupted", "failed"):
            yield f"  {state}: {trial.number}: {search.describe(trial)}"
    spent = f"{search.spent} spent"
    ended = [trial for trial in search.trials if trial.state != "running"]
    remaining = max(search.limit - len(search.trials), 0) + sum(map(search.is_pending, search.trials))
    if not remaining:
        yield f"{spent}; nothing to run"
    elif not count["running"] and search.is_capped:
        yield f"{spent}; the budget allows no further trial"
    elif not ended:
        yield f"{remaining} trials to make; the first that ends tells how long one takes"
    else:
        left = min(remaining * search.minutes / len(ended), max(search.budget - search.minutes, 0))
        yield f"{spent}, about {left:.1f} left"


def _get_trial_state(search: Search, trial: Trial) -> str:
    is_running = trial.state == "running" and search.study.is_claimed(trial.run)
    return "interrupted" if trial.state == "running" and not is_running else trial.state


def describe_runs(runs: Mapping[str, Run], states: Mapping[str, str]) -> Iterator[str]:
    """Yield the number of runs in each state, then running, interrupted and failed runs."""
    count = Counter(states.values())
    yield f"{_count_runs(len(runs))}: {', '.join(f'{count[state]} {state}' for state in STATES)}"
    for label, state in states.items():
        if state in ("running", "interrupted", "failed"):
            yield f"  {state}: {label}{f': {runs[label].failure}' if state == 'failed' else ''}"


def get_state(run: Run) -> str:
    """Return the state of a run. An interrupted one will continue from its last finished epoch."""
    if run.record is not None:
        return "done"
    if run.is_running:
        return "running"
    if run.failure is not None:
        return "failed"
    return "interrupted" if (run.folder / CHECKPOINT).exists() else "pending"


def _count_runs(number: int) -> str:
    return f"{number} run" + "s" * (number != 1)


def estimate_remaining(runs: Sequence[Run], states: Sequence[str]) -> str:
    """Return the minutes that unfinished runs may take, by the mean of finished ones.

    Parts of models, which many runs share, are expected to exist by then.
    """
    records = [record for run in runs if (record := run.record) is not None]
    workers = states.count("running")
    number = len(states) - states.count("done")  # a failed run is made once more
    if not number:
        return "nothing to run"
    if not records:
        return f"{_count_runs(number)} to make; the first that is done tells how long one takes"
    minutes = compute_runtime(records, runs[0].folder.parent.parent) / 60
    left = number * fmean(record.runtime for record in records) / 60
    spent = f"{minutes:.1f} single-thread minutes spent"
    return f"{spent}, about {left:.1f} left, which is {left / max(1, workers):.1f} with {max(1, workers)} at work"


if __name__ == "__main__":
    sys.exit(cli.main(["status", *sys.argv[1:]]))

"""Tune models on the validation items: `sdmr sweep model=[sdp,sdm] dataset=ml-100k trials=20 budget=30`.

The search space of a model is `conf/space/MODEL.yaml`: settings, and the values to try. `search=tpe` tries the
default settings, then the tuned ones of the other data sets, then what Optuna's sampler asks for. `search=grid` tries
every combination of the space, without what the paper does not vary. A trial whose validation curve is hopeless is
pruned: it stops early and counts.

`budget` counts the CPU minutes of all trials. When it is spent, no further one starts. The same command continues a
search that was interrupted; two at once share the work. More `trials` continue it, too; `prune=false` also continues
the pruned trials. Further settings (`epochs=20`, `model.context_length=5`) hold for every run, and are not searched.
`transfer=ml-100k` searches nothing: it takes over the tuned settings of that data set.
"""

import sys
import time
from contextlib import suppress
from textwrap import indent

from pydantic import Field
from tqdm import tqdm

from sdmr.experiments.core import cli
from sdmr.experiments.core.config import compose_config
from sdmr.experiments.core.effects import check_effects
from sdmr.experiments.core.errors import NotTunedError, UsageError
from sdmr.experiments.core.messages import format_value
from sdmr.experiments.core.options import check_used
from sdmr.experiments.core.progress import shorten_settings
from sdmr.experiments.core.registry import GRID, GRID_ROWS
from sdmr.experiments.core.tuned import (
    describe_search,
    get_space_path,
    get_tuned_path,
    insert_tuned_grid_rows,
    is_user_data,
    list_tuned_paths,
    read_tuned,
    write_tuned,
)
from sdmr.experiments.report.writers import make_table
from sdmr.experiments.tuning.options import SearchOptions
from sdmr.experiments.tuning.origin import describe_origin
from sdmr.experiments.tuning.search import Search
from sdmr.experiments.tuning.space import METRIC, Space, nest
from sdmr.experiments.tuning.trial import Trial

MAX_ROWS = 20  # of the table at the end
KEPT = ("beyond_paper", "commits")  # of the origin of settings, if another data set takes them over


class Options(SearchOptions):
    replace: bool = Field(
        False, description="replace tuned settings even if their score is higher or they come from more trials"
    )
    transfer: str | None = Field(None, description="data set whose tuned settings are taken over, without a search")


def main(options: Options) -> int:
    if options.transfer is not None:
        check_used(options, ("model", "dataset", "transfer", "replace"), "a transfer")
        check_transfer(options)
        for name in insert_tuned_grid_rows(options.model, options.transfer, "tuned"):
            transfer_settings(name, options.transfer, options.dataset, options.replace)
        return 0
    check_effects(options.overrides, [Space.load(name).model or name for name in options.model], [options.dataset])
    searches = [Search(name, options) for name in options.model]  # a mistake is reported before the first run
    outcomes = []
    for search in searches:
        if search.row.space.parts:  # they may have been tuned since then
            search = Search(search.row.name, options)
        outcomes.append(tune(search, options.replace))
    return 0 if all(outcomes) else cli.FAILED


def check_transfer(options: Options) -> None:
    """Raise UsageError for a transfer that cannot work.

    The two data sets must differ, and the second one must exist and have the models, or parts of models.
    """
    if options.dataset == options.transfer:
        raise UsageError(f"transfer={options.transfer}: expected another data set than that of dataset=")
    for name in options.model:
        model = Space.load(name).model or name
        if not is_user_data(options.dataset):  # which needs further settings
            compose_config([f"model={model}", f"dataset={options.dataset}"])


def transfer_settings(name: str, source: str, dataset: str, replace: bool) -> None:
    """Write the tuned settings of one data set as those of another.

    Raises NotTunedError if the first one has none, UsageError if the second one has some of its own search.
    """
    content = read_tuned(source, name)
    with suppress(NotTunedError):
        if "transferred" not in read_tuned(dataset, name)["tuning"] and not replace:
            raise UsageError(f"{name} on {dataset} has settings of a search of its own; replace=true replaces them")
    tuning = {"transferred": source} | {key: content["tuning"][key] for key in KEPT if key in content["tuning"]}
    settings = {key: value for key, value in content.items() if key != "tuning"}
    print(f"{name} on {dataset}: the settings of {source}, written to {write_tuned(dataset, name, settings, tuning)}")


def tune(search: Search, replace: bool) -> bool:
    """Search, and write trials, records and tuned settings. Returns whether no run has failed."""
    name, options = search.row.name, search.options
    if name.endswith(GRID) and is_inside(options.dataset, name.removesuffix(GRID)):
        print(
            f"{name} on {options.dataset}: the tuned settings of {name.removesuffix(GRID)} are inside the paper's grid"
        )
        return True
    print(
        f"{name} on {options.dataset}: {options.search}, {search.limit} trials, {search.budget:g} CPU minutes",
        flush=True,
    )
    for note in search.row.parts.notes.values():
        print(f"  {note}")
    make_trials(search)
    print(indent(format_trials(search), "  "))
    if search.best is None:
        print("  no trial has finished, so nothing is tuned", file=sys.stderr)
    else:
        print(f"  best: {search.describe(search.best)}", flush=True)
        if save_tuned_settings(search, search.row.name, search.best, replace):
            save_grid_settings(search, search.best, replace)
    return not search.select("failed")


def is_inside(dataset: str, name: str) -> bool:
    """Tell whether a model has tuned settings, and these do not leave the paper's grid."""
    try:
        return not read_tuned(dataset, name)["tuning"].get("beyond_paper")
    except NotTunedError:
        return False


def make_trials(search: Search) -> None:
    """Make the trials, and print each as it ends."""
    start, minutes, cached = time.perf_counter(), search.minutes, len(search.select("complete", "pruned"))
    if cached:
        print(f"  trials made before: {cached}", flush=True)
    if others := search.study.n_others:
        print(f"  {others} trials of other code or data leave the list {search.study.path}", flush=True)
    for trial in search.run():
        text = f"  {trial.number}: {search.describe(trial)} ({search.spent})"
        tqdm.write(text, file=sys.stderr if trial.state == "failed" else sys.stdout)
        sys.stdout.flush()
    seconds = 60 * (search.minutes - minutes)
    print(
        f"  took {time.perf_counter() - start:.0f} s, and {seconds:.0f} CPU seconds of {search.options.workers} workers"
    )
    if search.is_capped:
        print(f"  the budget allows no further trial: {len(search.trials)} of {search.limit} were made")
    if running := search.select("running"):
        print(f"  {len(running)} trials have not ended: another process is at work on them, or was killed")


def format_trials(search: Search) -> str:
    """Return a table of the best trials, and the paths of all."""
    trials = sorted(search.select("complete", "pruned"), key=lambda trial: -trial.score)
    rows = [
        {
            "trial": trial.number,
            **{shorten_settings(axis): format_value(trial.settings.get(axis)) for axis in search.row.axes},
            f"validation {METRIC}": f"{trial.score:.4f}",
            "epoch": trial.epoch,
            "CPU seconds": f"{trial.cpu_seconds:.1f}",
            "run": trial.run.folder.name if trial.record else trial.state,
        }
        for trial in trials[:MAX_ROWS]
    ]
    table = make_table(rows, "text", right=("trial", f"validation {METRIC}", "epoch", "CPU seconds")) if rows else ""
    shown = f"the best {len(rows)} of {len(search.trials)} trials"
    records = f"{search.options.runs}/{search.options.dataset}/RUN/record.json"
    return f"{table}\n{shown}; all: {search.study.path}; records: {records}"


def save_grid_settings(search: Search, best: Trial, replace: bool) -> None:
    """Write the best settings inside the paper's grid, if the tuned ones leave it."""
    dataset, row = search.options.dataset, f"{search.row.name}{GRID}"
    if row not in GRID_ROWS:
        return
    if not search.list_axes_beyond_paper(best):
        list_tuned_paths(dataset, row)[0].unlink(missing_ok=True)
    elif search.best_in_paper is None:
        print(f"  no trial is inside the paper's grid: `sdmr sweep model={row} dataset={dataset}` searches there")
    else:
        print(f"  best inside the paper's grid: {search.describe(search.best_in_paper)}")
        save_tuned_settings(search, row, search.best_in_paper, replace)


def save_tuned_settings(search: Search, name: str, trial: Trial, replace: bool) -> bool:
    """Write the settings of a trial as the tuned ones of a row. Returns false if better ones are kept."""
    dataset, tuning = search.options.dataset, describe_origin(search, trial, name != search.row.name)
    print(f"  {describe_search(tuning)}")
    for edge in tuning.get("edges", []):
        print(f"  {edge} is at an edge of its values: to go on, extend {get_space_path(name)}, and raise trials=")
    try:
        before = read_tuned(dataset, name)["tuning"]
    except NotTunedError:
        before = {}
    score, trials = before.get("validation", {}).get(METRIC, 0.0), before.get("trials", before.get("runs", 0))
    is_worse = score > tuning["validation"][METRIC] or trials > tuning["trials"]
    if is_worse and before.get("dataset") == tuning.get("dataset"):
        origin = "".join(f" of `{command}`" for command in before.get("commands", [])[-1:])
        text = f"settings of before, validation {METRIC} {score:.4f}, the best of {trials} trials{origin}"
        if not replace:
            print(f"  {get_tuned_path(dataset, name)} keeps the {text}; replace=true replaces them", file=sys.stderr)
            return False
        print(f"  these settings replace the {text}", file=sys.stderr)
    elif before and before.get("dataset") != tuning.get("dataset"):
        print("  these settings replace those that were tuned on other data", file=sys.stderr)
    settings = nest(search.row.get_tuned_settings(trial.settings))
    print(f"  written to {write_tuned(dataset, name, settings, tuning)}", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(cli.main(["sweep", *sys.argv[1:]]))

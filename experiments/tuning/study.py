"""The trials of a search, in a file of its results.

The file and the records beside it are all that a search knows. So it goes on after a kill, beside another process, and
in a fresh clone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from sdmr.datasets.errors import DataError
from sdmr.experiments.core.arguments import flatten
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.record import Record, load_record
from sdmr.experiments.core.run import Run
from sdmr.experiments.core.run_files import RECORD
from sdmr.experiments.core.store import publish_run
from sdmr.experiments.report.writers import write_csv
from sdmr.experiments.tuning import space
from sdmr.experiments.tuning.space import METRIC, Axes, Settings
from sdmr.experiments.tuning.trial import STATES, Trial, format_numbers, parse_numbers, select_best

VALIDATION_METRICS = (METRIC, "hit@10")
COLUMNS = ("trial", "settings", "state", *VALIDATION_METRICS, "epoch", "cpu_seconds", "known", "run", "commit", "error")


class Study:
    """The trials of a model on a data set.

    Args:
        path: The file of the trials, with their records beside it.
        lock: A file that one process at a time holds to ask or tell.
        axes: The settings that vary, with their values.
        make_run: Returns the run of settings.
        shared: Settings of every trial, which the file shows.
    """

    def __init__(
        self, path: Path, lock: Path, axes: Axes, make_run: Callable[[Settings], Run], shared: Settings
    ) -> None:
        self.path, self.axes, self.shared = path, axes, shared
        self.n_others = 0  # rows of the file that are of other code or data
        self._kept: list[dict[Any, str]] = []  # rows of trials with settings that only another search varies
        self._lock, self._make_run = lock, make_run
        self._runs: dict[str, Run] = {}
        self._records: dict[str, Record] = {}
        self._claims: dict[str, FileLock] = {}  # by run: the trials of this process

    def read_settings(self, run: Run) -> Settings:
        """Return a run's values on the axes, where they are in the space."""
        values = flatten(run.config)
        return {
            axis: values[key] for axis in self.axes if values.get(key := space.get_model_key(axis)) in self.axes[axis]
        }

    def read(self) -> list[Trial]:
        """Return the trials so far. Rows of other code or data, `n_others` of them, are no trials of this search.

        Nor are those with settings that only another search of the model varies. They stay in the file.
        """
        try:
            frame = pd.read_csv(self.path, dtype=str, keep_default_na=False) if self.path.exists() else pd.DataFrame()
            rows = frame.to_dict("records") if "trial" in frame else []
            read = [(row, self._read_row(row)) for row in rows]
            trials = [trial for _, trial in read if trial]
            self._kept = [row for row, trial in read if trial is None and self._is_of_other_axes(row)]
            self.n_others = len(frame) - len(trials) - len(self._kept)
        except DataError:  # of a record, which it names
            raise
        except (ValueError, KeyError) as error:
            raise DataError(f"{self.path} is damaged: {error!s:.80}; remove it to search anew") from error
        if (best := select_best(trials)) and not best.record:
            best.is_lost = True
        return trials

    def ask(
        self,
        suggest: Callable[[Sequence[Trial]], Settings | None],
        allows: Callable[[Sequence[Trial]], bool],
        is_pending: Callable[[Trial], bool],
    ) -> Trial | None:
        """Return the next trial to run, which this process claims; None if there is none.

        Args:
            suggest: Returns the settings of a new trial, by those so far; None if there is to be none.
            allows: Tells whether one more may run beside these.
            is_pending: Tells whether a trial of the file is to be run, if no process is at work on it.
        """
        with self.lock():
            trials = self.read()
            while allows(trials):
                for trial in trials:
                    if is_pending(trial) and self._claim(trial.run):
                        return trial
                if (settings := suggest(trials)) is None:
                    break
                known = tuple(one.number for one in trials if one.state != "running")
                numbers = [*(one.number for one in trials), *(int(row["trial"]) for row in self._kept)]
                number = max(numbers, default=-1) + 1
                trials.append(self._complete(Trial(number, settings, self._get_run(settings), known)))
                self._write(trials)  # one whose run exists is not run again
            self._write(trials)  # with what another process has made, and could not write any more
        return None

    def tell(self, trial: Trial) -> None:
        """Write what came of a trial, and give it free."""
        with self.lock():
            self._complete(trial)
            trials = {one.number: one for one in self.read()} | {trial.number: trial}
            self._write(sorted(trials.values(), key=lambda one: one.number))
            if claim := self._claims.pop(trial.run.folder.name, None):
                claim.release()

    def is_claimed(self, run: Run) -> bool:
        """Tell whether a process is at work on a trial."""
        if run.folder.name in self._claims or not run.folder.exists():
            return run.folder.name in self._claims
        if is_free := self._claim(run):
            self._claims.pop(run.folder.name).release()
        return not is_free

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from asking and telling."""
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self._lock):
            yield

    def _claim(self, run: Run) -> bool:
        """Claim a trial until this process ends. Tells whether no other process has."""
        run.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(run.folder / ".claim")
        with suppress(Timeout):
            lock.acquire(timeout=0)
            self._claims[run.folder.name] = lock
        return lock.is_locked

    def _get_run(self, settings: Settings) -> Run:
        text = " ".join(space.format_overrides(settings))
        if text not in self._runs:
            self._runs[text] = self._make_run(settings)
        return self._runs[text]

    def _complete(self, trial: Trial) -> Trial:
        """Fill in the results of a trial whose run has a record."""
        name = trial.run.folder.name
        path = self.path.parent / name / RECORD
        if name not in self._records and (record := trial.run.record or (load_record(path) if path.exists() else None)):
            self._records[name] = record
        if record := self._records.get(name):
            trial.state, trial.record, trial.error = "complete", record, ""
            trial.score, trial.epoch = record.validation[METRIC]["expected"], record.best_epoch
            trial.cpu_seconds = sum(record.cpu_seconds.values())
            trial.hit, trial.commit = f"{record.validation['hit@10']['expected']:.6f}", record.environment.commit or ""
        return trial

    def _read_row(self, row: dict[Any, str]) -> Trial | None:
        settings = _parse_settings(row["settings"])
        try:
            run = self._get_run({axis: value for axis, value in settings.items() if axis in self.axes})
        except UsageError:  # settings that the model no longer has
            return None
        if run.folder.name != row["run"]:
            return None
        known = parse_numbers(row["known"])
        trial = Trial(int(row["trial"]), self.read_settings(run), run, known, error=row["error"])
        if row["state"] not in STATES:
            raise ValueError(f"state {row['state']}")
        trial.state = row["state"]
        trial.score, trial.hit, trial.commit = float(row[METRIC] or -1), row["hit@10"], row["commit"]
        trial.epoch, trial.cpu_seconds = int(row["epoch"]) if row["epoch"] else None, float(row["cpu_seconds"] or 0)
        return self._complete(trial)

    def _is_of_other_axes(self, row: dict[Any, str]) -> bool:
        """Tell whether a row varies what this search does not, by this code and data."""
        try:
            return self._get_run(dict(_parse_settings(row["settings"]))).folder.name == row["run"]
        except (UsageError, LookupError, TypeError):  # settings that the model no longer has
            return False

    def _write(self, trials: Sequence[Trial]) -> None:
        """Write the file, and the records that are not published yet."""
        rows: list[dict[Any, Any]] = []
        best = select_best(trials)
        for trial in trials:
            settings = " ".join(space.format_overrides(trial.settings | self.shared))
            row: dict[str, Any] = {"trial": trial.number, "settings": settings, "state": trial.state}
            row |= {"known": format_numbers(trial.known), "error": trial.error, "epoch": trial.epoch}
            row |= {"run": trial.run.folder.name, "hit@10": trial.hit, "commit": trial.commit}
            if trial.state in ("complete", "pruned"):
                row[METRIC] = f"{trial.score:.6f}"
            if trial.state != "running":
                row["cpu_seconds"] = f"{trial.cpu_seconds:.1f}"
            folder = self.path.parent / trial.run.folder.name
            is_kept = trial.record is not None and (trial.record.history is not None or trial is best)
            if is_kept and not (folder / RECORD).exists():
                publish_run(trial.run, folder)
            rows.append(row)
        rows = sorted([*rows, *self._kept], key=lambda row: int(row["trial"]))
        write_csv(self.path, pd.DataFrame(rows, columns=COLUMNS, dtype=object))


@cache  # Hydra's grammar is slow, and each trial is read many times
def _parse_settings(text: str) -> Mapping[str, Any]:
    return dict(map(space.parse_override, text.split()))

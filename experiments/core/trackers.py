"""Let a file, TensorBoard, or a class of the user's follow the epochs of runs."""

import importlib
import inspect
import sys
from collections.abc import Callable, Sequence
from copy import deepcopy
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol, Self

import pandas as pd
from tqdm import tqdm

from sdmr.datasets.files import write_atomic
from sdmr.experiments.core.errors import ConfigError
from sdmr.experiments.core.messages import quote
from sdmr.harness.generators import keep_generators
from sdmr.harness.recommender import keep_settings

if TYPE_CHECKING:
    from sdmr.experiments.core.record import Record
    from sdmr.experiments.core.run import Run

History = list[dict[str, float]]
Watch = Callable[[History], None]  # sees the history before each epoch, and may raise StopTraining
NO_TRACKER = "none"


class Tracker(Protocol):
    """Follow a run. An instance follows one run."""

    def start(self, run: "Run") -> None:
        """Take the run before its first epoch: its `config`, `dataset` and `folder`."""

    def epoch(self, entry: dict[str, float]) -> None:
        """Take an epoch: `epoch` (0 before training), `loss`, `validation` (NDCG@10), seconds."""

    def end(self, record: "Record | None") -> None:
        """Take the saved record; None if the run has failed or was stopped."""


class CsvTracker:
    """Write the epochs to `epochs.csv` in the run's folder."""

    def start(self, run: "Run") -> None:
        self.path = run.folder / "epochs.csv"
        self.entries: History = []

    def epoch(self, entry: dict[str, float]) -> None:
        self.entries.append(entry)
        write_atomic(self.path, pd.DataFrame(self.entries).to_csv(index=False, lineterminator="\n").encode())

    def end(self, record: "Record | None") -> None:
        pass


class TensorBoardTracker:
    """Write the epochs and the final metrics to an event file in the run's folder."""

    def start(self, run: "Run") -> None:
        from torch.utils.tensorboard import SummaryWriter

        for path in run.folder.glob("events.out.tfevents.*"):  # all epochs are written anew
            path.unlink()
        self.writer = SummaryWriter(run.folder)

    def epoch(self, entry: dict[str, float]) -> None:
        for name in entry.keys() - {"epoch"}:
            self.writer.add_scalar(name, entry[name], int(entry["epoch"]))
        self.writer.flush()

    def end(self, record: "Record | None") -> None:
        for side in ("validation", "test") if record else ():
            for metric, values in (getattr(record, side) or {}).items():
                self.writer.add_scalar(f"{side}/{metric}", values["expected"])
        self.writer.close()


TRACKERS = {"csv": CsvTracker, "tensorboard": TensorBoardTracker}


def drop_tracker(overrides: Sequence[str]) -> list[str]:
    """Return the overrides that results may depend on."""
    return [override for override in overrides if not override.startswith("tracker=")]


def import_tracker(name: str) -> Any:
    """Return the class of a tracker. Raises ConfigError that says what is missing."""
    if name == "tensorboard" and find_spec(name) is None:
        raise ConfigError(f"tracker={name}: it is not installed; pip install 'sdmr-benchmark[trackers]'")
    module, _, attribute = name.rpartition(".")
    try:
        if name not in TRACKERS and not module:
            raise ImportError(f"there is no tracker {quote(name)}")
        tracker = TRACKERS.get(name) or getattr(importlib.import_module(module), attribute)
        for method in ("start", "epoch", "end"):
            inspect.signature(getattr(tracker, method)).bind(None, None)
    except (Exception, SystemExit) as error:  # a user's module may raise any when it is imported
        methods = "with the methods start(run), epoch(entry) and end(record)"
        raise ConfigError(
            f"tracker={quote(name)}: expected {', '.join([NO_TRACKER, *TRACKERS])}, or a class such as "
            f"my_module.MyTracker {methods} ({type(error).__name__}: {quote(error)})"
        ) from error
    return tracker


class Followers:
    """Pass the epochs of a run to its progress line, its tracker and its watch.

    No result depends on a tracker. It takes copies, generators of random numbers and settings of the process are
    restored after it, and one that raises an error is dropped with a warning.

    Raises ConfigError if the run's tracker cannot be made.
    """

    def __init__(self, run: "Run", watch: Watch | None, progress: Tracker | None) -> None:
        self.run, self.watch, self.progress = run, watch, progress
        self.record: Record | None = None  # of the run, once it is saved
        self._trackers = [progress] if progress else []
        self._n_entries, self._is_started = 0, False
        if run.tracker != NO_TRACKER:
            make_tracker = import_tracker(run.tracker)
            try:
                with keep_generators(), keep_settings(run.tracker):
                    self._trackers.append(make_tracker())
            except (Exception, SystemExit) as error:
                raise ConfigError(f"tracker={run.tracker}: {type(error).__name__}: {quote(error)}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_started:
            self._update((self.record.history or []) if self.record else [])
            self._call("end", self.record)

    def start(self) -> None:
        """Begin the run. Those of its parts have ended by then."""
        self._is_started = True
        self._call("start", self.run)

    def follow(self, history: History) -> None:
        """Take the history before an epoch. Raises StopTraining if the watch does."""
        self._update(history)
        if self.watch:
            self.watch(history)

    def _update(self, history: History) -> None:
        for entry in history[self._n_entries :]:
            self._call("epoch", entry)
        self._n_entries = max(self._n_entries, len(history))

    def _call(self, method: str, argument: Any) -> None:
        for tracker in list(self._trackers):
            try:
                with keep_generators(), keep_settings(type(tracker).__name__):
                    getattr(tracker, method)(deepcopy(argument))
            except (Exception, SystemExit) as error:
                self._trackers.remove(tracker)
                fault = f"{type(tracker).__name__}.{method} has failed ({type(error).__name__}: {quote(error)})"
                tqdm.write(f"{self.run.folder.name} goes on without its tracker: {fault}", file=sys.stderr)

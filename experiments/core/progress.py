"""Show the progress of runs. A terminal has a line for each, a log one a minute."""

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from shutil import get_terminal_size
from statistics import median

from tqdm import tqdm

from sdmr.experiments.core.arguments import flatten
from sdmr.experiments.core.record import Record
from sdmr.experiments.core.run import Run
from sdmr.experiments.core.trackers import History
from sdmr.harness.training.loop import find_best_epoch

SECONDS_A_LINE = 60  # between the plain lines of a run
MIN_LABEL = 20  # characters of it on a narrow terminal


class Progress:
    """Send the progress of a run and of its parts as text; a tracker."""

    def __init__(self, send: Callable[[str], None]) -> None:
        self.send = send

    def start(self, run: Run) -> None:
        self.name, settings = run.folder.name.rpartition("-")[0], flatten(run.config["model"])
        self.epochs, self.patience = (settings.get(f"optimization.{key}") for key in ("epochs", "patience"))
        if run.protocol.retrain:  # an earlier run has chosen fewer
            self.epochs = None
        self.history: History = []
        self.send(self.name)

    def epoch(self, entry: dict[str, float]) -> None:
        self.history.append(entry)
        self.send(f"{self.name} {describe_epoch(self.history, self.epochs, self.patience)}")

    def end(self, record: Record | None) -> None:
        pass


def describe_epoch(history: History, epochs: int | None, patience: int | None) -> str:
    """Return the latest epoch, its loss and validation NDCG@10, the best, and the time left.

    The time left is that until patience ends, if no epoch is better, and that of all epochs.
    """
    number, entry = len(history) - 1, history[-1]
    text = f"epoch {number}/{epochs}" if epochs else f"epoch {number}"
    if "loss" in entry:
        text += f", loss {entry['loss']:.3f}"
    if "validation" in entry:
        best = find_best_epoch(history)
        text += f", validation NDCG@10 {entry['validation']:.4f}, best {history[best]['validation']:.4f} ({best})"
        if number and epochs and patience:
            seconds = median(one["fit_seconds"] + one["rank_seconds"] for one in history[1:])
            counts = (min(epochs, best + patience) - number, epochs - number)
            times = dict.fromkeys(tqdm.format_interval(seconds * max(count, 0)) for count in counts)
            text += f", {'–'.join(times)} left"
    return text


def shorten_settings(text: str) -> str:
    """Return settings without the groups that most of them are in."""
    return re.sub(r"\bmodel\.(optimization\.)?", "", text)


def label_runs(command_lines: Sequence[Sequence[str]]) -> dict[tuple[str, ...], str]:
    """Return the settings of each run that not all of them share."""
    shared = set(command_lines[0]).intersection(*command_lines) if len(command_lines) > 1 else set()
    return {tuple(line): " ".join(one for one in line if one not in shared) for line in command_lines}


@contextmanager
def show_progress(label: str) -> Iterator[Callable[[str], None]]:
    """Yield what shows the progress of a run, which its label names."""
    label, last = shorten_settings(label), time.monotonic()
    with tqdm(bar_format="{desc}", leave=False, disable=None) as line:

        def show(text: str) -> None:
            nonlocal last
            if not line.disable:
                line.set_description_str(fit_line(label, text, get_terminal_size().columns - 1))
            elif time.monotonic() - last >= SECONDS_A_LINE:
                last = time.monotonic()
                print(fit_line(label, text, sys.maxsize), file=sys.stderr, flush=True)

        show("")
        yield show
    if not line.disable:
        sys.stderr.write("\r")  # tqdm leaves the cursor behind what it has erased


def fit_line(label: str, text: str, width: int) -> str:
    """Return label and text in at most `width` characters. Words go first, then the end of the label."""
    for word in ("validation ", "epoch "):
        if len(f"{label}: {text}") > width:
            text = text.replace(word, "")
    room = max(width - len(text) - 2, MIN_LABEL)
    name = label if len(label) <= room else f"{label[: room - 1]}…"
    return ": ".join(filter(None, [name, text]))[:width]


def hide_bars() -> None:
    """Keep tqdm from drawing bars in this process: others draw on the terminal, too.

    Its lock is one of threads, since one of processes would be a leak when this process is interrupted.
    """
    tqdm.set_lock(threading.RLock())
    sys.stderr.isatty = lambda: False  # type: ignore[method-assign]

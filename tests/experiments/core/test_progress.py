"""The progress of runs: what a line says, and when it is drawn or printed."""

import io
import sys
from pathlib import Path

import pytest

from sdmr.experiments.core import progress
from sdmr.experiments.core.progress import Progress, describe_epoch, fit_line, label_runs, show_progress
from tests.experiments.conftest import run_of

HISTORY: list[dict[str, float]] = [
    {"epoch": 0},
    {"epoch": 1, "loss": 0.5, "validation": 0.3, "fit_seconds": 9.0, "rank_seconds": 1.0},
    {"epoch": 2, "loss": 0.4, "validation": 0.2, "fit_seconds": 10.0, "rank_seconds": 2.0},
    {"epoch": 3, "loss": 0.3, "validation": 0.25, "fit_seconds": 500.0, "rank_seconds": 1.0},
]


def test_epoch_is_described_by_loss_validation_best_and_both_ends_of_the_time_left() -> None:
    """Twelve seconds an epoch: patience ends in 1 - 2 < 0, 1 or 8 epochs, all epochs in 7."""
    text = "epoch 3/10, loss 0.300, validation NDCG@10 0.2500, best 0.3000 (1), "
    assert describe_epoch(HISTORY, 10, 3) == f"{text}00:12–01:24 left"
    assert describe_epoch(HISTORY, 10, 20) == f"{text}01:24 left"
    assert describe_epoch(HISTORY[:1], 10, 3) == "epoch 0/10"


def test_epoch_without_validation_or_known_length_is_described_without_them() -> None:
    assert describe_epoch([{"epoch": 0}, {"epoch": 1, "loss": 0.5}], None, None) == "epoch 1, loss 0.500"
    assert describe_epoch(HISTORY[:2], None, None).endswith("best 0.3000 (1)")


@pytest.mark.parametrize(("retrain", "line"), [("false", "MFBPR epoch 0/9"), ("true", "MFBPR epoch 0")])
@pytest.mark.usefixtures("temporary_cache")
def test_number_of_all_epochs_is_not_known_of_a_retrained_run(
    retrain: str, line: str, tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    lines: list[str] = []
    tracker = Progress(lines.append)
    tracker.start(run_of(tmp_path, "model=mf-bpr", *overrides, "epochs=9", f"protocol.retrain={retrain}"))
    tracker.epoch({"epoch": 0})
    assert lines[-1] == line


def test_runs_are_labeled_by_the_settings_in_which_they_differ() -> None:
    lines = [("model=sdm", "seed=0", "epochs=2"), ("model=sdm", "seed=1", "epochs=2", "model.hops=2")]
    assert list(label_runs(lines).values()) == ["seed=0", "seed=1 model.hops=2"]
    assert label_runs(lines[:1]) == {lines[0]: "model=sdm seed=0 epochs=2"}


@pytest.mark.parametrize("width", [10, 30, 60, 80, 100, 200])
def test_line_fits_the_terminal_and_loses_words_before_numbers(width: int) -> None:
    label, text = "hops=2 learning_rate=0.003 dim=128", f"SDM {describe_epoch(HISTORY, 10, 3)}"
    line = fit_line(label, text, width)
    assert len(line) <= width
    assert line.startswith(label[: min(width, 15)])
    assert ("left" in line) == (width >= 100)
    assert (line == f"{label}: {text}") == (width == 200)
    assert (fit_line(label, "", 200), fit_line("", text, 200)) == (label, text)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_terminal_shows_one_line_that_is_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with show_progress("model.hops=2") as show:
        show("SDM epoch 1/9")
        show("SDM epoch 2/9")
    drawn = [text.strip() for text in terminal.getvalue().split("\r")]
    assert [text for text in drawn if text] == ["hops=2", "hops=2: SDM epoch 1/9", "hops=2: SDM epoch 2/9"]
    assert "\n" not in terminal.getvalue()


def test_log_has_a_plain_line_a_minute(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress("model.hops=2") as show:
        show("SDM epoch 1/9")
        monkeypatch.setattr(progress, "SECONDS_A_LINE", 0)  # as if one had passed
        show("SDM epoch 2/9")
        monkeypatch.setattr(progress, "SECONDS_A_LINE", 60)
        show("SDM epoch 3/9")
    assert capsys.readouterr().err == "hops=2: SDM epoch 2/9\n"

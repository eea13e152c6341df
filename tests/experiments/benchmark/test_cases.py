"""Cases compare equal work, and work without the references of a checkout."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sdmr.experiments.benchmark import growth, load, processes, references, steps
from sdmr.experiments.benchmark.cases import GROUPS, measure_device, measure_groups
from sdmr.experiments.benchmark.scale import SCALES, Scale
from sdmr.experiments.benchmark.steps import Steps, make_with_oracle
from sdmr.experiments.benchmark.timing import Cost
from sdmr.harness.evaluation import rank

TINY = SCALES["tiny"]


@pytest.fixture(autouse=True)
def no_progress_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "1")


def test_an_oracle_is_trained_and_ranked_as_its_model() -> None:
    """The seed and the steps are the same, so that both do the same work."""
    task = TINY.make_task()
    fast, literal = make_with_oracle("sdm", "model.dim=8", "epochs=3")
    assert type(literal).__name__ == "LiteralSDM"
    for model in (fast, literal):
        model.fit(task.training)
    losses = [[entry["loss"] for entry in model.history[1:]] for model in (fast, literal)]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    assert len(rank(literal, task.test).above) == len(task.test)


def test_a_model_without_oracle_is_made_alone() -> None:
    assert [type(model).__name__ for model in make_with_oracle("mf-bpr")] == ["MFBPR"]


def test_without_a_checkout_models_are_measured_alone_and_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (steps, references):
        monkeypatch.setattr(module, "ORACLES", tmp_path / "oracles")
    steps.load_oracles.cache_clear()
    entries = measure_groups(TINY, [GROUPS[name] for name in ("large", "released", "plain", "recbole")])
    steps.load_oracles.cache_clear()
    assert [(entry.setting["model"], entry.ratio) for entry in entries] == [("sdm", None)]
    first, *others = capsys.readouterr().out.splitlines()
    assert first.startswith("no ratios to other programs: they are in a checkout's tests")
    assert len(others) == 1


def test_sasrec_is_measured_against_a_plain_transformer_on_the_same_windows() -> None:
    entry = list(references.measure_plain(TINY))[-1]
    assert (entry.setting["model"], entry.setting["context_length"]) == ("sasrec", 8)
    assert entry.reference == "nn.TransformerEncoder"
    assert entry.ratio is not None


def test_a_python_without_recbole_leaves_its_ratios_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    assert list(references.measure_recbole(Scale(recbole=str(program)))) == []
    assert capsys.readouterr().out.startswith(f"no ratios to RecBole: {program} has none")


def test_ratios_to_recbole_are_those_of_its_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stand-in prints the seconds of epochs, and fails for one model."""
    program = tmp_path / "python"
    lines = ["#!/bin/sh", "[ $1 = -c ] && exit 0", "[ $4 = NeuMF ] && { echo no such model >&2; exit 1; }"]
    program.write_text("\n".join([*lines, "echo epochs", "echo [900, 600, 700]"]) + "\n")
    program.chmod(0o755)
    entries = list(references.measure_recbole(replace(TINY, recbole=str(program))))
    assert [entry.setting["model"] for entry in entries] == ["mf-bpr", "transrec"]
    n_steps = -(-len(TINY.make_task().training.instances) // 256)
    assert all(entry.reference_cost == Cost(600 / n_steps, None, (600 / n_steps,)) for entry in entries)
    assert capsys.readouterr().out == "no ratio to RecBole's NeuMF: no such model\n"


def test_a_step_on_a_device_is_compared_with_the_processors() -> None:
    entries = list(measure_device(TINY, "cpu"))
    assert [entry.setting["model"] for entry in entries] == ["mf-bpr", "sdp", "sdm"]
    assert {(entry.name, entry.reference) for entry in entries} == {("step on cpu", "cpu")}


def test_a_long_tail_is_measured_after_its_steps_on_both_catalogs(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[tuple[int, int]] = []
    run = growth.Steps.run

    def watch(one: Steps, n_steps: int) -> None:
        runs.append((one.model.items.num_embeddings if hasattr(one.model, "items") else 0, n_steps))
        run(one, n_steps)

    monkeypatch.setattr(growth.Steps, "run", watch)
    entry = next(growth.measure_long_tail(TINY))
    assert runs == [(50, 2), (100, 2), (50, 1), (100, 1)]
    assert entry.reference == "100 items"


def test_load_is_a_busy_process_for_each_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    class Process:
        def __init__(self, command: list[str]) -> None:
            calls.append(command[-1])

        def kill(self) -> None:
            calls.append("kill")

        def wait(self) -> None:
            calls.append("wait")

    monkeypatch.setattr(load.subprocess, "Popen", Process)
    monkeypatch.setattr(load.torch, "get_num_threads", lambda: 2)
    (entry,) = load.measure_load(TINY)
    assert calls == [load.BUSY] * 2 + ["kill", "wait"] * 2
    assert entry.setting["busy processes"] == 2
    assert entry.ratio is not None


def wait_and_list(folder: Path) -> list[str]:
    (folder / str(os.getpid())).touch()
    processes.wait_for_copies()
    return sorted(path.name for path in folder.iterdir())


def test_copies_start_together_and_each_has_its_process(tmp_path: Path) -> None:
    first, second = processes.run_copies(2, wait_and_list, tmp_path)
    assert first == second
    assert len(first) == 2  # each has waited for the other


@pytest.mark.slow
def test_memory_and_runs_side_by_side_are_measured_in_new_processes() -> None:
    for group in ("memory", "side_by_side"):
        for entry in GROUPS[group](TINY):
            assert entry.cost.seconds > 0
            assert group != "memory" or entry.setting["peak_mib"] > 100

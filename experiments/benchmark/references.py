"""Measure models against the rewritten released program, plain PyTorch, and RecBole.

A complete program runs in a process of its own, with the waiting policy of threads that is the fastest for it.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from sdmr.datasets.task import Task, Training
from sdmr.experiments.benchmark.processes import run_in_process
from sdmr.experiments.benchmark.scale import BATCH, Scale
from sdmr.experiments.benchmark.steps import ORACLES, Steps, draw_batches, load_reference, make_model
from sdmr.experiments.benchmark.synthetic import make_task
from sdmr.experiments.benchmark.timing import Cost, Entry, compare, make_entry, merge_costs
from sdmr.experiments.core.task_files import export_task

RECBOLE = {"mf-bpr": "BPR", "neumf": "NeuMF", "transrec": "TransRec"}
STEP = {"count": BATCH, "of": "interactions"}


def measure_released(scale: Scale) -> Iterator[Entry]:
    """Measure an epoch of SDM with sampling and ranking against the literal released program."""
    if not ORACLES.is_dir():
        return
    names, turns = ("sdm", "sdm-released"), []
    for _ in range(scale.few_turns):
        ours = [run_in_process(_run_epoch, scale, name) for name in names]
        with _let_threads_spin():  # also between the turns of a process, so that each turn has its own
            turns.append([*ours, run_in_process(_run_released, scale)])
    *costs, program_cost = (merge_costs(column) for column in zip(*turns, strict=True))
    for name, cost in zip(names, costs, strict=True):
        setting = {"count": len(_make_task(scale).training.instances), "of": "interactions", "model": name}
        yield make_entry("epoch vs released", setting, [cost, program_cost], "released program")


def _make_task(scale: Scale) -> Task:
    return make_task(*scale.released_shape, 99)


def _run_epoch(scale: Scale, name: str) -> Cost:
    """Return the cost of a model's epoch, and of ranking."""
    make_model(name).fit(scale.make_training(scale.few_steps))  # loads compiled loops, which a run does once
    return compare(1, partial(make_model(name).fit, _make_task(scale).training))[0]


@contextmanager
def _let_threads_spin() -> Iterator[None]:
    """Let the threads of processes that start meanwhile spin while they wait.

    This is the fastest for other programs.
    """
    before = os.environ.get("OMP_WAIT_POLICY")
    os.environ["OMP_WAIT_POLICY"] = "active"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_WAIT_POLICY"]
        else:
            os.environ["OMP_WAIT_POLICY"] = before


def _run_released(scale: Scale) -> Cost:
    """Return the cost of an epoch of the released program, and of ranking."""
    program = load_reference("literal_sdm.py")["Program"](_make_task(scale), 0)

    def run_epoch() -> None:
        program.run_epoch()
        program.evaluate()

    return compare(1, run_epoch)[0]


def measure_plain(scale: Scale) -> Iterator[Entry]:
    """Measure a training step against the same model in plain PyTorch."""
    reference = load_reference("plain.py")
    training = scale.make_training(scale.steps)
    for name, plain_class in reference.get("MODELS", {}).items():
        model = make_model(name)
        steps = Steps(model, training)
        others = reference["PlainSteps"](plain_class(training.n_users, training.n_items, model.dim))
        batches = draw_batches(training, model.context_length, model.optimization)
        calls = partial(steps.run, scale.steps), lambda: others.run(islice(batches, scale.steps))  # noqa: B023
        others.run(islice(batches, scale.steps))  # which touches memory first
        costs = compare(scale.turns, *calls, count=scale.steps)
        yield make_entry("step vs plain", STEP | {"model": name}, costs, "plain PyTorch")
    if reference:
        training = make_task(*scale.sequences, n_candidates=1).training
        yield measure_plain_sasrec(training, scale.sequence_length, scale.few_turns)


def measure_plain_sasrec(training: Training, length: int, turns: int) -> Entry:
    """Measure steps of SASRec against nn.TransformerEncoder, windows padded to one length, and the same loss."""
    reference, model = load_reference("plain.py"), make_model("sasrec", f"model.context_length={length}")
    steps, options = Steps(model, training), model.optimization
    transformer = reference["PlainSASRec"](
        training.n_items, model.dim, length, model.n_blocks, model.heads, model.dropout.p
    )
    epoch = reference["PlainSASRecEpoch"](transformer, training, options.batch_size, options.n_negatives)
    costs = compare(turns, partial(steps.run, steps.n_batches), epoch.run, count=steps.n_batches)
    setting = {"count": steps.count, "of": "interactions", "model": "sasrec", "context_length": length}
    return make_entry("step vs plain", setting, costs, "nn.TransformerEncoder")


def measure_recbole(scale: Scale) -> Iterator[Entry]:
    """Measure a training step against RecBole's, if the Python of `scale.recbole` has it."""
    if not ORACLES.is_dir():
        return
    if subprocess.run([scale.recbole, "-c", "import recbole"], capture_output=True).returncode:
        print(f"no ratios to RecBole: {scale.recbole} has none; set recbole=PYTHON to one that has RecBole 1.2.1")
        return
    task = scale.make_task()
    n_steps = -(-len(task.training.instances) // BATCH)
    with TemporaryDirectory() as folder:
        export_task(task, "synthetic", Path(folder))
        for name, theirs in RECBOLE.items():
            steps = Steps(make_model(name), task.training)
            ours, others = [], []
            try:
                for _ in range(scale.few_turns):
                    ours += compare(1, partial(steps.run, n_steps), count=n_steps)
                    seconds = _train_recbole(scale.recbole, Path(folder), theirs) / n_steps
                    others.append(Cost(seconds, turns=(seconds,)))
            except subprocess.CalledProcessError as error:
                print(f"no ratio to RecBole's {theirs}: {error.stderr.strip().splitlines()[-1]:.80}")
                continue
            costs = [merge_costs(ours), merge_costs(others)]
            yield make_entry("step vs RecBole", STEP | {"model": name, "their model": theirs}, costs, "RecBole")


def _train_recbole(python: str, folder: Path, model: str) -> float:
    """Return the least seconds of an epoch."""
    program = [python, str(ORACLES / "recbole_epochs.py"), str(folder), "synthetic", model]
    command = [*program, str(torch.get_num_threads())]
    with _let_threads_spin():
        result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
    return float(min(json.loads(result.stdout.splitlines()[-1])))

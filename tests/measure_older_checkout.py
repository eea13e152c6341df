"""Time training against the checkout of an older commit: `python -m tests.measure_older_checkout FOLDER`.

FOLDER is a checkout of d2b9968, whose modules and options have other names:

    git worktree add ../older d2b9968
    python -m tests.measure_older_checkout ../older

Each case trains an epoch with both, or a share of one, in turns, in a process each, on one thread. The printed ratio is
that of processor times, the best of three rounds. CMN++ has the neighbors of all training pairs.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROUNDS = 3
CASES = [  # model, data set, share of an epoch, dropout
    ("SDM", "ml_100k", 1.0, 0.0),
    ("SDM", "ml_100k", 1.0, 0.2),
    ("SDM", "ml_1m", 1.0, 0.0),
    ("Caser", "ml_1m", 1.0, 0.5),
    ("CMN", "ml_1m", 0.2, 0.0),
    ("NeuMF", "ml_1m", 1.0, 0.0),
    ("TransRec", "epinions", 1.0, 0.0),
    ("SDM", "epinions", 1.0, 0.0),
]
MODULES = {"SDM": "models.sdm", "Caser": "baselines.caser", "CMN": "baselines.cmn"}
MODULES |= {"NeuMF": "baselines.neumf", "TransRec": "baselines.transrec"}
READERS = {"ml_100k": "datasets.movielens", "ml_1m": "datasets.movielens", "epinions": "datasets.epinions"}


def main(folder: Path) -> None:
    for case in CASES:
        sides = {"older": _start(folder, case), "this": _start(None, case)}
        seconds: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(ROUNDS):
            for side, process in sides.items():
                seconds[side].append(_ask(process))
        best = {side: min(times) for side, times in seconds.items()}
        print(
            *case, f"ratio {best['this'] / best['older']:.2f}; {best['this']:.2f} and {best['older']:.2f} s", flush=True
        )
        for process in sides.values():
            process.terminate()


def _start(folder: Path | None, case: tuple[Any, ...]) -> subprocess.Popen[str]:
    code = "import sys, json; from tests.measure_older_checkout import serve; serve(*json.loads(sys.argv[1]))"
    command = [sys.executable, "-c", code, json.dumps([str(folder or ""), *case])]
    quiet = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "TQDM_DISABLE"), "1")
    return subprocess.Popen(command, env=os.environ | quiet, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _ask(process: subprocess.Popen[str]) -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("train\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def serve(folder: str, model: str, dataset: str, share: float, dropout: float) -> None:
    """Print the processor seconds of a training for each line of the standard input."""
    torch.set_num_threads(1)
    package = "" if folder else "sdmr."
    if folder:
        sys.path.insert(0, str(Path(folder).resolve()))

    def get(module: str, name: str) -> Any:
        return getattr(import_module(package + module), name)

    task = get("datasets.prepare", "prepare")(partial(get(READERS[dataset], ("" if folder else "load_") + dataset)))
    training, validation = task.training, "development" if folder else "validation"
    order = np.random.default_rng(0).permutation(len(training.instances))

    def select(number: int) -> Any:
        rows, matrix = order[:number], {"matrix" if folder else "_matrix": training.matrix}
        parts = [getattr(training.instances, name)[rows] for name in ("users", "targets")]
        instances = type(training.instances)(*parts, training.instances.contexts.take(rows))
        part = replace(training, instances=instances, **{validation: getattr(training, validation).take(np.arange(50))})
        vars(part).update(matrix)
        return part

    def make() -> Any:
        arguments: dict[str, Any] = {"dropout": dropout} if dropout else {}
        if model in ("CMN", "NeuMF"):
            arguments["gmf"] = get("baselines.neumf", "GMF")(**({"objective": "bpr"} if model == "CMN" else {}))
        if model == "NeuMF":
            arguments["mlp"] = get("baselines.neumf", "MLP")(layers=2)
        made = get(MODULES[model], model)(**arguments)
        name = "optimisation" if folder else "optimization"
        for one in (made, *made.parts.values()):
            setattr(one, name, replace(getattr(one, name), epochs=1))
        return made

    clock = _Clock(get(MODULES[model], model))
    loop = import_module("harness.training" if folder else "sdmr.harness.training.loop")
    vars(loop)["_train_epoch"] = clock.measure(loop._train_epoch, is_epoch=True)
    if not folder:
        optimizer = get("harness.training.optimizer", "Optimizer")
        optimizer.catch_up = clock.measure(optimizer.catch_up)
    make().fit(select(2_000))  # compiles the loops
    part = select(int(share * len(order)))
    for _ in sys.stdin:
        clock.seconds = 0.0
        make().fit(part)
        print(clock.seconds, flush=True)


class _Clock:
    """Sum the processor seconds of functions, after an epoch of a class has begun; parts are trained before."""

    def __init__(self, counted: type) -> None:
        self.counted, self.seconds, self.is_on = counted, 0.0, False

    def measure(self, function: Callable[..., Any], is_epoch: bool = False) -> Callable[..., Any]:
        def measured(*arguments: Any) -> Any:
            if is_epoch:
                self.is_on = type(arguments[0]) is self.counted
            start = time.process_time()
            result = function(*arguments)
            self.seconds += (time.process_time() - start) * self.is_on
            return result

        return measured


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Measure memory, and what runs beside each other cost."""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial

import torch

from sdmr.experiments.benchmark.processes import run_copies, run_in_process, wait_for_copies
from sdmr.experiments.benchmark.scale import Scale
from sdmr.experiments.benchmark.steps import Steps, make_model, make_with_oracle, shorten_keys
from sdmr.experiments.benchmark.timing import Cost, Entry, compare, make_entry, merge_costs
from sdmr.harness.records import get_peak_memory

BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"  # ends with the benchmark, too


def measure_memory(scale: Scale) -> Iterator[Entry]:
    """Measure the largest resident size of a process that trains, and that of the oracle's."""
    for name, overrides in (("mf-bpr", ()), ("sdp", ()), ("sdm", ()), ("sdm", scale.large)):
        numbers = range(len(make_with_oracle(name)))
        results = [run_in_process(_train_for_memory, scale, name, overrides, number) for number in numbers]
        peaks = {key: round(peak) for key, (_, peak) in zip(("peak_mib", "oracle_peak_mib"), results, strict=False)}
        yield make_entry("memory", {"model": name, **shorten_keys(overrides), **peaks}, [Cost(results[0][0])])


def _train_for_memory(scale: Scale, name: str, overrides: Sequence[str], number: int) -> tuple[float, float]:
    """Return a step's seconds and the peak memory of `make_with_oracle(name)[number]`."""
    steps = Steps(make_with_oracle(name, *overrides)[number], scale.make_training(scale.few_steps))
    return compare(1, partial(steps.run, scale.few_steps), count=scale.few_steps)[0].seconds, get_peak_memory()


def measure_side_by_side(scale: Scale) -> Iterator[Entry]:
    """Measure runs at once, one on each thread, against one after another on all threads."""
    threads = torch.get_num_threads()
    for name in ("mf-bpr", "sdm"):
        together = max(run_copies(threads, _train_on_threads, scale, name, 1))
        sequential = threads * run_in_process(_train_on_threads, scale, name, threads)
        costs = [Cost(together), Cost(sequential)]
        reference = f"one after another, {threads} threads each"
        yield make_entry("side by side", {"model": name, "runs": threads}, costs, reference)


def _train_on_threads(scale: Scale, name: str, threads: int) -> float:
    """Return the seconds of a step, as a mean over a long time."""
    torch.set_num_threads(threads)
    steps, n_steps = Steps(make_model(name), scale.make_training(scale.steps)), scale.turns**2 * scale.steps
    wait_for_copies()
    return compare(1, partial(steps.run, n_steps), count=n_steps)[0].seconds


def measure_load(scale: Scale) -> Iterator[Entry]:
    """Measure a step of SDM alone, and beside a busy process for each thread.

    The ratio says how many times as long the step takes there. On a machine with a core for each thread, 2 is its
    share.
    """
    steps = Steps(make_model("sdm"), scale.make_training(scale.steps))
    call, n_busy = partial(steps.run, scale.few_steps), torch.get_num_threads()
    alone, loaded = [], []
    for _ in range(scale.few_turns):
        alone += compare(1, call, count=scale.few_steps)
        processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(n_busy)]
        try:
            time.sleep(0.5)  # until they are busy
            loaded += compare(1, call, count=scale.few_steps)
        finally:
            for process in processes:
                process.kill()
                process.wait()
    costs = [merge_costs(alone), merge_costs(loaded)]
    yield make_entry("load", {"model": "sdm", "busy processes": n_busy}, costs, "beside them")

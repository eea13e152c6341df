"""Run the code of commit d2b9968 and that of this checkout on the same cases, and compare their outputs bit for bit.

    python tests/safety_net/compare.py [--only CASE ...] [--jobs N] [--list]

The old code is checked out into a temporary worktree. Its outputs are kept in runs/safety-net/old/, so that a second
call runs the new code only. The outputs of the new code stay in runs/safety-net/new/. Compared are the files of the
split and the candidates, every number of a record (metrics, the validation curve, the resolved settings), ranks, and
parameters in order. `names.TABLE` translates old names, and `names.NOT_COMPARED` lists what is not compared. The exit
status is 1 if anything differs or fails.
"""

import argparse
import fnmatch
import queue
import signal
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import data
from cases import Case, list_cases
from differences import list_differences
from outputs import load_old_outputs, run_case
from sides import FOLDER, NEW, OLD, Failed, Side


@dataclass
class Outcome:
    """What became of a case."""

    case: Case
    state: str  # "equal", "DIFFERS", "FAILED" or "skipped"
    details: tuple[str, ...] = ()  # what differs, or why it was not compared
    folders: tuple[Path, ...] = ()  # old and new outputs

    def __str__(self) -> str:
        first = f": {self.details[0]}" if self.details else ""
        more = f" (and {len(self.details) - 1} more)" if self.details[1:] else ""
        return f"{self.state:8} {self.case.name}{first}{more}"


def compare(case: Case, old: Side, new: Side) -> Outcome:
    """Run a case on both sides."""
    if case.required and data.find_real_folder(case.required) is None:
        return Outcome(case, "skipped", (f"{case.required} is neither in SDMR_DATA nor in the cache",))
    side, new_folder = old, FOLDER / "new" / case.name
    try:
        old_folder = load_old_outputs(case, old)
        side = new
        run_case(case, new, new_folder)
        details = list_differences(case.output, old_folder, new_folder, translated=True, side=new)
    except Exception as error:  # no error must keep the other cases from being compared
        message = str(error) if isinstance(error, Failed) else f"{type(error).__name__}: {error}"
        return Outcome(case, "FAILED", (f"{side.name}: {message}",))
    return _make_outcome(case, details, (old_folder, new_folder))


def compare_twins(outcome: Outcome, other: Outcome, old: Side, new: Side) -> Outcome:
    """Compare a case with the one that must have the same results, on each side."""
    if not outcome.folders or not other.folders:
        return outcome
    details = list(outcome.details)
    for side, one, same in zip((old, new), other.folders, outcome.folders, strict=True):
        differences = list_differences(outcome.case.output, one, same, translated=False, side=side)
        details += [f"{side.name}, against {other.case.name}: {each}" for each in differences]
    return _make_outcome(outcome.case, details, outcome.folders)


def _make_outcome(case: Case, details: list[str], folders: tuple[Path, ...]) -> Outcome:
    return Outcome(case, "DIFFERS" if details else "equal", tuple(details), folders)


def select_cases(patterns: list[str] | None) -> list[Case]:
    """Return the cases that match a pattern, with those that they must be the same as."""
    named_cases = {case.name: case for case in list_cases()}
    selected = {
        name for name in named_cases if not patterns or any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
    }
    if not selected:
        sys.exit(f"no case is called {' or '.join(patterns or [])}; --list prints the names")
    selected |= {twin for name in selected if (twin := named_cases[name].same_as)}
    return [case for case in named_cases.values() if case.name in selected]


def run_all(selected: list[Case], jobs: int, old: Side, new: Side) -> list[Outcome]:
    """Run every case, `jobs` at a time. Those that take longest come first."""
    outcomes: dict[str, Outcome] = {}
    pending: queue.SimpleQueue[Case] = queue.SimpleQueue()
    for case in sorted(selected, key=lambda case: (case.required is None, not case.is_killed)):
        pending.put(case)

    def work() -> None:
        while True:
            try:
                case = pending.get_nowait()
            except queue.Empty:
                return
            outcomes[case.name] = compare(case, old, new)
            if case.same_as is None:
                print(outcomes[case.name], flush=True)

    with ThreadPoolExecutor(jobs) as threads:
        try:
            for done in [threads.submit(work) for _ in range(jobs)]:
                done.result()
        finally:  # after an interrupt, the running cases are the last ones
            while not pending.empty():
                pending.get()
    for case in selected:
        if case.same_as is not None:
            outcomes[case.name] = compare_twins(outcomes[case.name], outcomes[case.same_as], old, new)
            print(outcomes[case.name], flush=True)
    return [outcomes[case.name] for case in selected]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", metavar="CASE", help='names of cases, or patterns such as "sdm/*"')
    parser.add_argument("--jobs", type=int, default=2, help="cases side by side, each on one thread")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    arguments = parser.parse_args()
    selected = select_cases(arguments.only)
    if arguments.list:
        print(*(case.name for case in selected), sep="\n")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the worktree is removed
    data.write_datasets(FOLDER / "data")
    with tempfile.TemporaryDirectory(prefix="safety-net-cache-") as cache, ExitStack() as stack:
        old = stack.enter_context(Side("old", OLD, Path(cache, "old")))
        new = stack.enter_context(Side("new", NEW, Path(cache, "new")))
        outcomes = run_all(selected, arguments.jobs, old, new)
    failed = [outcome for outcome in outcomes if outcome.state in ("DIFFERS", "FAILED")]
    print(*(["", "Not equal:", *failed] if failed else []), sep="\n")
    counts = Counter(outcome.state for outcome in outcomes)
    print(", ".join(f"{counts[state]} {state}" for state in ("equal", "DIFFERS", "FAILED", "skipped")))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

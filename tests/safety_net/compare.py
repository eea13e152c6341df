"""Run the code of commit d2b9968 and that of this checkout on the same cases, and compare their outputs bit for bit.

    python tests/safety_net/compare.py [--only CASE ...] [--jobs N] [--list]

The old code is checked out into a temporary worktree. Its outputs are kept in runs/safety-net/old/, so that a second
call runs the new code only. The outputs of the new code stay in runs/safety-net/new/. Compared are the files of the
split and the candidates, every number of a record (metrics, the validation curve, the resolved settings), ranks, and
parameters in order. `names.TABLE` translates old names, and `names.NOT_COMPARED` lists what is not compared. The exit
status is 1 if anything differs or fails.
"""

from __future__ import annotations

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
<<<<<<< HEAD
import names
import numpy as np
import pandas as pd
import torch
import variants
import yaml
from cases import Case, cases

OLD_COMMIT = "d2b9968"
CHECKOUT = Path(__file__).resolve().parents[2]
PLACE = CHECKOUT / "runs" / "safety-net"
SECONDS = 300  # at most, of a command
ENVIRONMENT = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
ENVIRONMENT |= {"CUDA_VISIBLE_DEVICES": "", "PYTHONHASHSEED": "0", "HYDRA_FULL_ERROR": "1"}


@dataclass(frozen=True)
class Commands:
    """How one side is called: `python -m MODULE ARGUMENT … OVERRIDE …`, and the modules to import beforehand."""

    run: tuple[str, ...]
    export: tuple[str, ...]
    imported: tuple[str, ...]
    package: str | None = None  # what the checkout's folder is called as a package, where its parent is not importable


OLD = Commands(("experiments.run",), ("experiments.export",), ("experiments.run", "experiments.export"))
# As the code of this checkout is called today.
_RUN, _EXPORT = "sdmr.experiments.run", "sdmr.experiments.export"
NEW = Commands((_RUN,), (_EXPORT,), (_RUN,), package="sdmr")


class Failed(Exception):
    """A case cannot be run on one side."""


class Worker:
    """A process with the code of one checkout, which runs one command after the other (`worker.py`)."""

    def __init__(self, checkout: Path, commands: Commands, cache: Path) -> None:
        on_path = checkout if commands.package is None else _linked(checkout, commands.package, cache.parent)
        environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(on_path), "SDMR_CACHE": str(cache)}
        environment.pop("SDMR_DATA", None)
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("worker.py")), *commands.imported],
            cwd=PLACE / "data",
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for module, path in self._answer()["imported"].items():
            if not Path(path).resolve().is_relative_to(checkout.resolve()):
                raise Failed(f"{module} is imported from {path}, not from {checkout}")

    def run(
        self, command: tuple[str, ...], arguments: list[str], folder: Path, until: str | None = None, **more: str
    ) -> int:
        """The exit status of a command that writes its output into `folder`."""
        module, *first = command
        job = {"module": module, "arguments": [*first, *arguments], "environment": more}
        job |= {
            "out": str(folder / "out.txt"),
            "errors": str(folder / "errors.txt"),
            "until": until,
            "seconds": SECONDS,
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return self._answer()["code"]

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        line = self._process.stdout.readline()
        if not line:
            raise Failed(f"the process that runs commands has ended: {_last_line(self._process.stderr.read())}")
        return json.loads(line)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def _linked(checkout: Path, package: str, folder: Path) -> Path:
    """A folder in which the checkout is called as the package is, whatever its own name, and whatever is installed."""
    link = folder / "packages" / package
    link.parent.mkdir(exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(checkout, target_is_directory=True)
    return link.parent


class Side:
    """Old or new: its checkout, made when first needed, and a worker for each thread."""

    def __init__(self, name: str, commands: Commands, cache: Path) -> None:
        self.name, self.commands = name, commands
        self._cache, self._checkout = cache, None if name == "old" else CHECKOUT
        self._workers: dict[int, Worker] = {}
        self._failure: Failed | None = None
        self._lock, self._stack = threading.Lock(), ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers.values():
            worker.close()
        self._stack.close()

    @property
    def is_new(self) -> bool:
        return self.name == "new"

    def worker(self) -> Worker:
        """This thread's."""
        here = threading.get_ident()
        with self._lock:
            if self._failure:  # what cannot be imported once is not tried again for every case
                raise self._failure
            if self._checkout is None:
                self._checkout = self._stack.enter_context(old_worktree())
            if here not in self._workers:
                try:
                    self._workers[here] = Worker(self._checkout, self.commands, self._cache)
                except Failed as error:
                    self._failure = error
                    raise
            return self._workers[here]

    def overrides(self, old: tuple[str, ...]) -> list[str]:
        return variants.choose_class(names.overrides(old)) if self.is_new else list(old)

    def file(self, old: str) -> str:
        return names.file(old) if self.is_new else old

    def key(self, old: str) -> str:
        """A key of a record or a checkpoint."""
        return (names.override(old) or old) if self.is_new else old


@contextmanager
def old_worktree() -> Iterator[Path]:
    """The old code, checked out for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="safety-net-") as folder:
        place = Path(folder, "old")
        _git("worktree", "add", "--quiet", "--detach", str(place), OLD_COMMIT)
        try:
            yield place
        finally:
            _git("worktree", "remove", "--force", str(place))


def _git(*arguments: str) -> None:
    done = subprocess.run(["git", "-C", str(CHECKOUT), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"git {' '.join(arguments)}: {_last_line(done.stderr)}")


# Running


def run_case(case: Case, side: Side, folder: Path) -> None:
    """Make the outputs of a case in an empty folder. Raises Failed if a command does not end well."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    more = {"SDMR_DATA": str(data.real_folder(case.needs))} if case.needs else {}
    if case.killed:
        _run_until_killed(case, side, folder)
    for overrides in case.commands:
        command = side.commands.export if case.kind == "export" else side.commands.run
        arguments = side.overrides((*overrides, *_own(case.kind, folder)))
        arguments += ["--cfg", "job", "--resolve"] if case.kind == "config" else []
        code = side.worker().run(command, arguments, folder, **more)
        if code:
            raise Failed(f"exit status {code} ({_last_line((folder / 'errors.txt').read_text())})")
    if case.killed:
        _check_resumed(side, folder)


def _own(kind: str, folder: Path) -> tuple[str, ...]:
    """Overrides that say where to write."""
    of_kind = {"run": ("runs",), "export": ("runs", "to"), "config": ()}
    return tuple(f"{name}={folder / name}" for name in of_kind[kind])


def _run_until_killed(case: Case, side: Side, folder: Path) -> None:
    """Begin the first command, and kill it when it has written its first checkpoint, which is copied."""
    checkpoints = f"*/*/{side.file('checkpoint.pt')}"
    arguments = side.overrides((*case.commands[0], *_own(case.kind, folder)))
    for _ in range(5):
        shutil.rmtree(folder / "runs", ignore_errors=True)
        code = side.worker().run(side.commands.run, arguments, folder, until=str(folder / "runs" / checkpoints))
        found = sorted((folder / "runs").glob(checkpoints))
        if code == -signal.SIGKILL and len(found) == 1 and not found[0].with_name(side.file("record.json")).exists():
            shutil.copy(found[0], folder / "checkpoint.pt")
            (folder / "cut-off.txt").write_text(str(found[0].parent.relative_to(folder)))
            return
    raise Failed(f"could not be killed between two epochs (exit status {code}, {len(found)} checkpoints)")


def _check_resumed(side: Side, folder: Path) -> None:
    """Raise Failed unless the run has gone on from its checkpoint: then it has these epochs, their seconds included."""
    key, of_run = side.key("history"), folder / (folder / "cut-off.txt").read_text()
    before = torch.load(folder / "checkpoint.pt", weights_only=True)[key]
    after = json.loads((of_run / side.file("record.json")).read_text())[key]
    if len(before) < 2 or len(after) <= len(before) or after[: len(before)] != before:
        raise Failed(f"a run that was killed after {len(before) - 1} epochs has not gone on from there")


def kept(case: Case, old: Side) -> Path:
    """The folder with the old outputs of a case, made if they are not there."""
    folder = PLACE / "old" / _key(case)
    if not folder.exists():
        begun = folder.with_name(f".{folder.name}")
        run_case(case, old, begun)
        (begun / "case.json").write_text(json.dumps([case.name, case.commands], indent=1) + "\n")
        begun.rename(folder)
    return folder


def _key(case: Case) -> str:
    """Of what the old outputs depend on."""
    versions = [metadata.version(name) for name in ("torch", "numpy", "numba", "scipy", "implicit", "fastslim")]
    contents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted((PLACE / "data").iterdir())]
    machine = [platform.python_version(), platform.machine(), _processor()]
    parts = [OLD_COMMIT, case.kind, case.killed, case.commands, versions, contents, machine]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    return next((line for line in lines if line.startswith("model name")), platform.processor())


# Comparing


def differences(kind: str, one: Path, other: Path, translated: bool, side: Side) -> list[str]:
    """What differs between two folders of outputs: `one` in old names if `translated`, else both are of one side."""
    if kind == "export":
        return list(_differing_files(one / "to", other / "to", translated))
    if kind == "config":
        first, second = (yaml.safe_load((folder / "out.txt").read_text()) for folder in (one, other))
        return list(_differing(_translate_printed(first) if translated else first, second))
    file = side.file("record.json")
    first_runs = _runs(one, "record.json" if translated else file, translated)
    return [
        told
        for pair in _pairs(first_runs, _runs(other, file, False))
        for told in _differing_runs(*pair, translated, side)
    ]


def _runs(folder: Path, file: str, translated: bool) -> list[tuple[dict[str, Any], Path]]:
    """Every record, less what is not compared, and its folder."""
    paths = {path.parent.name: path for path in sorted((folder / "runs").rglob(file))}
    records = {name: json.loads(path.read_text()) for name, path in paths.items()}
    if translated:
        records = {
            name: names.tree(record, names.RECORD) for name, record in variants.translate_models(records).items()
        }
    found = []
    for name, path in paths.items():
        record = names.without(records[name], names.NOT_COMPARED)
        for names_runs in names.RUN_NAMES:
            record = names.changed(record, names_runs, lambda name: name.rpartition("-")[0])
        found.append((record, path.parent))
    return found


def _translate_printed(config: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that an old command printed under today's names."""
    return names.tree({**config, "model": variants.translate_model(config["model"])}, names.PRINTED)


def _pairs(ones: list[Any], others: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Runs of the same settings; the rest in the order of their names, None where there is none."""

    def settings(run: Any) -> str:
        return json.dumps([run[0].get(key) for key in ("model", "config")], sort_keys=True)

    left = {settings(run): run for run in others}
    unpaired = []
    for run in ones:
        if settings(run) in left:
            yield run, left.pop(settings(run))
        else:
            unpaired.append(run)
    rest = list(left.values())
    for number in range(max(len(unpaired), len(rest))):
        yield (unpaired[number] if number < len(unpaired) else None, rest[number] if number < len(rest) else None)


def _differing_runs(one: Any, other: Any, translated: bool, side: Side) -> Iterator[str]:
    if one is None or other is None:
        of, there = ("first", other) if one is None else ("second", one)
        yield f"no such run on the {of} side: {there[1].name}"
        return
    (record, folder), (other_record, other_folder) = one, other
    where = f"{other_folder.name}: "
    for told in _differing(record, other_record):
        yield where + told
    for file in ("ranks.npz", "model.pt"):
        path, other_path = folder / (file if translated else side.file(file)), other_folder / side.file(file)
        if path.exists() != other_path.exists():
            yield f"{where}{file} is there: {path.exists()}, {other_path.exists()}"
        elif path.exists():
            read = _arrays if file == "ranks.npz" else _parameters
            for told in read(path, other_path, translated):
                yield f"{where}{file}: {told}"


def _arrays(one: Path, other: Path, translated: bool) -> Iterator[str]:
    """Differences between two files of arrays."""
    with np.load(one) as first, np.load(other) as second:
        ones, others = dict(first), dict(second)
    ones = {(names.override(name) or name) if translated else name: array for name, array in ones.items()}
    if ones.keys() != others.keys():
        yield f"arrays {sorted(ones)}, {sorted(others)}"
    for name in ones.keys() & others.keys():
        yield from _differing_arrays(name, ones[name], others[name])


def _parameters(one: Path, other: Path, translated: bool) -> Iterator[str]:
    """Differences between two models' tensors, in order, whatever their names."""
    key = names.override("parameters") or "parameters"
    states = [torch.load(path, weights_only=True) for path in (one, other)]
    state = states[0]["parameters" if translated else key]
    ones, others = list(_tensors(state)), list(_tensors(states[1][key]))
    if len(ones) != len(others):
        yield f"{len(ones)} tensors, {len(others)}"
    for (name, first), (other_name, second) in zip(ones, others, strict=False):
        yield from _differing_arrays(f"{name} ({other_name})" if name != other_name else name, first, second)


def _tensors(state: Any, name: str = "") -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(state, torch.Tensor):
        yield name, state.numpy()
    else:
        for key, value in state.items():
            yield from _tensors(value, f"{name}/{key}" if name else str(key))


def _differing_arrays(name: str, one: np.ndarray, other: np.ndarray) -> Iterator[str]:
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        yield f"{name} is {one.dtype}{list(one.shape)}, {other.dtype}{list(other.shape)}"
    elif one.tobytes() != other.tobytes():
        differs = np.ascontiguousarray(one).view(np.uint8).reshape(one.size, -1)
        differs = (differs != np.ascontiguousarray(other).view(np.uint8).reshape(one.size, -1)).any(axis=1)
        at = int(differs.argmax())
        yield f"{name} differs in {differs.sum()} of {one.size} places, at {at}: {one.flat[at]!r}, {other.flat[at]!r}"


def _differing_files(one: Path, other: Path, translated: bool) -> Iterator[str]:
    """Differences between two folders of exported files."""
    ones = {path.relative_to(one): path for path in one.rglob("*") if path.is_file()}
    if translated:
        ones = {path.with_name(names.file(path.name)): at for path, at in ones.items()}
    others = {path.relative_to(other): path for path in other.rglob("*") if path.is_file()}
    if ones.keys() != others.keys():
        yield f"files {sorted(map(str, ones))}, {sorted(map(str, others))}"
    for name in sorted(ones.keys() & others.keys()):
        if name.suffix == ".parquet":
            first, second = pd.read_parquet(ones[name]), pd.read_parquet(others[name])
            yield from _differing_tables(str(name), _translated(first) if translated else first, second)
        elif ones[name].read_bytes() != others[name].read_bytes():
            lines = zip(ones[name].read_text().splitlines(), others[name].read_text().splitlines(), strict=False)
            first_pair = next((pair for pair in lines if pair[0] != pair[1]), ("", "(other length)"))
            yield f"{name}: {first_pair[0][:80]!r}, {first_pair[1][:80]!r}"


def _translated(table: pd.DataFrame) -> pd.DataFrame:
    """A table under the new names, of columns and of the texts in them."""
    for column in table.select_dtypes(exclude=["number", "bool"]):
        known = {value: next(iter(names.tree({column: value}).values())) for value in table[column].unique()}
        table[column] = table[column].map(known)
    return table.rename(columns=lambda column: names.override(column) or column)


def _differing_tables(name: str, one: pd.DataFrame, other: pd.DataFrame) -> Iterator[str]:
    if list(one.columns) != list(other.columns) or len(one) != len(other):
        yield f"{name}: {list(one.columns)} × {len(one)}, {list(other.columns)} × {len(other)}"
        return
    for column in one.columns:
        if not (same := one[column].to_numpy() == other[column].to_numpy()).all():
            at = int((~same).argmax())
            yield f"{name}: {column} of row {at}: {one[column][at]!r}, {other[column][at]!r}"


def _differing(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Every difference between two values of JSON, numbers to the last bit and of the same kind."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in (*one, *(key for key in other if key not in one)):
            yield from _differing(one.get(key, "(nothing)"), other.get(key, "(nothing)"), f"{path}.{key}".lstrip("."))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, pair in enumerate(zip(one, other, strict=True)):
            yield from _differing(*pair, f"{path}.{number}")
    elif type(one) is not type(other) or one != other:
        yield f"{path}: {one!r}, {other!r}"


# The command
=======
from cases import Case, list_cases
from differences import list_differences
from outputs import load_old_outputs, run_case
from sides import FOLDER, NEW, OLD, Failed, Side
>>>>>>> net2


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
    by_name = {case.name: case for case in list_cases()}
    selected = {name for name in by_name if not patterns or any(fnmatch.fnmatch(name, pattern) for pattern in patterns)}
    if not selected:
        sys.exit(f"no case is called {' or '.join(patterns or [])}; --list prints the names")
    selected |= {twin for name in selected if (twin := by_name[name].same_as)}
    return [case for case in by_name.values() if case.name in selected]


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

"""Run the commands of a case on one side, and keep what the old side wrote."""

import hashlib
import json
import platform
import shutil
import signal
from importlib import metadata
from pathlib import Path

import data
import torch
from cases import Case
from sides import FOLDER, OLD_COMMIT, Failed, Side, get_last_line


def run_case(case: Case, side: Side, folder: Path) -> None:
    """Make the outputs of a case in an empty folder. Raises Failed if a command fails."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    variables = {"SDMR_DATA": str(data.find_real_folder(case.required))} if case.required else {}
    if case.is_killed:
        _run_until_killed(case, side, folder)
    for overrides in case.commands:
        command = side.commands.export if case.output == "export" else side.commands.run
        arguments = side.name_overrides((*overrides, *_list_folders(case.output, folder)))
        arguments += ["--cfg", "job", "--resolve"] if case.output == "config" else []
        code = side.get_worker().run(command, arguments, folder, **variables)
        if code:
            raise Failed(f"exit status {code} ({get_last_line((folder / 'errors.txt').read_text())})")
    if case.is_killed:
        _check_resumed(side, folder)


def _list_folders(output: str, folder: Path) -> tuple[str, ...]:
    """Return the overrides that say where to write."""
    settings = {"run": ("runs",), "export": ("to",), "config": ()}[output]
    return tuple(f"{name}={folder / name}" for name in settings)


def _run_until_killed(case: Case, side: Side, folder: Path) -> None:
    """Start the first command, kill it when it has written its first checkpoint, and copy the checkpoint."""
    pattern = f"*/*/{side.name_file('checkpoint.pt')}"
    arguments = side.name_overrides((*case.commands[0], *_list_folders(case.output, folder)))
    for _ in range(5):
        shutil.rmtree(folder / "runs", ignore_errors=True)
        code = side.get_worker().run(side.commands.run, arguments, folder, until=str(folder / "runs" / pattern))
        paths = sorted((folder / "runs").glob(pattern))
        is_alone = len(paths) == 1 and not paths[0].with_name(side.name_file("record.json")).exists()
        if code == -signal.SIGKILL and is_alone:
            shutil.copy(paths[0], folder / "checkpoint.pt")
            (folder / "cut-off.txt").write_text(str(paths[0].parent.relative_to(folder)))
            return
    raise Failed(f"could not be killed between two epochs (exit status {code}, {len(paths)} checkpoints)")


def _check_resumed(side: Side, folder: Path) -> None:
    """Raise Failed unless the run has continued from its checkpoint, with these epochs and their seconds."""
    key, run_folder = side.name_key("history"), folder / (folder / "cut-off.txt").read_text()
    before = torch.load(folder / "checkpoint.pt", weights_only=True)[key]
    after = json.loads((run_folder / side.name_file("record.json")).read_text())[key]
    if len(before) < 2 or len(after) <= len(before) or after[: len(before)] != before:
        raise Failed(f"a run that was killed after {len(before) - 1} epochs has not continued from there")


def load_old_outputs(case: Case, old: Side) -> Path:
    """Return the folder with the old outputs of a case, made if they are missing."""
    folder = FOLDER / "old" / _make_key(case)
    if not folder.exists():
        unfinished = folder.with_name(f".{folder.name}")
        run_case(case, old, unfinished)
        (unfinished / "case.json").write_text(json.dumps([case.name, case.commands], indent=1) + "\n")
        unfinished.rename(folder)
    return folder


def _make_key(case: Case) -> str:
    """Return a key of all that the old outputs depend on."""
    versions = [metadata.version(name) for name in ("torch", "numpy", "numba", "scipy", "implicit", "fastslim")]
    contents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted((FOLDER / "data").iterdir())]
    machine = [platform.python_version(), platform.machine(), _name_processor()]
    fields = [OLD_COMMIT, case.output, case.is_killed, case.commands, versions, contents, machine]
    return hashlib.sha256(json.dumps(fields).encode()).hexdigest()[:16]


def _name_processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    return next((line for line in lines if line.startswith("model name")), platform.processor())

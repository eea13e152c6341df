"""The README is true: its programs are short, and they and every command in it run, on small data for one epoch."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from sdmr.experiments import chosen, jobs
from sdmr.experiments.figures import collect
from sdmr.experiments.jobs import Outcome
from sdmr.experiments.tables import accuracy

CHECKOUT = Path(__file__).parents[1]
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", (CHECKOUT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
PROGRAMS = {text.split("\n", 1)[0].removeprefix("# "): text for kind, text in BLOCKS if kind == "python"}
COMMANDS = [
    command.strip()
    for kind, text in BLOCKS
    if not kind
    for line in text.splitlines()
    for command in re.sub(r"\s+#.*", "", line).split(" && ")
]
# The commands that read what so many lines before them write.
SCORE = next(command for command in COMMANDS if command.startswith("python -m sdmr.experiments.score"))
WITH_EARLIER = {"python elsewhere.py": 1, SCORE: 2}
# In place of the file of the data set that a command names. Its columns are those of the README's own csv file.
SMALL = ("dataset._target_=sdmr.datasets.tabular.load_csv", "+dataset.path=mine.csv", "+dataset.user=visitor")
SMALL += ("+dataset.item=product", "+dataset.time=when")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The README's programs, and 40 users with 6 of 130 items each."""
    folder = tmp_path_factory.mktemp("readme")
    for name, text in PROGRAMS.items():
        (folder / name).write_text(text)
    rng = np.random.default_rng(5)
    rows = [f"{user},{item},{time}" for user in range(40) for time, item in enumerate(rng.choice(130, 6, False))]
    (folder / "mine.csv").write_text("\n".join(["visitor,product,when", *rows]) + "\n")
    shutil.copytree(CHECKOUT / "results", folder / "results")
    return folder


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("SDMR_CACHE", str(folder / "cache"))
    for name in PROGRAMS:
        monkeypatch.delitem(sys.modules, name.removesuffix(".py"), raising=False)


def run_module(arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m …`, in this process; an exit with anything but 0 is an error."""
    monkeypatch.setattr(sys, "argv", list(arguments))
    monkeypatch.delitem(sys.modules, arguments[0], raising=False)  # as in a new process
    code = None
    try:
        runpy.run_module(arguments[0], run_name="__main__")
    except SystemExit as end:
        code = end.code
    assert not code, code


def small(arguments: list[str]) -> list[str]:
    """The same on small data: one epoch, and the first two values of each axis of a sweep."""
    shorter = [re.sub(r"=([^,]*,[^,]*),.*", r"=\1", argument) for argument in arguments]
    data = () if "dataset=csv" in arguments else SMALL
    flags = next((n for n, argument in enumerate(shorter) if argument.startswith("--")), len(shorter))
    return [*shorter[:flags], *data, *(["epochs=1"] if "run" in arguments[0] else []), *shorter[flags:]]


def in_this_process(waiting: Sequence[tuple[str, ...]], runs: Path, workers: int) -> list[Outcome]:
    return [jobs._run(job, runs) for job in waiting]


def test_programs_are_short() -> None:
    assert PROGRAMS
    for name, text in PROGRAMS.items():
        assert len(text.splitlines()) - 1 <= 30, name


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("python ")])
def test_a_command_runs(command: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    if not command.startswith("python -m"):
        assert shlex.split(command)[1] in PROGRAMS
    place = COMMANDS.index(command)
    for one in COMMANDS[place - WITH_EARLIER.get(command, 0) : place + 1]:
        arguments = shlex.split(one)[1:]
        if arguments[0] == "-m":
            run_module(small(arguments[1:]), monkeypatch)
        else:
            runpy.run_path(arguments[0], run_name="__main__")
    out = capfd.readouterr().out
    assert arguments[0] != "-m" or "hit@10" in out or "out/ml100k/" in out or "runs: " in out or "--cfg" in arguments


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_a_make_target_runs(command: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """What make would run, its environment taken to be there: popularity or the models it names, one seed."""
    lines = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "--old-file=.venv/.ready", *shlex.split(command)[1:]],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    for line in "\n".join(lines).replace("\\\n", "").splitlines():
        program, flag, *arguments = shlex.split(line)
        assert (program, flag) == (".venv/bin/python", "-m")
        if arguments[0] == "sdmr.experiments.tables.statistics":
            assert arguments[1] in ("1", "2")
            continue  # they read every data set: see the slow test below
        if arguments[0] == "sdmr.experiments.bench":
            monkeypatch.delitem(sys.modules, "sdmr.experiments.bench.__main__", raising=False)
            monkeypatch.setenv("TQDM_DISABLE", "1")  # the command sets it, too: afterwards it is as before
            run_module([*arguments, "--threads", "1", "--tiny", "--only", "parts"], monkeypatch)
            assert "negatives/s" in capfd.readouterr().out
            continue
        monkeypatch.setattr(jobs, "run_all", in_this_process)
        if arguments[0] in ("sdmr.experiments.sweep", "sdmr.experiments.status"):
            monkeypatch.setattr(chosen, "FOLDER", Path("chosen").absolute())
            one = [re.sub("^model=.*", "model=item-knn", argument) for argument in arguments]
            one = [re.sub("^dataset=.*", "dataset=csv", argument) for argument in one]
            run_module([*one, *(o.lstrip("+") for o in SMALL if "_target_" not in o)], monkeypatch)
            assert re.search("chosen: model.neighbors=|stage 1, 12 runs: ", capfd.readouterr().out)
            continue
        if arguments[0] == "sdmr.experiments.tables.smoke":
            run_module([arguments[0], *SMALL, "--datasets", "ml-100k", "--models", "popularity", "prme"], monkeypatch)
            assert "| PRME | " in capfd.readouterr().out
            continue
        if arguments[0] == "sdmr.experiments.tables.audit":
            told = ["--factors", "honest", "argsort", "--models", "popularity", "--no-train"]
            run_module([arguments[0], *SMALL, *told], monkeypatch)
            assert "| SDP is better than MF-BPR | ml-100k: " in capfd.readouterr().out
            continue
        if arguments[0].startswith("sdmr.experiments.figures."):
            draw_small(arguments, monkeypatch)
            assert re.search(r"plots/[\w-]+\.png|is not drawn: none of its runs is there", capfd.readouterr().out)
            continue
        monkeypatch.setattr(sys, "argv", arguments)
        given = accuracy.arguments_of("")
        models = [model for model in given.models if model in ("popularity", "mf-bpr", "prme") or "." in model]
        overrides = (*SMALL, "epochs=1") if arguments[0].endswith("accuracy") else ()
        dataset = "ml-100k" if overrides or given.table == 3 else "ta-feng"
        told = [arguments[0], str(given.table), *overrides, "--datasets", dataset, "--config", given.config]
        before = Path("results/table3.csv").read_text()
        run_module([*told, "--models", *models], monkeypatch)
        assert Path("results/table3.csv").read_text() == before
        out = capfd.readouterr().out
        for model in models if arguments[0].endswith("accuracy") else ["Popularity", "SDMR"]:
            assert re.search(rf"\b{model.rpartition('.')[2]}\b.* \| ", out, re.I)


def draw_small(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A figure from small data and one run at most; its films have the titles that the paper and the README name."""
    titles = ("Money Talks (1997)", "Fire Down Below (1997)", "Titanic (1997)")
    lines = [f"{item}|{titles[item % 3]}" + "|" * 3 + "|1" + "|0" * 18 for item in range(130)]
    Path("ml-100k").mkdir(exist_ok=True)
    Path("ml-100k", "u.item").write_text("\n".join(lines) + "\n")
    monkeypatch.setenv("SDMR_DATA", ".")
    monkeypatch.setattr(collect, "run_all", in_this_process)
    axes = {"figure5": "--dim 8 --hops 1", "figure6": "--datasets ml-100k --hops 1 --dims 8", "figure7": "--dim 8"}
    shorter = axes.get(arguments[0].rpartition(".")[2], "--models popularity mf-bpr --config plain").split()
    seeds = [] if "figure7" in arguments[0] else ["--seeds", "1"]
    run_module([arguments[0], *SMALL, "epochs=1", *arguments[1:], *shorter, *seeds], monkeypatch)


def rows_of(text: str) -> list[list[str]]:
    """The cells of a table's rows."""
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in text.splitlines()[2:]]


def test_the_tables_are_those_of_results() -> None:
    """Below a caption `Table 3, ML-100k …` there is what results/table3.md has, but for intervals, marks and origin."""
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    tables = re.findall(r"^Table (\d), ([\w-]+)(?:.+\n)+\n((?:\|.+\n)+)", text, re.M)
    assert tables
    for number, dataset, table in tables:
        published = (CHECKOUT / "results" / f"table{number}.md").read_text(encoding="utf-8")
        section = re.search(rf"^## {dataset.lower()}\n\n((?:\|.+\n)+)", published, re.M)
        assert section, dataset
        rows = rows_of(re.sub(r" \[[\d., ]+\]( [gs][+−])*", "", section[1]))
        assert rows_of(table) == [[*row[:4], row[5]] for row in rows]


def test_embedded_pictures_are_there() -> None:
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", (CHECKOUT / "README.md").read_text(encoding="utf-8"))
    assert pictures
    assert [picture for picture in pictures if not (CHECKOUT / picture).is_file()] == []


def test_every_command_is_one_that_is_run_here_or_known_to_need_more() -> None:
    """A clone needs an address, sbatch a cluster; what sbatch wraps is a command like the others."""
    others = [c for c in COMMANDS if not c.startswith(("python ", "make "))]
    assert all(c.startswith(("git clone ", "cd ", "sbatch ")) for c in others), others


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("sbatch ")])
def test_a_job_of_an_array_runs(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = shlex.split(command)
    first = next(a for a in arguments if a.startswith("--array=")).partition("=")[2].split("-")[0]
    wrapped = shlex.split(arguments[arguments.index("--wrap") + 1].replace("$SLURM_ARRAY_TASK_ID", first))
    run_module(small(wrapped[2:]), monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("table", ["1", "2"])
def test_statistics_of_the_data_sets_that_are_there(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run_module(["sdmr.experiments.tables.statistics", table], monkeypatch)


@pytest.mark.slow
def test_a_new_clone_reaches_a_table_with_ones_own_row(tmp_path: Path) -> None:
    """As a newcomer would: clone, the README's program, make. It downloads an environment, PyTorch included."""
    clone = tmp_path / "sdmr"
    subprocess.run(["git", "clone", "--quiet", str(CHECKOUT), str(clone)], check=True)
    (clone / "my_models.py").write_text(PROGRAMS["my_models.py"])
    made = subprocess.run(
        ["make", f"PYTHON={sys.executable}", "table3", "MODELS=popularity my_models.Together"],
        cwd=clone,
        check=True,
        capture_output=True,
        text=True,
    )
    assert re.search(r"^Together .* \| 0\.\d{3}", made.stdout, re.M)

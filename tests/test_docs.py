"""README and documentation are true: every command is accepted, and each kind of command runs, on small data."""

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from io import StringIO
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import hydra
import numpy as np
import pandas as pd
import pytest

from sdmr.experiments import run as run_command
from sdmr.experiments.core import cli, config, datasets, plan, tuned
from sdmr.experiments.core.grammar import expand_sweep
from sdmr.experiments.core.options import parse_options
from sdmr.experiments.core.parallel import Outcome, make_outcome
from sdmr.experiments.core.paths import CONF
from sdmr.experiments.core.registry import NAMED_MODELS
from sdmr.experiments.report.factors import FACTOR_NAMES
from sdmr.experiments.tuning import search

CHECKOUT = Path(__file__).parents[1]
PAGES = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
BLOCKS = [
    (page.name, language, text)
    for page in PAGES
    for language, text in re.findall(r"^```([^\n]*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
]
PROGRAMS = {
    text.partition("\n")[0].removeprefix("# "): text
    for page, language, text in BLOCKS
    if (language == "python" and page != "python.md") or text.startswith("# space/")
}
CELLS = [(language, text) for page, language, text in BLOCKS if page == "python.md"]  # code, then what it prints
COMMANDS = list(
    dict.fromkeys(
        (page, command.strip())
        for page, language, text in BLOCKS
        if not language
        for line in text.replace("\\\n", " ").splitlines()
        for command in re.sub(r"\s+#.*", "", line).split(" && ")
        if command.strip()
    )
)
# Programs of others: a clone needs an address, sbatch and ray a cluster; `make test` runs pytest.
FOREIGN = (
    *("chromium ", "git ", "cd ", "pip ", "sbatch ", "ray ", "pytest ", ". ", ".ci/run", "python -m tests."),
    *("make test", "make lint", "make docs"),
)
NUMBER = re.compile(r"\d+(?:\.\d+)?")
DATASETS = ("ml-100k", "ml-1m", "epinions", "epinions-id-order", "ta-feng", "netflix-sample", "ijcai-15")
SMALL = """# @package _global_
epochs: 1
patience: 1
dataset:
  _target_: sdmr.datasets.tabular.load_csv
  path: {path}
  user: visitor
  item: product
  time: when
  order: random
"""


def list_commands(prefix: str) -> list[tuple[str, str]]:
    return [(page, command) for page, command in COMMANDS if command.startswith(prefix)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages' programs, and 40 users with 6 of 130 items each, which stand in for every named data set."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "space").mkdir()
    for name, text in PROGRAMS.items():
        (folder / name).write_text(text)
    rng = np.random.default_rng(5)
    rows = [f"{user},{item},{time}" for user in range(40) for time, item in enumerate(rng.choice(130, 6, False))]
    (folder / "mine.csv").write_text("\n".join(["visitor,product,when", *rows]) + "\n")
    for name in ("SDMR/data/ml1m/ml1m", "SDMR/data/epinions-full/epinions-full", "split/mine"):
        write_authors_files(folder / name, rows)
    (folder / "pairs.txt").write_text("".join(" ".join(row.split(",")[:2]) + "\n" for row in rows))
    other = shutil.ignore_patterns("ml-1m", "epinions", "ta-feng", "sweeps", "figure6")  # tests of reports read them
    shutil.copytree(CHECKOUT / "results", folder / "results", ignore=other)
    shutil.copytree(config.CONF, folder / "conf")
    for name in DATASETS:
        (folder / "conf" / "dataset" / f"{name}.yaml").write_text(SMALL.format(path=folder / "mine.csv"))
    return folder


def write_authors_files(path: Path, rows: Sequence[str]) -> None:
    """Write rows in NCF's layout, each user's last one as the test item."""
    path.parent.mkdir(parents=True)
    ratings = [(user, item, "5", time) for user, item, time in (row.split(",") for row in rows)]
    for suffix, part in ((".train.rating", [one for one in ratings if one[3] != "5"]), (".test.rating", ratings[5::6])):
        path.with_name(f"{path.name}{suffix}").write_text("".join("\t".join(one) + "\n" for one in part))
    lines = ("\t".join([f"({user},{item})", *map(str, range(200, 299))]) for user, item, *_ in ratings[5::6])
    path.with_name(f"{path.name}.test.negative").write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture(autouse=True)
def small_data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("SDMR_CACHE", str(folder / "cache"))
    for module in (config, datasets):
        monkeypatch.setattr(module, "CONF", folder / "conf")
    monkeypatch.setattr(tuned, "FOLDER", folder / "conf" / "settings" / "tuned")
    main = hydra.main(version_base="1.3", config_path=str(folder / "conf"), config_name="config")
    monkeypatch.setattr(run_command, "run_job", main(run_command.run_job.__wrapped__))
    for module in (plan, search):
        monkeypatch.setattr(module, "run_all", run_in_this_process)
    for name in PROGRAMS:
        sys.modules.pop(name.removesuffix(".py"), None)
    monkeypatch.setitem(sys.modules, "mlflow", Mock())


def test_the_tracker_of_the_page_sends_each_run_to_mlflow() -> None:
    command = next(c for _, c in COMMANDS if "my_trackers" in c)
    assert run_sdmr(*shlex.split(command)[1:], "epochs=2", "seed=5") == 0
    calls = sys.modules["mlflow"].method_calls
    names = ["set_experiment", "start_run", "log_params", *3 * ["log_metrics"], "log_metrics", "end_run"]
    assert [name for name, _, _ in calls] == 2 * names
    sizes = [arguments[0]["dim"] for name, arguments, _ in calls if name == "log_params"]
    assert sizes == [16, 32]
    epochs = [(arguments[0]["epoch"], options["step"]) for _, arguments, options in calls if "step" in options]
    assert epochs == 2 * [(0, 0), (1, 1), (2, 2)]
    assert [arguments for name, arguments, _ in calls if name == "end_run"] == 2 * [("FINISHED",)]


def run_in_this_process(tasks: Iterable[tuple[str, ...]], runs: Path, *others: object) -> Iterator[Outcome]:
    return (make_outcome(overrides, runs) for overrides in tasks)


def run_sdmr(*arguments: str) -> int:
    return cli.main(arguments)


def expand_make(command: str) -> list[list[str]]:
    """Return the arguments of each `sdmr` that a make target runs, its environment taken to exist."""
    dry_run = ["make", "--dry-run", "--no-print-directory", "--old-file=.venv/.ready", *shlex.split(command)[1:]]
    lines = subprocess.run(dry_run, cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout
    programs = [shlex.split(line) for line in lines.replace("\\\n", "").splitlines()]
    assert [program[0] for program in programs] == [".venv/bin/sdmr"] * len(programs), lines
    return [program[1:] for program in programs]


def list_values(options: Any, name: str) -> list[str]:
    """Return the values of an option, if there is one and it is set."""
    value = getattr(options, name, None) or []
    return [value] if isinstance(value, str) else list(value)


def check_arguments(name: str, arguments: Sequence[str]) -> None:
    """Raise UsageError unless the command accepts the options, and its runs the settings."""
    if {"--help", "--version"} & {name, *arguments}:
        assert run_sdmr(name, *arguments) == 0
        return
    options = parse_options(cli.import_command(name).Options, arguments)
    overrides = list(getattr(options, "overrides", []))
    for model in [*list_values(options, "model"), *list_values(options, "models")]:
        assert model in {*NAMED_MODELS, "paper"} or "." in model or (CONF / "space" / f"{model}.yaml").exists(), model
    assert set(list_values(options, "factors")) <= set(FACTOR_NAMES)
    if name == "sweep" or (name == "status" and not options.flags):
        return
    if name not in ("run", "status") and not any(o.startswith("model=") for o in overrides):
        overrides = ["model=sdm", *(o for o in overrides if not o.startswith("model."))]
    for combination in list(product(*expand_sweep(overrides)))[:4]:
        config.check_config(config.compose_config(combination).settings)


def test_every_command_is_known_or_needs_another_program() -> None:
    others = [c for _, c in COMMANDS if not c.startswith(("sdmr ", "make ", "python ", *FOREIGN))]
    assert others == []


@pytest.mark.parametrize(("page", "command"), list_commands("sdmr "))
def test_the_options_of_a_command_exist(page: str, command: str) -> None:
    _, name, *arguments = shlex.split(command)
    check_arguments(name, arguments)


@pytest.mark.parametrize(("page", "command"), [(p, c) for p, c in list_commands("make ") if not c.startswith(FOREIGN)])
def test_the_options_of_a_make_target_exist(page: str, command: str) -> None:
    for name, *arguments in expand_make(command):
        check_arguments(name, arguments)


@pytest.mark.parametrize(("page", "command"), [(p, c) for p, c in list_commands("sdmr run ") if "--" not in c])
def test_a_run_runs(page: str, command: str, capfd: pytest.CaptureFixture[str]) -> None:
    """On small data; of the axes of a multirun two values of the first, and one of the others."""
    arguments = shlex.split(command)[1:]
    for number, axis in enumerate(argument for argument in arguments if "," in argument):
        arguments[arguments.index(axis)] = ",".join(axis.split(",")[: 1 if number else 2])
    arguments = [a for a in arguments if not re.match(r"(model\.optimization\.)?epochs=|model\.dim=\d+$", a)]
    dim = ["model.dim=8"] if re.search("model=sd[pm]", command) and "model.dim=" not in shlex.join(arguments) else []
    has_epochs = not re.search("CoOccurrence|item-knn|transitions", command)  # of others they are refused
    assert run_sdmr(*arguments, *(["epochs=1"] if has_epochs else []), *dim) == 0
    assert "hit@10" in capfd.readouterr().out


@pytest.mark.parametrize(
    "program", [name for name in PROGRAMS if name.endswith(".py") and not re.search("elsewhere|score", name)]
)
def test_a_program_is_short_and_python(program: str) -> None:
    assert len(PROGRAMS[program].splitlines()) <= 40
    compile(PROGRAMS[program], program, "exec")


def test_the_transformer_of_the_page_passes_its_check(capfd: pytest.CaptureFixture[str]) -> None:
    command = next(c for _, c in COMMANDS if c.startswith("sdmr check") and "Transformer" in c)
    assert run_sdmr(*shlex.split(command)[1:]) == 0
    printed = capfd.readouterr().out
    assert "histories: fit resumes after an interruption" in printed
    assert "baskets: left out, as the class has reads_baskets=False" in printed


def test_an_external_program_is_scored(capfd: pytest.CaptureFixture[str]) -> None:
    """The three commands of the page, one after the other: export, a program, score."""
    commands = [command for page, command in COMMANDS if page == "external-programs.md"]
    export = next(c for c in commands if c.startswith("sdmr export") and "protocol" not in c)
    assert run_sdmr(*shlex.split(export)[1:]) == 0
    runpy.run_path(next(name for name in PROGRAMS if "elsewhere" in name), run_name="__main__")
    score = next(c for c in commands if c.startswith("sdmr score"))
    assert run_sdmr(*shlex.split(score)[1:]) == 0
    assert "Elsewhere on ml-100k, test: hit@10" in capfd.readouterr().out


def test_the_runs_of_the_page_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # where other tests have made no runs
    compare = next(command for page, command in COMMANDS if page == "your-model.md" and "compare" in command)
    for model in ("my_models.CoOccurrence", "item-knn"):
        assert run_sdmr("run", f"model={model}", "dataset=ml-100k") == 0
    capfd.readouterr()
    assert run_sdmr(*shlex.split(compare)[1:]) == 0
    printed = capfd.readouterr().out
    assert "CoOccurrence − Item-KNN" in printed
    assert "By history, differences" in printed


def test_the_submission_of_the_page_is_made_checked_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The page's commands, one after the other, beside one published row on the small data."""
    monkeypatch.chdir(tmp_path)
    for name, arguments in (("run", ["model=popularity"]), ("publish", ["number=3", "models=popularity"])):
        assert run_sdmr(name, *arguments) == 0
    run, copy, check, compare, report = (shlex.split(c)[1:] for page, c in COMMANDS if page == "submitting.md")
    assert [run_sdmr(*arguments) for arguments in (run, copy)] == [0, 1]
    assert "1 of 4 checks failed" in capfd.readouterr().out
    description = next(text for page, language, text in BLOCKS if (page, language) == ("submitting.md", "yaml"))
    Path(check[1].partition("=")[2], "description.yaml").write_text(description)
    assert [run_sdmr(*arguments) for arguments in (check, report)] == [0, 0]
    capfd.readouterr()
    assert run_sdmr(*[argument.replace("table3/ml-100k", "table3/ml-100k/popularity-0") for argument in compare]) == 0
    assert "CoOccurrence − Popularity" in capfd.readouterr().out


def run_cells() -> list[str]:
    """Return what each cell of the page on Python prints."""
    names: dict[str, object] = {}
    printed = []
    for language, code in CELLS:
        if language == "python":
            with redirect_stdout(StringIO()) as output:
                exec(code, names)
            printed.append(output.getvalue())
    return printed


def test_the_cells_of_the_page_on_python_run(folder: Path) -> None:
    table = pd.read_csv(folder / "mine.csv").assign(rating=5)
    columns = ["visitor", "product", "rating", "when"]
    table.replace({"visitor": {1: 42}}).to_csv("u.data", sep="\t", header=False, index=False, columns=columns)
    printed = run_cells()
    assert printed[0] == "40 users, 108 items, 40 test items\n"
    assert len(printed) == 5


def test_the_cells_of_the_page_on_python_print_what_the_page_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Words are the same; numbers may differ a little between processors."""
    file = Path(os.environ.get("SDMR_DATA", "")) / "ml-100k" / "u.data"
    if not file.is_file():
        pytest.skip("needs ml-100k/u.data")
    monkeypatch.chdir(file.parent)
    shown = [text for language, text in CELLS if language == "text"]
    for text, printed in zip(shown, run_cells(), strict=True):
        assert NUMBER.sub("#", printed).split() == NUMBER.sub("#", text).split()
        numbers = [float(number) for number in NUMBER.findall(text)]
        assert [float(number) for number in NUMBER.findall(printed)] == pytest.approx(numbers, abs=0.02)


def test_a_table_with_a_users_model_runs(capfd: pytest.CaptureFixture[str]) -> None:
    command = next(c for page, c in COMMANDS if page == "README.md" and "my_models" in c)
    for name, *arguments in expand_make(command):
        assert run_sdmr(name, *arguments) == 0
    assert re.search(r"CoOccurrence .* 0\.\d{3}", capfd.readouterr().out)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["publish", "number=3", "models=[popularity,sdm]"], "SDMR"),
        (["sweep", "model=item-knn", "trials=2", "workers=1"], "item-knn"),
        (["status", "model=item-knn", "budget=1"], "interrupted"),
        (["audit", "factors=default", "models=popularity", "train=false"], "SDP"),
        (["figure", "name=curves", "models=[sdp,sdm]"], r"curves"),
        (["bench", "suite=smoke", "datasets=ml-100k", "models=[popularity,prme]", "workers=1"], "PRME"),
    ],
)
def test_each_kind_of_command_runs(command: list[str], expected: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_sdmr(*command) in (0, 1)
    printed = capfd.readouterr()
    assert re.search(expected, printed.out), printed
    assert "Traceback" not in printed.err


def read_options(printed: str) -> dict[str, str]:
    """Return the options and their defaults that `--help` has printed, in indented lines key=default."""
    return {key: default.removesuffix(":") for key, default in re.findall(r"^  ([a-z_]+)=(\S+)", printed, re.M)}


def read_documented_options(command: str) -> dict[str, str]:
    """Return the options and defaults of a command's section of docs/commands.md, and the shared ones."""
    options = (CHECKOUT / "docs" / "commands.md").read_text(encoding="utf-8").partition("\n## Options\n")[2]
    shared, *sections = re.split(r"^### ", options.partition("\n## ")[0], flags=re.M)
    (section,) = [text for text in sections if f"`{command}`" in text.partition("\n")[0]]
    return dict(re.findall(r"^\| `([a-z_]+)` \| ([^|]*) \|", shared + section, re.M))


@pytest.mark.parametrize("command", cli.list_commands())
def test_every_option_is_documented_with_its_default(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A list of the help is the names in backticks; the number of cores is a phrase."""
    assert run_sdmr(command, "--help") == 0
    options, documented = read_options(capsys.readouterr().out), read_documented_options(command)
    assert options
    assert options.keys() <= documented.keys()
    for key, default in options.items():
        names = re.findall("`([^`]+)`", documented[key])
        if default == "...":
            assert documented[key] == "required", key
        elif default.startswith("["):
            assert names == default.strip("[]").split(","), key
        elif key == "workers":
            assert documented[key] == "the available cores"
        elif default != "NAME":
            assert names == [default], key


def test_no_other_option_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    for command in cli.list_commands():
        assert run_sdmr(command, "--help") == 0
    options = read_options(capsys.readouterr().out)
    documented = {key for command in cli.list_commands() for key in read_documented_options(command)}
    assert documented == options.keys()


def test_every_documented_make_variable_changes_what_its_target_runs() -> None:
    page = (CHECKOUT / "docs" / "commands.md").read_text(encoding="utf-8").partition("\n## Make targets\n")[2]
    pairs = [
        (target, variable)
        for targets, variables in re.findall(r"^\| (`[a-z].*?) \| (.*?) \|$", page, re.M)
        for target in re.findall("`([^`]+)`", targets)
        if target != "test"  # runs pytest
        for variable in re.findall("`([A-Z]+)`", variables)
    ]
    assert ("table3", "MODELS") in pairs
    ineffective = [
        (target, variable)
        for target, variable in pairs
        if expand_make(f"make {target} {variable}={'no' if variable == 'TRAIN' else 'other'}")
        == expand_make(f"make {target}")
    ]
    assert ineffective == []


def test_files_that_the_pages_name_exist() -> None:
    """Files of the suite in backticks; capitals and patterns stand for names."""
    folders = "baselines|datasets|docs|experiments|harness|models|plots|results|tests"
    missing = [
        f"{page.name}: {path}"
        for page in PAGES
        if page.name != "changes.md"  # lists old paths
        for path in re.findall(rf"`((?:{folders})/[a-z0-9_./-]+)`", page.read_text(encoding="utf-8"))
        if not (CHECKOUT / path).exists()
    ]
    assert missing == []


def test_the_map_of_the_architecture_lists_the_modules() -> None:
    """A line of the map holds a folder, its modules or a subfolder, and a description, two spaces apart."""
    page = (CHECKOUT / "docs" / "architecture.md").read_text(encoding="utf-8")
    block = page.partition("## Map\n\n```text\n")[2].partition("```")[0]
    modules: dict[str, set[str]] = defaultdict(set)
    top = ""
    for line in block.splitlines():
        first, *fields = re.split(r"\s{2,}", line)
        top = first or top
        folder = top + fields.pop(0) if fields[0].endswith("/") else top
        modules[folder.rstrip("/")].update(fields[0].split())
    for folder in ("datasets", "harness", "harness/training", "harness/kernels", "models", "baselines", "experiments"):
        paths = (CHECKOUT / folder).glob("*.py")
        assert modules[folder] == {path.stem for path in paths if not path.stem.startswith("_")}, folder


def test_embedded_pictures_exist() -> None:
    missing = [
        f"{page.name}: {picture}"
        for page in PAGES
        for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
        if not (page.parent / picture).is_file()
    ]
    assert missing == []


def test_the_readme_has_at_most_150_lines() -> None:
    assert len((CHECKOUT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.slow
def test_a_new_clone_reaches_a_table_with_a_users_row(tmp_path: Path) -> None:
    """As a newcomer would: clone, the README's program, make. It downloads an environment, PyTorch included."""
    clone = tmp_path / "sdmr"
    subprocess.run(["git", "clone", "--quiet", str(CHECKOUT), str(clone)], check=True)
    (clone / "my_models.py").write_text(PROGRAMS["my_models.py"])
    made = subprocess.run(
        ["make", f"PYTHON={sys.executable}", "table3", "MODELS=popularity my_models.CoOccurrence"],
        cwd=clone,
        check=True,
        capture_output=True,
        text=True,
    )
    assert re.search(r"CoOccurrence .* 0\.\d{3}", made.stdout)

"""The Makefile: each target passes its variables to one command, and a variable that it does not use is an error."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
VARIABLES = {
    target: re.sub(r"\$\(VARIABLES_(\w+)\)", "", names).split()
    for target, names in re.findall(r"^VARIABLES_(\w+) := (.*)$", (CHECKOUT / "Makefile").read_text(), re.M)
}
TARGETS = (
    *("venv", "test", "lint", "docs", "table1", "table2", "table3", "table4", "publish", "audit", "smoke", "bench"),
    *("sweep", "status", "figure5", "figure6", "figure7", "curves", "speed", "figures", "report", "paper"),
)
OPTIONS = {"CONFIG": "settings", "JOBS": "workers", "TABLE": "number", "NAME": "output", "FOR": "user"}
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def run_make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Print the commands of a target. The environment counts as made."""
    command = ["make", "--dry-run", "--old-file", ".venv/.ready", *arguments]
    exported = {name for names in VARIABLES.values() for name in names}  # by `make test JOBS=2`
    environment = {name: value for name, value in os.environ.items() if name not in exported}
    return subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("target", "name"), [(target, name) for target, names in VARIABLES.items() for name in names])
def test_variable_of_a_target_reaches_its_command(target: str, name: str) -> None:
    option = OPTIONS.get(name, name.lower())
    pattern = {"test": "--numprocesses abc"}.get(target, rf"[ ']{option}=\[?\"?abc\b")
    assert re.search(r" abc\b" if name == "OVERRIDES" else pattern, run_make(target, f"{name}=abc").stdout)


@pytest.mark.parametrize("target", TARGETS)
def test_target_refuses_a_variable_that_it_does_not_use(target: str) -> None:
    done = run_make(target, "MODLES=sdm")
    assert done.returncode == 2
    assert f"{target} does not use MODLES; its variables are: " in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table3", "MODEL=sdm"], "table3 does not use MODEL; its variables are: DATASETS MODELS SEEDS CONFIG JOBS"),
        (["sweep", "CONFIG=chosen"], "sweep does not use CONFIG; its variables are: MODEL DATASET SEARCH TRIALS "),
        (["bench", "CONFIG=chosen"], "bench does not use CONFIG; its variables are: none"),
        (["table1", "CONFIG=chosen"], "table1 does not use CONFIG; its variables are: none"),
        (["status", "REPLACE=yes"], "status does not use REPLACE; "),
        (["figures", "SEEDS=1", "NAME=x"], "figures does not use "),
        (["JOBS=2"], "venv does not use JOBS; its variables are: none"),
    ],
)
def test_variable_of_another_target_is_refused_with_those_of_this_one(arguments: list[str], message: str) -> None:
    assert message in run_make(*arguments).stderr


def test_targets_made_together_share_their_variables() -> None:
    done = run_make("table3", "figure6", "DIMS=8", "MODELS=sdm")
    assert done.returncode == 0, done.stderr
    assert "'dims=[8]'" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["table3", "MODELS=sdm sdp", "CONFIG=tuned"], "table number=3 seeds=1 settings=tuned 'models=[sdm,sdp]'"),
        (["audit", "TRAIN=no"], "audit seeds=1 train=false"),
        (["audit", "TRAIN=perhaps"], "audit seeds=1 train=perhaps"),  # which the command refuses
        (["publish", "REPLACE=yes"], "publish number=3 seeds=1 settings=default replace=true"),
        (["figure7", "FOR=13", "TARGET=It's"], """figure name=figure7 'user="13"' 'target="It'\\''s"'"""),
        (["figures"], "figure name=published train=false"),
        (["report"], "report to=results/report.html"),
    ],
)
def test_target_is_one_command(arguments: list[str], command: str) -> None:
    done = run_make(*arguments)
    (line,) = done.stdout.replace("\\\n", "").splitlines()
    assert " ".join(line.split()) == f".venv/bin/sdmr {command}"


def test_paper_searches_parts_first_and_leaves_models_of_sequences_out_of_baskets() -> None:
    sweep = [
        line for line in run_make("paper", "JOBS=2").stdout.splitlines() if " sweep " in line and "grid" not in line
    ]
    assert [re.findall(r"dataset=([\w-]+)", line) for line in sweep] == [
        ["ml-100k"],
        ["ta-feng"],
        ["ml-1m"],
        ["epinions"],
        ["epinions-id-order"],
    ]
    assert all("model=[gmf,mlp,gmf-bpr,neumf,cmn,sdp,sdm,sdmr," in line and "'workers=2'" in line for line in sweep)
    assert ["sasrec" in line for line in sweep] == [True, False, True, True, True]


@pytest.mark.parametrize(
    ("target", "source", "number"), [("paper-ijcai-15", "ta-feng", 4), ("paper-netflix-sample", "ml-100k", 3)]
)
def test_substitutes_have_the_settings_of_another_data_set_and_one_seed(target: str, source: str, number: int) -> None:
    sweep, check, table, publish = run_make(target).stdout.replace("\\\n", "").splitlines()
    assert sweep.endswith(f"transfer={source}")
    assert check.endswith("publish=true")
    for line in (table, publish):
        assert f" number={number} " in line
        assert "seeds=1 settings=tuned" in line
        assert ("sasrec" in line) == (number == 3)

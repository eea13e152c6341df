"""The command line: help, version, mistakes in one line with their exit status, and the import path."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from sdmr.experiments.core import cli
from sdmr.experiments.core.config import RunSettings
from sdmr.experiments.core.tuned import get_tuned_path
from tests.experiments.core.conftest import Sdmr

COMMANDS = [
    "audit",
    "bench",
    "check",
    "compare",
    "data",
    "export",
    "figure",
    "publish",
    "recommend",
    "report",
    "run",
    "score",
    "status",
    "sweep",
    "table",
]
FOLDERS = ("datasets", "harness", "models", "baselines", "experiments")
pytestmark = pytest.mark.usefixtures("temporary_cache")


def run_python(folder: Path, program: str) -> list[str]:
    """Return the lines of a program that, as the script `sdmr`, does not have its folder on the import path."""
    done = subprocess.run([sys.executable, "-P", "-c", program], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_help_lists_the_commands_without_importing_torch(tmp_path: Path) -> None:
    program = "import sys; from sdmr.experiments.core.cli import main; main(['--help']); print('torch' in sys.modules)"
    *lines, is_imported = run_python(tmp_path, program)
    assert is_imported == "False"
    assert [line.split()[0] for line in lines if line.startswith("  ")] == COMMANDS == cli.list_commands()


@pytest.mark.parametrize(("typed", "policy"), [({}, "passive"), ({"OMP_WAIT_POLICY": "active"}, "active")])
def test_waiting_threads_of_a_command_sleep_unless_the_user_says_otherwise(typed: dict[str, str], policy: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"} | typed
    code = "import os, sdmr.experiments; print(os.environ['OMP_WAIT_POLICY'])"
    assert subprocess.check_output([sys.executable, "-c", code], env=environment, text=True).strip() == policy


def test_version_is_printed(sdmr: Sdmr) -> None:
    assert sdmr("--version").out.startswith("sdmr 0.")


def test_no_arguments_print_the_help(sdmr: Sdmr) -> None:
    assert sdmr().out == sdmr("--help").out == sdmr("-h").out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_names_its_options_with_defaults_and_meanings(command: str, sdmr: Sdmr) -> None:
    answer = sdmr(command, "--help")
    assert (answer.status, answer.err) == (0, "")
    options = answer.out.rpartition("\noptions:\n")[2].partition("\n\n")[0].splitlines()
    assert options
    assert all(len(line[2:].split(None, 1)) == 2 for line in options), options


def test_help_of_run_lists_every_setting_and_the_arguments_of_a_model(sdmr: Sdmr) -> None:
    out = sdmr("run", "--help", "model=sdm").out
    for name, field in RunSettings.model_fields.items():
        assert f"\n  {name}=" in out
        assert str(field.description) in out
    for line in (
        "dataset=ml-100k +data set \\(csv, ",
        "model=\\.\\.\\. +model \\(popularity, ",
        "settings=default",
        "protocol.tie_",
    ):
        assert re.search(f"\n  {line}", out)
    assert re.search(r"\n  model\.hops=3 +H, the number of hops\n", out)
    assert re.search(r"\n  model\.optimization\.negatives=hardest", out)


def test_help_of_run_lists_flags_and_the_settings_of_data_sets(sdmr: Sdmr) -> None:
    out = sdmr("run", "--help").out
    for flag in ("-m, --multirun", "--cfg job", "--help"):
        assert re.search(rf"\n  {flag} +\w", out)
    assert re.search(r"settings of dataset=epinions:\n  dataset\.min_count=5 ", out)
    out = sdmr("run", "dataset=csv", "--help").out
    assert re.search(r"\n  dataset\.path=\.\.\. +The file, ", out)
    assert re.search(r"\n  dataset\.time=null +\w", out)
    assert "settings of dataset=epinions" not in out


def test_help_of_run_has_meanings_from_base_classes_and_values_as_hydra_writes_them(sdmr: Sdmr) -> None:
    out = sdmr("run", "--help", "model=sdm-released").out
    assert re.search(r"\n  model\.hops=3 +H, the number of hops\n", out)
    assert re.search(r"\n  model\.gate_update=negated +Paper: distance; released: negated; ", out)
    out = sdmr("run", "--help", "model=cmn").out
    assert re.search(r"\n  model\.keep_self=false", out)
    assert re.search(r"\n  model\.gmf\.objective=bpr", out)


def test_help_of_status_says_that_a_sweep_has_settings_too(sdmr: Sdmr) -> None:
    assert re.search(r"\n  KEY=VALUE +settings of the runs \(", sdmr("status", "--help").out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("runn model=sdm", "sdmr runn: no such command; there are audit, bench, check, "),
        ("run", "sdmr run: model=... is missing; there are popularity, "),
        ("run model=sdm epoch=3", "sdmr run: epoch: there is no such setting"),
        ("run model=sdm +epoch=3", "sdmr run: epoch: there is no such setting"),
        ("run model=sdm ++model.hop=3", "sdmr run: model.hop: sdmr.models.sdm.SDM has no argument 'hop'; its"),
        ("run model=sdm seed=x", "sdmr run: seed=x: must be a valid integer"),
        ("run model=sdm seed=1 seed=2", "sdmr run: seed=2: seed is given twice"),
        ("run model=sdm seed=1 +seed=2", "sdmr run: seed=2: seed is given twice"),
        ("run model=sdm -x", "sdmr run: -x: there is no such flag; there are -m, "),
        ("run model=sdm --cfg", "sdmr run: --cfg : expected one of job, hydra, all"),
        ("run model=sdm --cfg jb", "sdmr run: --cfg jb: expected one of job, hydra, all"),
        ("run -m --cfg job model=popularity,ease", "sdmr run: --cfg prints the settings of one run: leave out -m"),
        ("run sdm", "sdmr run: sdm: expected key=value"),
        ("run model=sdm =3", "sdmr run: =3: expected key=value"),
        ("run model=sdm model.hops=[1", "sdmr run: model.hops=[1: expected key=value, a list key=[a,b], or text"),
        ("table seeds=", "sdmr table: seeds=: this option needs a value"),
        ("table runs= results=", "sdmr table: runs=: this option needs a value"),
        ("export to=", "sdmr export: to=: this option needs a value"),
        ("export to=''", "sdmr export: to=: this option needs a value"),
        ("data path=", "sdmr data: path=: this option needs a value"),
        ("score scores=", "sdmr score: scores=: this option needs a value"),
        ("run model=sdm runs=", "sdmr run: runs=: this option needs a value"),
        ("run model=sdm model.dim=1e400", "sdmr run: model.dim=1e400: expected a number below 1.8e308"),
        ("figure name=figure6 hops=a", "sdmr figure: hops=a: expected a whole number, or a list of them such as [1,2]"),
        ("figure zzz=1", "sdmr figure: zzz: there is no such option or setting"),
        ("sweep +zzz=1", "sdmr sweep: zzz: there is no such option or setting"),
        ("export zzz=1", "sdmr export: zzz: there is no such option or setting"),
        ("data zzz=1", "sdmr data: zzz: there is no such option or setting"),
        ("check zzz=1", "sdmr check: zzz: there is no such option or setting"),
        ("score zzz=1", "sdmr score: zzz: there is no such option or setting"),
        ("status zzz=1", "sdmr status: zzz: there is no such option or setting"),
        ("status -m zzz=1", "sdmr status: zzz: there is no such setting"),
        ("run protocol.zz=1", "sdmr run: protocol.zz: the protocol has select_on, "),
        ("table --help zzz=1", "sdmr table: zzz: there is no such option or setting"),
        ("status serch=grid", "sdmr status: serch: there is no such option or setting; did you mean search?"),
        ("status search=grid", "sdmr status: model=... is missing"),
        ("figure jobs=2", "sdmr figure: jobs=2: jobs is now workers"),
        (
            "check model=sdm model.x=1",
            "sdmr check: model.x: sdmr.models.sdm.SDM has no argument 'x'; its arguments are",
        ),
        ("check model=sdm epochs=1", "sdmr check: epochs=1: a check has no such option, only model.NAME and context_"),
        ("check model=sdm context_length=0", "sdmr check: context_length=0: must be greater than or equal to 1"),
        (
            "run --hlp",
            "sdmr run: --hlp: there is no such flag; there are -m, --multirun, --cfg, --help; did you mean --h",
        ),
        ("run model=sdm --resolve", "sdmr run: --resolve: there is no such flag; there are -m, --multirun, --cfg"),
        (
            "run model=sasrec context_length=9",
            "sdmr run: context_length=9 has no effect on model=sasrec, which does not read it: it has its own, model.c",
        ),
        ("run model=popularity epochs=3", "sdmr run: epochs=3 has no effect on model=popularity"),
        ("run -m model=popularity,item-knn epochs=3", "sdmr run: epochs=3 has no effect on these models"),
        ("table models=popularity epochs=3", "sdmr table: epochs=3 has no effect on model=popularity"),
        ("bench suite=optimizers", "sdmr bench: suite=optimizers: it is gone, because there is one Adam"),
        ("run --help --foo", "sdmr run: --foo: there is no such flag"),
        ("table --foo --help", "sdmr table: --foo: there is no such flag"),
        ("bench suite=smoke ++zz=1", "sdmr bench: zz: there is no such setting"),
        ("bench suite=smoke model.zz=1", "sdmr bench: model.zz: none of these models has this argument"),
        ("run model=sdm protocol.zz=1", "sdmr run: protocol.zz: the protocol has select_on, "),
        ("export to=x zz=1", "sdmr export: zz is no setting; allowed are dataset.*"),
        ("export to=x epochs=1", "sdmr export: epochs has no effect here"),
        ("smoke", "sdmr smoke is now sdmr bench suite=smoke"),
        ("table 3 --models sdp sdm", "sdmr table: 3 --models sdp sdm is now number=3 models=[sdp,sdm] "),
        ("audit --no-train --publish", "sdmr audit: --no-train --publish is now train=false publish=true"),
        ("run model=sdn", "sdmr run: model=sdn: there is none of this name; there are popularity, "),
        ("run --help model=sdn", "sdmr run: model=sdn: there is none of this name; there are popularity, "),
        ("run model=3", "sdmr run: model=3: there is none of this name; there are popularity, "),
        ("run model=sdm,sdp", "sdmr run: model=sdm,sdp: expected one value"),
        ("run -m model=sdm,sdp hydra/launcher=nowhere", "sdmr run: hydra/launcher=nowhere: there is none of this"),
        ("run -m model=sdm model.hops=2,x", "sdmr run: model.hops=x: must be a valid integer"),
        ("run model=bert4rec dataset=ml-1m settings=tuned", "sdmr run: bert4rec on ml-1m has no tuned set"),
        ("run --cfg job", "sdmr run: model=... is missing"),
        (
            "run model=models.sdm.SDM",
            "sdmr run: model=models.sdm.SDM: no such class can be imported; the class",
        ),
        ("table nummer=3", "sdmr table: "),
        ("table -x", "sdmr table: -x: expected key=value"),
        ("table models=sdm,sdp", "sdmr table: models=sdm,sdp: expected one value; a list is written models=[sdm,sdp]"),
    ],
)
def test_mistake_is_one_line_and_exit_2(arguments: str, message: str, sdmr: Sdmr) -> None:
    answer = sdmr(*arguments.split())
    assert (answer.status, answer.out) == (2, "")
    assert answer.error.startswith(message)


@pytest.mark.parametrize("arguments", ["run -m model=sdm,sdp --help", "status --multirun --help", "status -m --help"])
def test_help_is_there_for_whatever_the_command_accepts(arguments: str, sdmr: Sdmr) -> None:
    answer = sdmr(*arguments.split())
    assert (answer.status, answer.err) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "new"),
    [
        ("run model=sdm model.optimisation.epochs=3", "optimization"),
        ("run model=sdm model.optimization.regularisation=3", "regularization"),
        ("run model=sdm protocol.ties=expected", "tie_policy"),
        ("run model=sdm protocol.dev_item=random", "validation_item"),
        ("run model=sdm protocol.last_tie=file", "equal_times"),
        ("run model=sdm protocol.select_on=dev", "select_on=validation"),
        ("run model=sdm dataset=epinions dataset.least=3", "min_count"),
        ("run model=sdm dataset=epinions dataset.iterated=true", "iterative"),
        ("run model=sdm dataset=ta-feng dataset.smallest=3", "min_basket"),
        ("run model=sdm model.variant=released", "model=sdm-released"),
        ("run model=sdm development_instances=9", "validation_instances"),
        ("run model=sdm settings=chosen", "settings=tuned"),
        ("run model=sdm settings=plain", "settings=default"),
        ("run model=item-knn model.neighbours=9", "neighbors"),
        ("table settings=chosen", "settings=tuned"),
        ("sweep model=sdm search=transferred", "search=tpe"),
    ],
)
def test_old_word_is_answered_by_one_line_that_names_the_new_one(arguments: str, new: str, sdmr: Sdmr) -> None:
    answer = sdmr(*arguments.split())
    assert answer.status == 2
    assert new in answer.error.partition(" is now ")[2]
    words = cli.read_old_words()["words"]
    assert not set(words) & set(words.values())


@pytest.mark.parametrize(("arguments", "meant"), [("tabel number=3", "table"), ("table nubmer=3", "number")])
def test_misspelt_command_or_option_is_answered_with_the_right_one(arguments: str, meant: str, sdmr: Sdmr) -> None:
    answer = sdmr(*arguments.split())
    assert answer.status == 2
    assert f"; did you mean {meant}?" in answer.error


def test_message_on_an_argument_of_a_model_suggests_no_option(sdmr: Sdmr) -> None:
    assert "did you mean" not in sdmr("check", "model=sdm", "model.x=1").error


def test_hydra_launcher_is_named_in_full_in_an_error(sdmr: Sdmr) -> None:
    assert "there are basic" in sdmr("run", "-m", "model=sdm", "hydra/launcher=nowhere").error


def test_missing_data_are_one_line_and_exit_1(sdmr: Sdmr, tmp_path: Path) -> None:
    answer = sdmr("run", "model=popularity", "dataset=csv", f"dataset.path={tmp_path}/nowhere.csv")
    assert answer.status == 1
    assert "nowhere.csv cannot be read" in answer.error


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".inter", ".jsonl", ".parquet", ".gz", ".zip"])
@pytest.mark.parametrize("is_text", [True, False])
@pytest.mark.parametrize(
    "command", ["data path={}", "run model=popularity dataset=csv dataset.path={}", "score scores={}"]
)
def test_random_bytes_are_one_line_and_exit_1(
    command: str, is_text: bool, suffix: str, sdmr: Sdmr, tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    path = tmp_path / f"random{suffix}"
    path.write_bytes(np.random.default_rng(0).integers(1 if is_text else 0, 128 if is_text else 256, 2000, np.uint8))
    answer = sdmr(*command.format(path).split(), *(overrides if "score" in command else ()))
    assert (answer.status, answer.out) == (1, "")
    assert path.name in answer.error
    assert answer.error.isprintable()


@pytest.mark.parametrize("folder", ["FILE/runs", "/proc/zz"])
@pytest.mark.parametrize("command", ["run model=popularity", "run -m model=popularity,item-knn"])
def test_folder_that_cannot_be_made_is_one_line_and_exit_1(
    command: str, folder: str, sdmr: Sdmr, tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    (tmp_path / "file").touch()
    folder = folder.replace("FILE", str(tmp_path / "file"))
    answer = sdmr(*command.split(), *overrides, f"runs={folder}")
    assert answer.status == 1
    assert answer.err.splitlines()[-1].startswith(f"sdmr run: {folder}")
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    "command",
    [
        "run model=sdm",
        "run -m model=sdm,sdp",
        "table models=sdm datasets=csv",
        "publish models=sdm",
        "bench suite=smoke",
        "sweep model=sdm",
        "status model=sdm",
        "audit",
        "figure name=figure6",
        "export to=x",
        "check model=sdm",
    ],
)
def test_unknown_setting_is_refused_before_any_data_are_read(
    command: str, sdmr: Sdmr, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> None:
        raise AssertionError("data are read")

    monkeypatch.setattr("sdmr.experiments.core.run.bind_reader", read)
    answer = sdmr(*command.split(), "++zz=1")
    assert (answer.status, answer.out) == (2, "")
    assert "zz" in answer.error


@pytest.mark.parametrize(
    ("command", "help_command"),
    [
        ("run model=sdm model.hops=0", "sdmr run model=sdm --help"),
        ("sweep model=[sdm] model.hop=2", "sdmr run model=sdm --help"),
        ("table cutoffs=0", "sdmr table --help"),
    ],
)
def test_a_message_names_the_command_that_lists_the_options(command: str, help_command: str, sdmr: Sdmr) -> None:
    assert f"(`{help_command}` lists the options)" in sdmr(*command.split()).error


def test_interrupt_is_one_line_and_exit_130(sdmr: Sdmr, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sdmr.experiments.run.compose_config", interrupt)
    answer = sdmr("run", "model=sdm")
    assert (answer.status, answer.error.partition(";")[0]) == (130, "interrupted")


def test_interrupt_of_a_command_that_makes_no_runs_promises_nothing(
    sdmr: Sdmr, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    errors = {}
    for command in ("bench", "compare", "publish", "table"):
        monkeypatch.setattr(f"sdmr.experiments.{command}.main", interrupt)
        errors[command] = sdmr(command, "runs=here").error
    assert sdmr("bench", "suite=smoke").error.startswith("interrupted; the same command continues")
    assert errors.pop("table").startswith("interrupted; the same command continues")
    assert set(errors.values()) == {"interrupted"}


def test_command_whose_output_nobody_reads_on_ends_quietly(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def write(*_: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("sdmr.experiments.run.compose_config", write)
    assert cli.main(["run", "model=sdm"]) == cli.CLOSED
    assert capfd.readouterr() == ("", "")


def test_help_into_a_closed_pipe_prints_no_error(tmp_path: Path) -> None:
    program = "import sys; from sdmr.experiments.core.cli import main; sys.exit(main(['--help']))"
    with subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout
        process.stdout.close()
        assert process.stderr
        assert process.stderr.read() == ""
    assert process.returncode == cli.CLOSED


def test_cfg_job_prints_every_setting_resolved(sdmr: Sdmr) -> None:
    answer = sdmr("run", "model=sdm", "settings=tuned", "epochs=7", "--cfg", "job")
    assert answer.status == 0
    assert "${" not in answer.out
    tuned = yaml.safe_load(get_tuned_path("ml-100k", "sdm").read_text())
    hops, search = tuned["model"]["hops"], tuned["tuning"]["search"]
    for line in ("seed: 0", f"  hops: {hops}", "    epochs: 7", f"  search: {search}", "  tie_policy:"):
        assert f"\n{line}" in f"\n{answer.out}"


def test_multirun_makes_every_combination_and_nothing_else(
    sdmr: Sdmr, tmp_path: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = ("model=popularity,item-knn", "split_seed=0,1")
    monkeypatch.chdir(tmp_path)
    answer = sdmr("run", "-m", *sweep, *overrides)
    assert answer.status == 0, answer.err
    assert answer.out.count("on csv, test") == 4
    *_, header, _, first, second, third, fourth, end = answer.out.splitlines()
    assert header.split()[:4] == ["model", "split_seed", "validation", "NDCG@10"]
    scores = [float(row.split()[2]) for row in (first, second, third, fourth)]
    assert scores == sorted(scores, reverse=True)
    assert end == "4 of 4 runs, the best validation NDCG@10 first; records: runs/csv/RUN/record.json"
    assert len(list(tmp_path.glob("runs/csv/*/record.json"))) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["csv"]


def test_interrupted_multirun_leaves_no_file(
    sdmr: Sdmr, tmp_path: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sdmr.experiments.run.execute", interrupt)
    answer = sdmr("run", "-m", "model=popularity,item-knn", *overrides)
    assert (answer.status, answer.error.partition(";")[0]) == (130, "interrupted")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("start", ["from sdmr.experiments.core.cli import main; main(['status'])", "MODULE"])
def test_current_folder_is_first_on_the_import_path_and_the_checkout_last(start: str, tmp_path: Path) -> None:
    checkout = cli.COMMANDS_FOLDER.parent.resolve()
    module = "import runpy; sys.argv = ['x']\ntry: runpy.run_module('sdmr.experiments.run', run_name='__main__')\n"
    program = f"import sys\n{module}except SystemExit: pass" if start == "MODULE" else f"import sys; {start}"
    program += f"\nprint(sys.path[0], [name for name in {FOLDERS!r} if name in sys.modules], sys.path[-1], sep='|')"
    first, modules, _ = run_python(tmp_path, program)[-1].split("|")
    assert (first, modules) == (str(tmp_path), "[]")
    first, modules, last = run_python(checkout, program)[-1].split("|")
    assert (modules, last) == ("[]", str(checkout))
    assert first not in ("", str(checkout))

"""Runs as tasks of Ray and as jobs of Slurm: the same records and reports of failures as on this machine."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from sdmr.experiments.core import tuned
from sdmr.experiments.core.cluster import ClusterOptions, get_launcher
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.parallel import Outcome, make_outcome, run_all
from tests.experiments.conftest import run_of
from tests.experiments.core.test_parallel import Deadly
from tests.experiments.tuning.helpers import call, read_points

pytestmark = pytest.mark.usefixtures("temporary_cache")


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> str:
    """Let Submitit start the jobs as processes of this machine."""
    pytest.importorskip("submitit")
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "local")
    return "slurm"


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """Start a head on the loopback interface alone, with two cores."""
    module = pytest.importorskip("ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    program = [sys.executable, "-m", "ray.scripts.scripts"]
    options = ["--num-cpus=2", "--include-dashboard=false", "--disable-usage-stats", "--node-ip-address=127.0.0.1"]
    head = subprocess.Popen(
        [*program, "start", "--head", "--block", f"--port={address.rpartition(':')[2]}", *options],
        env={**os.environ, "RAY_TMPDIR": "/tmp"},
        stdout=subprocess.DEVNULL,
    )
    monkeypatch.setenv("RAY_ADDRESS", address)
    try:
        for _ in range(60):
            try:
                module.init(address=address, logging_level="error", log_to_driver=False)
                break
            except ConnectionError:
                assert head.poll() is None
        yield "ray"
    finally:
        module.shutdown()
        head.terminate()
        head.wait()


@pytest.fixture(params=["slurm", "ray"])
def cluster(request: pytest.FixtureRequest) -> str:
    name: str = request.getfixturevalue(request.param)
    return name


@pytest.mark.slow
def test_runs_of_a_cluster_have_the_records_and_failures_of_this_machine(
    cluster: str, tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    good = ("model=mf-bpr", "test=false", "epochs=2", *overrides)
    failing = (*good, "model.optimization.learning_rate=1e30")
    deadly = (f"model._target_={Deadly.__module__}.Deadly", *overrides)
    launch = get_launcher(ClusterOptions(cluster=cluster), tmp_path)  # type: ignore[arg-type]
    outcomes = {one.overrides: one for one in run_all([good, failing, deadly], tmp_path, 3, launch=launch)}
    here = make_outcome(good, tmp_path / "here").record
    there = outcomes[good].record
    assert here is not None
    assert there is not None
    assert (there.run, there.validation, there.best_epoch) == (here.run, here.validation, here.best_epoch)
    assert "nan" in outcomes[failing].error
    assert run_of(tmp_path, *failing).failure == outcomes[failing].error
    assert outcomes[deadly].has_died
    assert run_of(tmp_path, *deadly).failure == outcomes[deadly].error


@pytest.mark.slow
def test_a_search_on_a_cluster_goes_on_as_on_this_machine(
    cluster: str, tmp_path: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tuned, "FOLDER", tmp_path / "tuned")
    arguments = ("model=mf-bpr", "epochs=2", *overrides, "workers=1")
    for trials in (1, 3):
        assert call(*arguments, f"trials={trials}", f"cluster={cluster}") == 0
    there = read_points()
    assert call(*arguments, "trials=3", "runs=here", "results=here") == 0
    assert there == read_points(results="here")


@pytest.mark.slow
def test_what_ends_the_command_ends_the_runs_of_a_cluster(
    cluster: str, tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    long = ("model=mf-bpr", "test=false", "epochs=100000", "patience=100000", *overrides)
    launch = get_launcher(ClusterOptions(cluster=cluster), tmp_path)  # type: ignore[arg-type]

    def fail_after_start() -> Iterator[tuple[str, ...]]:
        yield long
        while not list(tmp_path.glob("*/*/checkpoint.pt")):
            time.sleep(0.1)
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        list(run_all(fail_after_start(), tmp_path, 2, launch=launch))
    assert not run_of(tmp_path, *long).is_running


def test_a_job_has_its_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters: dict[str, object] = {}
    executor = SimpleNamespace(update_parameters=lambda **options: parameters.update(options))
    utils = SimpleNamespace(UncompletedJobError=OSError, FailedJobError=OSError, FailedSubmissionError=OSError)
    module = SimpleNamespace(AutoExecutor=lambda **_: executor, core=SimpleNamespace(utils=utils))
    monkeypatch.setitem(sys.modules, "submitit", module)
    get_launcher(ClusterOptions(cluster="slurm", job_minutes=7), tmp_path)
    assert parameters["timeout_min"] == 7


def test_jobs_that_end_are_those_that_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = []

    class FakeTask:
        def result(self) -> Outcome:
            launch.cancel()
            return Outcome((), None)

        def cancel(self) -> None:
            ended.append(self)

    jobs = [FakeTask(), FakeTask()]
    executor = SimpleNamespace(update_parameters=lambda **_: None, submit=lambda *_: jobs[len(ended)])
    utils = SimpleNamespace(UncompletedJobError=OSError, FailedJobError=OSError, FailedSubmissionError=OSError)
    module = SimpleNamespace(AutoExecutor=lambda **_: executor, core=SimpleNamespace(utils=utils))
    monkeypatch.setitem(sys.modules, "submitit", module)
    launch = get_launcher(ClusterOptions(cluster="slurm"), tmp_path)
    assert launch is not None
    for _ in jobs:
        launch(("model=popularity",), tmp_path, None, "")
    assert ended == jobs


def test_a_machine_without_slurm_is_an_error_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise RuntimeError('Could not detect "srun"')

    monkeypatch.setitem(sys.modules, "submitit", SimpleNamespace(AutoExecutor=refuse))
    with pytest.raises(UsageError, match=r'cluster=slurm: Could not detect "srun".*; give the command on a machine'):
        get_launcher(ClusterOptions(cluster="slurm"), tmp_path)


@pytest.mark.parametrize("name", ["ray", "slurm"])
def test_a_cluster_that_is_not_installed_is_an_error_that_names_the_extra(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, {"ray": "ray", "slurm": "submitit"}[name], None)
    with pytest.raises(
        UsageError, match=rf"cluster={name}: .* is not installed; pip install 'sdmr-benchmark\[{name}\]'"
    ):
        get_launcher(ClusterOptions(cluster=name), tmp_path)  # type: ignore[arg-type]


def test_a_missing_head_is_an_error_that_says_how_to_start_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise ConnectionError

    exceptions = SimpleNamespace(RayError=RuntimeError)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=refuse, exceptions=exceptions))
    with pytest.raises(UsageError, match="there is no head; `ray start --head` starts one"):
        get_launcher(ClusterOptions(cluster="ray"), tmp_path)


def test_this_machine_needs_no_launcher(tmp_path: Path) -> None:
    assert get_launcher(ClusterOptions(), tmp_path) is None

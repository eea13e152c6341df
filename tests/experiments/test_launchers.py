"""Where a multirun may run: each of Hydra's launchers once, for real, where it is installed (an extra)."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow
CHECKOUT = Path(__file__).parents[2]


def needs(module: str) -> pytest.MarkDecorator:
    try:
        is_installed = find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package that it is in
        is_installed = False
    return pytest.mark.skipif(not is_installed, reason=f"{module} is not installed")


def multirun(folder: Path, *launcher: str) -> subprocess.CompletedProcess[str]:
    """A sweep of three runs, one of which fails, by a launcher."""
    rng = np.random.default_rng(5)
    rows = [f"{user},{item},{time}" for user in range(30) for time, item in enumerate(rng.choice(140, 8, False))]
    (folder / "small.csv").write_text("\n".join(["user,item,time", *rows]) + "\n")
    data = ("dataset=csv", f"dataset.path={folder / 'small.csv'}", "dataset.time=time", "epochs=1", "test=false")
    axis = "model.optimization.learning_rate=0.001,0.01,1e30"
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "sdmr.experiments.run",
            "-m",
            *launcher,
            "model=mf-bpr",
            axis,
            *data,
            f"runs={folder}/runs",
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "SDMR_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        timeout=600,
    )


def check_two_runs_and_one_failure(folder: Path, done: subprocess.CompletedProcess[str]) -> None:
    runs = folder / "runs" / "csv"
    rates = [
        json.loads(path.read_text())["config"]["model"]["optimization"]["learning_rate"]
        for path in runs.glob("*/record.json")
    ]
    assert sorted(rates) == [0.001, 0.01], done.stderr
    assert len(list(runs.glob("*/failure.json"))) == 1
    assert done.returncode != 0


@needs("hydra_plugins.hydra_joblib_launcher")
def test_joblib_launcher_makes_runs_and_reports_the_failed_one(tmp_path: Path) -> None:
    done = multirun(tmp_path, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    check_two_runs_and_one_failure(tmp_path, done)


@needs("hydra_plugins.hydra_submitit_launcher")
def test_submitit_launcher_makes_runs_by_its_local_executor(tmp_path: Path) -> None:
    done = multirun(tmp_path, "hydra/launcher=submitit_local", "hydra.launcher.timeout_min=10")
    check_two_runs_and_one_failure(tmp_path, done)


@needs("hydra_plugins.hydra_ray_launcher")
def test_ray_launcher_makes_runs_on_a_head_on_loopback(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    start = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--num-cpus=2"]
    addresses = ["--node-ip-address=127.0.0.1", f"--port={address.rpartition(':')[2]}", "--include-dashboard=false"]
    with (tmp_path / "log").open("w") as log:
        head = subprocess.Popen(
            [*start, *addresses, "--disable-usage-stats"], stdout=log, stderr=log, start_new_session=True
        )
        try:
            deadline = time.monotonic() + 300
            while "Ray runtime started" not in (tmp_path / "log").read_text():
                assert head.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.5)
            options = (
                f"hydra.launcher.ray.init.address={address}",
                "+hydra.launcher.ray.init.object_store_memory=null",
            )
            check_two_runs_and_one_failure(tmp_path, multirun(tmp_path, "hydra/launcher=ray", *options))
        finally:
            os.killpg(head.pid, signal.SIGKILL)
            head.wait()

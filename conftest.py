"""Run every test on one thread: runs are repeatable, and two test processes do not fight for cores."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

from sdmr.harness import kernels

torch.set_num_threads(1)
# A busy machine changes no verdict.
settings.register_profile("sdmr", deadline=None)
settings.load_profile("sdmr")
# Tests call make as a user does, under `make test` too.
for name in ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS"):
    os.environ.pop(name, None)


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Set PyTorch's number of threads; compiled loops share even the least work among them."""
    before = torch.get_num_threads()
    monkeypatch.setattr(kernels, "_MIN_WORK_TO_SHARE", 1)
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


TOP_LEVEL_MODULES: set[str] = set()  # that the workers of pytest-xdist have imported


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker has imported."""
    TOP_LEVEL_MODULES.update(getattr(node, "workeroutput", {}).get("top_level_modules", []))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run if a test has imported a folder of the checkout without its package `sdmr`."""
    names = sorted({*find_top_level_modules(), *TOP_LEVEL_MODULES})
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["top_level_modules"] = names
    elif names:
        print(f"\nimported without the package sdmr: {', '.join(names)}", file=sys.stderr)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def find_top_level_modules() -> list[str]:
    """Return the folders of this checkout that are imported as packages of their own."""
    checkout = Path(__file__).parent
    modules = {name: sys.modules.get(name) for name in ("datasets", "harness", "models", "baselines", "experiments")}
    files = {name: getattr(module, "__file__", None) or "" for name, module in modules.items()}
    return [name for name, file in files.items() if file and Path(file).resolve().is_relative_to(checkout)]

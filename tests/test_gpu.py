"""Every model that is trained by gradient does on a GPU what it does on a processor: `pytest -m gpu`."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.behavior import RecommenderBehavior
from tests.every_model import BEHAVIORS, check_resumed, check_steps, every_model, make_on

DEVICE = "cuda"
pytestmark = pytest.mark.gpu
if not torch.cuda.is_available():
    pytest.skip("PyTorch finds no CUDA device", allow_module_level=True)


for behavior in BEHAVIORS:
    methods = {"make": lambda self, behavior=behavior: make_on(DEVICE, behavior)}
    globals()[f"{behavior.__name__}OnGPU"] = type(f"{behavior.__name__}OnGPU", (behavior,), methods)


@pytest.fixture(autouse=True, scope="module")
def deterministic() -> Iterator[None]:
    """Let PyTorch choose the operations that give the same bits each time."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # which they need
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


@every_model
def test_scores_gradients_and_steps_are_those_of_the_processor(
    behavior: type[RecommenderBehavior], tmp_path: Path
) -> None:
    check_steps(DEVICE, behavior, tmp_path)


@every_model
def test_an_interrupted_fit_resumes_to_the_same_bits(behavior: type[RecommenderBehavior], tmp_path: Path) -> None:
    check_resumed(DEVICE, behavior, tmp_path)

"""Any model that is trained by gradient resumes a fit, and a copy of it makes the same steps."""

from pathlib import Path

from tests.behavior import RecommenderBehavior
from tests.every_model import check_resumed, check_steps, every_model


@every_model
def test_an_interrupted_fit_resumes_to_the_same_bits(behavior: type[RecommenderBehavior], tmp_path: Path) -> None:
    check_resumed("cpu", behavior, tmp_path)


@every_model
def test_a_saved_model_makes_the_steps_of_the_first_one(behavior: type[RecommenderBehavior], tmp_path: Path) -> None:
    """Make the comparison of a GPU with the processor, on the processor."""
    check_steps("cpu", behavior, tmp_path)

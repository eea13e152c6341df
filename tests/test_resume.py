"""A fit of any model that is trained by gradient goes on after an interruption."""

from pathlib import Path

from tests.behavior import RecommenderBehavior
from tests.every_model import check_resumed, every_model


@every_model
def test_an_interrupted_fit_resumes_to_the_same_bits(behavior: type[RecommenderBehavior], tmp_path: Path) -> None:
    check_resumed("cpu", behavior, tmp_path)

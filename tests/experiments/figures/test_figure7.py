"""Figure 7: the case that it shows, and the weights of its hops."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sdmr.datasets.movielens import Movie
from sdmr.datasets.task import Task
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.figures.figure7 import Case, build_frame, choose_case, name_items
from sdmr.experiments.figures.figure7 import draw as draw_figure
from tests.experiments.figures.records import is_drawn, read_rows
from tests.experiments.figures.tasks import split_histories

Command = Callable[..., int]
MOVIES = {
    7: Movie("Money Talks (1997)", ("Action", "Comedy")),
    70: Movie("Money Talks (1997)", ("Action", "Comedy")),
    8: Movie("Fire Down Below (1997)", ("Action", "Drama", "Thriller")),
}


def test_figure_shows_the_hops_of_a_user_and_target(
    data: Path, small: tuple[str, ...], tmp_path: Path, draw: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = read_rows(data)
    taken = {row["item"] for row in rows if row["user"] == "u7"}
    target = next(row["item"] for row in rows if row["item"] not in taken)
    assert draw("name=figure7", *small, "hops=3", "user=u7", f"target={target}") == 0
    assert "a test context, with another target, of user u7" in capsys.readouterr().out
    assert is_drawn(tmp_path / "plots", "figure7")
    rows = read_rows(tmp_path / "plots" / "figure7.csv")
    assert {(row["user"], row["target"]) for row in rows} == {("u7", target)}
    for hop in ("1", "2", "3"):
        weights = [float(row["attention"]) for row in rows if row["hop"] == hop]
        assert len(weights) == 5
        assert sum(weights) == pytest.approx(1, abs=1e-5)
    with pytest.raises(UsageError, match="user=u60: there is no such user"):
        draw("name=figure7", *small, "hops=3", "user=u60")
    with pytest.raises(UsageError, match=r"hops=\[2,3\]: figure7 shows one model"):
        draw("name=figure7", *small, "hops=[2,3]")


def test_each_column_of_the_grid_is_a_hop_and_each_row_an_item_with_its_weight() -> None:
    case = Case(0, 9, np.array([130, 4, 7]), "a test instance")  # the first is padding
    weights = np.array([[0.0, 0.3, 0.7], [0.0, 0.6, 0.4]])
    frame = build_frame(case, weights, np.arange(10), name_items(np.arange(130), MOVIES))
    figure = draw_figure(frame)
    axes = figure.axes[0]
    assert axes.images[0].get_array().tolist() == [[0.3, 0.6], [0.7, 0.4]]
    assert [text.get_text() for text in axes.texts] == ["0.300", "0.600", "0.700", "0.400"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["4", str(MOVIES[7])]


def choose(
    task: Task, movies: dict[int, Movie] = MOVIES, user: str | None = None, target: str | None = None
) -> tuple[int, int, list[int], str]:
    """Return user, target and context of the case, and where it comes from."""
    items = name_items(np.arange(130), movies)
    case, origin = choose_case(task, 4, np.arange(10), items, user, target)
    return case.user, case.target, case.context.tolist(), origin


def test_papers_case_is_taken_if_the_split_has_it() -> None:
    rest = [20, 21, 22, 23, 24]
    task = split_histories(u1=[*rest, 8], u2=[*rest, 70, 25, 8], u3=[7, 8, *rest])
    user, target, context, origin = choose(task)
    assert (user, target) == (2, 8)
    assert 70 in context  # under the other of its two ids
    assert origin == "the paper's case: a test instance of user 2"


def test_case_nearest_to_the_papers_is_taken_otherwise_and_described() -> None:
    rest = [20, 21, 22, 23, 24, 25, 26, 27]
    user, target, context, origin = choose(split_histories(u1=[*rest, 8], u3=[7, 8, *rest]))
    assert (user, target) == (3, 8)
    assert 7 in context
    nearest = "the paper's case is no test instance of this split; the nearest is a "
    assert origin in [f"{nearest}{side} instance of user 3" for side in ("validation", "training")]
    user, target, _, origin = choose(split_histories(u1=[*rest, 8], u3=[7, *rest]))
    assert (user, target) == (1, 8)
    lack = ", without Money Talks (1997) among the 4 latest items"
    assert origin == f"{nearest}test instance of user 1{lack}"


def test_user_and_target_choose_the_case() -> None:
    task = split_histories(u1=[20, 21, 22, 23, 8], u2=[30, 31, 32, 33, 7])
    assert choose(task, user="2")[:2] == (2, 7)
    assert choose(task, target="Fire Down Below (1997)")[:2] == (1, 8)
    assert choose(task, target="33")[:2] in ((2, 33), (9, 33))
    user, target, context, origin = choose(task, user="2", target="8")
    assert (user, target) == (2, 8)
    assert set(context) <= {30, 31, 32, 33, 130}
    assert origin == "a test context, with another target, of user 2"
    assert choose(task, movies={})[3].startswith("a test instance of user")
    with pytest.raises(UsageError, match=r"no item 'Money talk'; titles like it: Money Talks \(1997\)"):
        choose(task, target="Money talk")

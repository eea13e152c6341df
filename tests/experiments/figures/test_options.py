"""Options of `sdmr figure`: each figure has its own, and no override may make its labels untrue."""

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

from sdmr.experiments import figure
from sdmr.experiments.core import cli, paths
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.options import parse_options
from sdmr.experiments.figures.options import FigureOptions, check_options

Command = Callable[..., int]


@pytest.mark.parametrize(
    ("name", "argument", "message"),
    [
        ("figure5", "model.hops=2", "model.hops=2 would make the figure's labels wrong"),
        ("figure6", "++model.dim=16", "model.dim=16 would make the figure's labels wrong"),
        ("figure6", "model.gmf.dim=16", "model.gmf.dim=16 would make the figure's labels wrong"),
        ("figure7", "model.dim=16", "model.dim=16 would make the figure's labels wrong"),
        ("figure6", "protocol.tie_policy=optimistic", "figures count ties with their expected value"),
        ("curves", "protocol.tie_policy=optimistic", "figures count ties with their expected value"),
        ("figure6", "seeds=0", "seeds=0: must be greater than or equal to 1"),
        ("figure6", "dims=0", "dims=0: must be greater than 0"),
        ("figure6", "lengths=[5,0]", "lengths=0: must be greater than 0"),
        ("figure5", "hops=0", "hops=0: must be greater than 0"),
        ("figure6", "workers=-1", "workers=-1: must be greater than or equal to 1"),
        ("figure6", "test=false", "test=false: test is the same in every run of this command"),
        ("figure5", "threads=2", "threads=2 has no effect here"),
        ("figure5", "dims=[8]", "dims=...: figure5 has no such option; it has dataset, dim, hops, seeds, train"),
        ("figure6", "seed=1", "seed=...: figure6 has no such option"),
        ("figure7", "seeds=2", "seeds=...: figure7 has no such option"),
        ("curves", "train=true", "train=...: curves has no such option"),
        ("speed", "workers=2", "workers=...: speed has no such option"),
        ("figure8", "dim=8", "name=figure8: must be 'figure5', 'figure6', 'figure7', 'curves', 'speed' or 'published'"),
        ("figure6", "output=../x", "output=../x: expected a name, not a path"),
        ("figure6", "output=..", "output=..: expected a name, not a path"),
        ("figure6", "output=/x", "output=/x: expected a name, not a path"),
        ("figure6", "models=[]", "models=[]: expected at least one value"),
        ("figure6", "hops=[]", "hops=[]: expected at least one value"),
        ("published", "output=x", "output=...: name=published has no such option; it has name, runs, results, plots, "),
        ("published", "seeds=2", "seeds=...: name=published has no such option"),
        ("published", "epochs=2", "epochs=2: name=published has no such option"),
    ],
)
def test_options_and_overrides_that_a_figure_would_not_show_are_refused(
    name: str, argument: str, message: str, draw: Command
) -> None:
    with pytest.raises(UsageError) as error:
        draw(f"name={name}", argument)
    assert message in str(error.value)


def test_settings_note_names_what_differs_from_the_default_settings() -> None:
    assert parse_options(FigureOptions, ["name=curves", "seeds=3"]).settings_note == ""
    options = parse_options(FigureOptions, ["name=curves", "settings=tuned", "epochs=2", "split_seed=1"])
    assert options.settings_note == "; made with tuned settings, epochs=2, split_seed=1"


def test_users_may_be_numbers_and_titles_are_quoted() -> None:
    options = parse_options(FigureOptions, ["name=figure7", "user=13", 'target="Titanic (1997)"'])
    assert (options.user, options.target) == ("13", "Titanic (1997)")


def test_help_lists_the_options_of_each_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["figure", "--help"]) == 0
    out = capsys.readouterr().out
    assert "  figure7  Figure 7: the attention of each hop" in out
    assert "dataset, dim, hops, seed, user, target, train, workers" in out


def test_published_figures_are_drawn_one_after_the_other_by_one_command(
    draw: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[FigureOptions] = []
    monkeypatch.setattr(figure, "draw", lambda options: drawn.append(options) or len(drawn) % 2)
    assert draw("name=published") == 1  # a figure that fails does not stop the others
    assert len(drawn) == len(figure.PUBLISHED)
    assert {options.plots for options in drawn} == {str(tmp_path / "plots")}
    assert {options.train for options in drawn} == {True}
    files = {options.file_name for options in drawn}
    published = {path.stem for path in (paths.CHECKOUT / "plots").glob("*.png")}
    assert published <= files | {"bench", "bench-epochs"}
    drawn.clear()
    draw("name=published", "train=false", "publish=true", "workers=3")
    for options in drawn:
        has_runs = options.name in ("figure5", "figure6", "figure7")
        assert options.train != has_runs
        assert options.publish == (options.name == "figure6")
        assert (options.workers == 3) == has_runs


@pytest.mark.parametrize("part", figure.PUBLISHED)
def test_a_published_figure_has_options_of_its_own(part: str) -> None:
    options = parse_options(FigureOptions, part.split())
    module = importlib.import_module(f"sdmr.experiments.figures.{options.name}")
    check_options(options, module)

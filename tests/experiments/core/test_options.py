"""Options of a command: lists, values of the wrong type, and what help prints."""

import re

import pytest
from pydantic import Field

from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.grammar import quote_value
from sdmr.experiments.core.options import CommandOptions, Names, Numbers, RunOptions, parse_options


class Small(CommandOptions):
    models: Names = Field(["sdm"], description="models")
    dims: Numbers = Field([8], description="sizes")
    train: bool = Field(True, description="make missing runs")


@pytest.mark.parametrize(("text", "names"), [("sdp", ["sdp"]), ("[sdp]", ["sdp"]), ("[sdp,sdm]", ["sdp", "sdm"])])
def test_list_of_names_is_written_as_one_value_or_in_brackets(text: str, names: list[str]) -> None:
    assert parse_options(Small, [f"models={text}"]).models == names


@pytest.mark.parametrize(("text", "numbers"), [("16", [16]), ("[16,32]", [16, 32])])
def test_list_of_numbers_is_written_as_one_value_or_in_brackets(text: str, numbers: list[int]) -> None:
    assert parse_options(Small, [f"dims={text}"]).dims == numbers


def test_sweep_value_in_a_list_option_is_refused_with_the_right_form() -> None:
    with pytest.raises(UsageError, match=r"models=sdm,sdp: expected one value; a list is written models=\[sdm,sdp\]"):
        parse_options(Small, ["models=sdm,sdp"])


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (
            "modelz=sdm",
            "modelz=sdm: there is no option 'modelz'; there are models, dims, train; did you mean models\\?",
        ),
        ("+modelz=sdm", "modelz=sdm: there is no option 'modelz'"),
        ("dims=x", r"dims=x: expected a whole number, or a list of them such as \[1,2\]"),
        ("dims=[8,x]", r"dims=\[8,x\]: expected a whole number, or a list of them such as \[1,2\]"),
        ("dims=[4,0]", "dims=0: must be greater than 0"),
        ("dims=1e400", "dims=1e400: expected a number below 1.8e308"),
        ("models=", "models=: this option needs a value$"),
        ("models=''", "models=: this option needs a value$"),
        ("models=[a,'']", "models=: this option needs a value$"),
        ("train=3", "train=3: must be a valid boolean"),
        ("-m", "-m: expected key=value"),
        ("models", "models: expected key=value"),
        ("models=[a", r"models=\[a: "),
    ],
)
def test_wrong_argument_is_an_error_that_names_it(argument: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}"):
        parse_options(Small, [argument])


@pytest.mark.parametrize("text", ["1e400", "-1e400", "[8,1e400]", "1e400,8", "1.5E+999"])
def test_number_too_large_is_refused_as_it_was_typed(text: str) -> None:
    with pytest.raises(UsageError, match=rf"^model.dim={re.escape(text)}: expected a number below 1.8e308"):
        quote_value(f"model.dim={text}")


@pytest.mark.parametrize("text", ["1e300", "1e-400", "inf", "data/1e400/x", "'1e400'", "x1e400"])
def test_text_and_numbers_of_a_usual_size_are_no_number_too_large(text: str) -> None:
    assert quote_value(f"model.dim={text}") == f"model.dim={text}"


def test_setting_without_a_value_is_refused_with_how_an_empty_text_is_written() -> None:
    with pytest.raises(UsageError, match=r"^dataset\.path=: .* value; an empty text is dataset\.path=''$"):
        parse_options(RunOptions, ["dataset.path="])
    assert parse_options(RunOptions, ["model.suffix=''"]).overrides == ["model.suffix=''"]


def test_option_or_override_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="train is given twice"):
        parse_options(Small, ["train=true", "++train=false"])
    with pytest.raises(UsageError, match="epochs is given twice"):
        parse_options(RunOptions, ["epochs=1", "+epochs=2"])


def test_other_keys_are_overrides_of_the_runs() -> None:
    options = parse_options(RunOptions, ["workers=2", "epochs=1", "model.dim=3"])
    assert (options.workers, options.overrides) == (2, ["epochs=1", "model.dim=3"])

"""Options of a command: lists, values of the wrong type, and what help prints."""

import pytest
from pydantic import Field

from sdmr.experiments.core.options import CommandOptions, Names, Numbers, RunOptions, UsageError, parse_options


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
        ("dims=[x]", r"dims\.0=x: must be a valid integer"),
        ("train=3", "train=3: must be a valid boolean"),
        ("-m", "-m: expected key=value"),
        ("models", "models: expected key=value"),
        ("models=[a", r"models=\[a: "),
    ],
)
def test_wrong_argument_is_an_error_that_names_it(argument: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}"):
        parse_options(Small, [argument])


def test_option_or_override_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="train is given twice"):
        parse_options(Small, ["train=true", "++train=false"])
    with pytest.raises(UsageError, match="epochs is given twice"):
        parse_options(RunOptions, ["epochs=1", "+epochs=2"])


def test_other_keys_are_overrides_of_the_runs() -> None:
    options = parse_options(RunOptions, ["workers=2", "epochs=1", "model.dim=3"])
    assert (options.workers, options.overrides) == (2, ["epochs=1", "model.dim=3"])

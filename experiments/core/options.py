"""The options of a command, parsed by Hydra's grammar and checked by pydantic."""

import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from joblib import cpu_count
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, ValidationError
from pydantic_core import PydanticCustomError

from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.grammar import drop_plus, parse_value, quote_elements
from sdmr.experiments.core.messages import NO_VALUE, explain_validation_error, list_choices

CORES = cpu_count()  # that this process may use; a scheduler or a container may leave it fewer than there are

# A list on the command line: `models=[sdp,sdm]`, or `models=sdm` for one.
NotEmpty = Field(min_length=1)
Names = Annotated[list[str], NotEmpty, BeforeValidator(lambda value: value if isinstance(value, list) else [value])]


def _list_numbers(value: Any) -> list[Any]:
    numbers = value if isinstance(value, list) else [value]
    if value is not None and not all(type(number) is int for number in numbers):
        raise PydanticCustomError("numbers", "expected a whole number, or a list of them such as [1,2]")
    return numbers


Numbers = Annotated[list[PositiveInt], NotEmpty, BeforeValidator(_list_numbers)]


def _check_name(name: str) -> str:
    if name in ("", "..") or Path(name).name != name or "\\" in name:
        raise PydanticCustomError("name", "expected a name, not a path")
    return name


FileName = Annotated[str, AfterValidator(_check_name)]  # of files in the folder of a command, which it cannot leave


class CommandOptions(BaseModel):
    """The options of a command, each a field with a default and a description.

    A field `overrides` takes the settings of runs, a field `flags` what starts with a dash. The elements of
    `text_options` are text, also those that look like numbers.
    """

    text_options: ClassVar[tuple[str, ...]] = ()

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, coerce_numbers_to_str=True, str_min_length=1)


class RunOptions(CommandOptions):
    """The options shared by all commands that make runs."""

    workers: int = Field(CORES, ge=1, description="runs side by side, on one thread each")
    runs: str = Field("runs", description="folder of this machine's records")
    results: str = Field("results", description="folder of the published records and tables")
    overrides: list[str] = Field(default_factory=list, description="settings of every run, such as epochs=2")


class TaskOptions(CommandOptions):
    """The options shared by all commands that need a task and train no model."""

    dataset: str = Field("ml-100k", description="data set")
    overrides: list[str] = Field([], description="settings of the task: dataset.*, protocol.*, split_seed")


Options = TypeVar("Options", bound=CommandOptions)


def parse_options(cls: type[Options], arguments: Sequence[str]) -> Options:
    """Parse `key=value` arguments. Raises UsageError that names the argument at fault."""
    names = list_names(cls)
    values: dict[str, Any] = {}
    keys: set[str] = set()
    for argument in map(drop_plus, arguments):
        key, equals, value = argument.partition("=")
        if argument.startswith("-") or not (key and equals):
            if "flags" not in cls.model_fields or not (argument.startswith("-") or values.get("flags")):
                raise UsageError(f"{argument}: expected key=value")
            values.setdefault("flags", []).append(argument)
            continue
        if not value:
            raise UsageError(f"{argument}: {NO_VALUE}" + ("" if key in names else f"; an empty text is {key}=''"))
        if key in keys:
            raise UsageError(f"{argument}: {key} is given twice")
        keys.add(key)
        if key in names:
            values[key] = parse_value(quote_elements(argument) if key in cls.text_options else argument)
        elif "overrides" in cls.model_fields:
            values.setdefault("overrides", []).append(argument)
        else:
            raise UsageError(f"{argument}: there is no option {key!r}; {list_choices(key, names)}")
    try:
        return cls.model_validate_json(json.dumps(values))
    except ValidationError as error:
        raise UsageError(explain_validation_error(error)) from error


def check_used(options: CommandOptions, names: Sequence[str], subject: str) -> None:
    """Raise UsageError for a typed option that is none of the subject's names."""
    for key in sorted(options.model_fields_set.difference(names)):
        typed = options.model_dump()["overrides"][0] if key == "overrides" else f"{key}=..."
        allowed = ", ".join(name for name in names if name != "overrides")
        raise UsageError(f"{typed}: {subject} has no such option; it has {allowed}")


def check_choices(key: str, values: Iterable[str], allowed: Collection[str]) -> None:
    """Raise UsageError for a value that is none of those allowed."""
    if unknown := [value for value in values if value not in allowed]:
        raise UsageError(f"{key}={unknown[0]}: there is none of this name; {list_choices(unknown[0], allowed)}")


def list_names(cls: type[CommandOptions]) -> list[str]:
    """Return the names of a command's options."""
    return [name for name in cls.model_fields if name not in ("overrides", "flags")]

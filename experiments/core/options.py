"""The options of a command, parsed by Hydra's grammar and checked by pydantic."""

import json
import re
from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches
from math import isinf
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from joblib import cpu_count
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, ValidationError
from pydantic_core import PydanticCustomError

CORES = cpu_count()  # that this process may use; a scheduler or a container may leave it fewer than there are
EXPECTED = "expected key=value, a list key=[a,b], or text with such characters in quotes"
NO_VALUE = "this option needs a value"
LARGE_NUMBER = re.compile(r"(?<=[=\[,( ])[+-]?\d[\d._]*e\+?\d+(?![^\]), ])", re.IGNORECASE)
UNION_MEMBER = re.compile(r"int|float|bool|str|.*[\[-].*")  # how pydantic names a type of a union

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


class UsageError(ValueError):
    """A typed argument that cannot be understood, or asks for something not allowed."""


class ConfigError(UsageError):
    """A setting that is unknown, is missing, or has a value that is not allowed."""


class NotTunedError(ConfigError):
    """The lack of tuned settings for a model on some data."""


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


def drop_plus(override: str) -> str:
    """Return an override without `+` or `++`. No setting may be added, except for Hydra's own."""
    return override if is_of_hydra(override) else override.lstrip("+")


def is_of_hydra(override: str) -> bool:
    """Tell whether an override is a setting of Hydra's own, such as a launcher."""
    return override.lstrip("+").startswith(("hydra.", "hydra/"))


def parse_value(argument: str) -> Any:
    """Return what Hydra's grammar makes of the value of `key=value`. Raises UsageError if it is not one value."""
    override = OverridesParser.create().parse_override(quote_value(argument))
    if override.is_sweep_override():
        key, _, values = argument.partition("=")
        raise UsageError(f"{argument}: expected one value; a list is written {key}=[{values}]")
    return override.value()


def quote_value(argument: str) -> str:
    """Return `key=value` with the quotes that Hydra's grammar needs, such as for ; and ~.

    Raises UsageError for a number that is too large, and for what seems meant as a list, text in quotes or a sweep.
    """
    key, equals, value = argument.partition("=")
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException as error:
        if not equals or (re.search(r"[\[\]{}()'\",]", value) and not key.endswith(".filter")):
            raise UsageError(f"{quote(argument)}: {EXPECTED}") from error
        return f"{key}={quote_text(value)}"
    if any(isinf(float(number)) for number in LARGE_NUMBER.findall(argument)):
        raise UsageError(f"{quote(argument)}: expected a number below 1.8e308")
    return argument


def expand_sweep(overrides: Sequence[str]) -> list[list[str]]:
    """Return, for each override, the overrides that a multirun takes in its place.

    Raises ConfigError for text that Hydra's grammar does not know.
    """
    expanded, parser = [], OverridesParser.create()
    for text in overrides:
        try:
            override = parser.parse_override(text)
            values = override.sweep_string_iterator() if override.is_sweep_override() else []
            expanded.append([f"{text.partition('=')[0]}={value}" for value in values] or [text])
        except HydraException as error:
            raise ConfigError(f"{quote(text)}: {EXPECTED}") from error
    return expanded


def quote_elements(argument: str) -> str:
    """Return `key=[a,b]` with quotes around each element, so that all are text, such as 1_000."""
    key, _, value = argument.partition("=")
    elements = r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|[^\[\],'"\s][^\[\],'"]*"""
    quoted = re.sub(elements, lambda match: match[1] or quote_text(match[0].strip()), value)
    return argument if value == "null" else f"{key}={quoted}"


def quote_text(text: str) -> str:
    """Return text in the quotes of Hydra's grammar."""
    return '"' + text.replace('"', r"\"") + '"'


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


def list_choices(word: str, names: Collection[str]) -> str:
    """Return the end of a message on a wrong word: all names, and the closest."""
    return f"there are {', '.join(names)}{suggest(word, names)}"


def suggest(word: str, names: Collection[str]) -> str:
    """Return "; did you mean NAME?", or nothing if no name is close."""
    close = [] if word in names else get_close_matches(word, names, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def explain_validation_error(error: ValidationError, key: str = "") -> str:
    """Return pydantic's first fault in one line: the setting, its value, and what is allowed."""
    fault, *others = error.errors()
    name = key or ".".join(str(part) for part in fault["loc"] if not UNION_MEMBER.fullmatch(str(part)))
    if fault["type"] == "missing":
        return f"{name}=... is missing"
    if fault["type"] == "too_short":
        return f"{name}=[]: expected at least one value"
    if fault["type"] == "string_too_short":
        return f"{name}=: {NO_VALUE}"
    expected = fault["msg"].replace("Input should be", "must be")
    if fault["loc"] and UNION_MEMBER.fullmatch(str(fault["loc"][-1])):  # another fault for each other type of the union
        literals = [
            other for other in others if other["type"] == "literal_error" and other["loc"][:-1] == fault["loc"][:-1]
        ]
        expected += "".join(f" or {other['ctx']['expected']}" for other in literals)
    return f"{name}={quote(fault['input'])}: {expected[0].lower()}{expected[1:]}"


def format_value(value: Any) -> str:
    """Return a value as Hydra's grammar reads it."""
    if isinstance(value, list):
        return f"[{','.join(map(format_value, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def quote(value: Any) -> str:
    """Return a value as a message shows it: escaped, and cut to 80 characters."""
    text = escape(format_value(value))
    return text if len(text) <= 80 else f"{text[:79]}…"


def escape(text: str) -> str:
    """Return a text in one line, with escapes for what no terminal prints."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in " ".join(text.split()))


def list_names(cls: type[CommandOptions]) -> list[str]:
    """Return the names of a command's options."""
    return [name for name in cls.model_fields if name not in ("overrides", "flags")]

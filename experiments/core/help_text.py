"""The texts of `sdmr COMMAND --help`."""

from collections.abc import Sequence
from types import ModuleType
from typing import get_args

from pydantic.fields import FieldInfo

from sdmr.experiments.core.messages import format_value


def describe_options(name: str, module: ModuleType, arguments: Sequence[str] = ()) -> str:
    """Return the text of `sdmr COMMAND --help`."""
    fields: dict[str, FieldInfo] = module.Options.model_fields
    lines = [f"usage: sdmr {name} key=value ...", "", (module.__doc__ or "").strip(), "", "options:"]
    order = sorted(fields.items(), key=lambda item: (item[0] == "overrides", not item[1].is_required()))
    lines += [_describe_field(key, field) for key, field in order if key != "flags"]
    if describe_more := getattr(module, "describe_more", None):
        lines += ["", describe_more(arguments)]
    return "\n".join(lines)


def describe_fields(fields: dict[str, FieldInfo]) -> str:
    """Return a line for each field: its key, default, meaning and allowed values."""
    return "\n".join(_describe_field(key, field) for key, field in fields.items())


def _describe_field(key: str, field: FieldInfo) -> str:
    if key == "overrides":
        hint = "" if "below" in (field.description or "") else " (`sdmr run --help` lists them)"
        return f"  {'KEY=VALUE':34} {field.description}{hint}"
    default = "..." if field.is_required() else format_value(field.get_default(call_default_factory=True))
    choices = [str(value) for value in get_args(field.annotation) if isinstance(value, str | int)]
    allowed = f" ({', '.join(choices)})" if choices else ""
    return describe_setting(key, default, f"{field.description}{allowed}")


def describe_setting(key: str, default: str, meaning: str) -> str:
    """Return a line of a help text."""
    return f"  {f'{key}={default}':34} {meaning}".rstrip()

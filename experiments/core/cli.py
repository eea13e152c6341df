"""The command line `sdmr COMMAND key=value ...`: one grammar, Hydra's, for every command.

A command is a module directly in `experiments/`. It has a class `Options` and a function `main(options)` that returns
the exit status. PyTorch is imported by the commands that need it, so that `sdmr --help` answers at once.
"""

import ast
import importlib
import os
import re
import signal
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from types import ModuleType

from sdmr.harness.schema1 import ARGUMENTS, PROTOCOL

COMMANDS_FOLDER = Path(__file__).parents[1]
WRONG_USE, FAILED, INTERRUPTED = 2, 1, 128 + signal.SIGINT  # exit statuses
# A key (or a part of a dotted one), or an option with its value -> what is written today. `docs/changes` repeats it.
OLD_WORDS = {
    **ARGUMENTS,
    **PROTOCOL,
    "variant": "model=sdp-released, model=sdm-released or model=sdmr-released",
    "select_on=dev": "select_on=validation",
    "optimizer=dense": "optimizer=adam",
    "optimizer=rowwise": "optimizer=adam",
    "settings=chosen": "settings=tuned",
    "settings=plain": "settings=default",
    "search=carried": "search=transferred",
    "factors=honest": "factors=default",
    "config": "settings",
    "jobs": "workers",
    "from": "source",
    "most": "top",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name. Returns the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        print(describe_commands())
        return 0
    if arguments[0] == "--version":
        print(f"sdmr {metadata.version('sdmr-benchmark')}")
        return 0
    name, *rest = arguments
    if name not in list_commands():
        from sdmr.experiments.core.options import list_choices

        print(f"sdmr {name}: no such command; {list_choices(name, list_commands())}", file=sys.stderr)
        return WRONG_USE
    order_import_path()
    try:
        module = importlib.import_module(f"sdmr.experiments.{name}")
    except RuntimeError as error:
        if "no locator available" not in str(error):  # Numba finds no folder for its cache
            raise
        folder = COMMANDS_FOLDER.parent / "harness"
        print(f"sdmr {name}: {folder} is read-only, and so is the home folder: set NUMBA_CACHE_DIR", file=sys.stderr)
        return FAILED
    return run_command(module, name, rest)


def run_command(module: ModuleType, name: str, arguments: Sequence[str]) -> int:
    """Run a command's module. A user's mistake becomes one line: exit 2 for what was typed, 1 for what failed."""
    from sdmr.datasets.errors import DataError
    from sdmr.experiments.core.options import UsageError, describe_options, parse_options

    try:
        if any(argument in ("--help", "-h") for argument in arguments):
            print(describe_options(name, module, arguments))
            return 0
        options = parse_options(module.Options, arguments)
        # Where runs in other processes look for tuned settings, if the suite is installed without its checkout.
        if results := getattr(options, "results", ""):
            os.environ["SDMR_RESULTS"] = results
        return int(module.main(options))
    except UsageError as error:
        message = explain_old_word(arguments, str(error)) or str(error)
        if "did you mean" not in message:
            message += suggest_option(arguments, module)
        hint = "" if "--help" in message else f" (`sdmr {name} --help` lists the options)"
        print(f"sdmr {name}: {' '.join(message.split())}{hint}", file=sys.stderr)
        return WRONG_USE
    except (DataError, OSError) as error:
        print(f"sdmr {name}: {' '.join(str(error).split())}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("interrupted; the same command continues from the last finished epoch", file=sys.stderr)
        return INTERRUPTED


def explain_old_word(arguments: Sequence[str], message: str) -> str:
    """Return the new word for an old one that caused the message, or nothing.

    Old words are looked for after an error only: a user's class may have arguments of these names.
    """
    for argument in arguments:
        key, _, value = argument.lstrip("+").partition("=")
        parts = key.split(".")
        for old, new in OLD_WORDS.items():
            word, has_value, old_value = old.partition("=")
            is_used = word == parts[-1] and old_value in value.strip("[]").split(",") if has_value else word in parts
            if is_used and re.search(rf"\b{old_value or word}\b", message):
                return f"{old} is now {new}" if has_value else f"{argument}: {old} is now {new}"
    return ""


def suggest_option(arguments: Sequence[str], module: ModuleType) -> str:
    """Return "; did you mean OPTION?" if an argument is a misspelt option, or nothing."""
    from sdmr.experiments.core.config import list_settings
    from sdmr.experiments.core.options import suggest

    settings = list_settings()
    keys = [argument.lstrip("+").partition("=")[0] for argument in arguments]
    hints = [suggest(key, list(module.Options.model_fields)) for key in keys if key not in settings]
    return next(filter(None, hints), "")


def list_commands() -> list[str]:
    """Return the names of the commands."""
    return sorted(path.stem for path in COMMANDS_FOLDER.glob("*.py") if not path.stem.startswith("_"))


def describe_commands() -> str:
    """Return the text of `sdmr --help`: each command with the first line of its docstring."""
    lines = ["usage: sdmr COMMAND key=value ...", "", "commands:"]
    for name in list_commands():
        tree = ast.parse((COMMANDS_FOLDER / f"{name}.py").read_text(encoding="utf-8"))
        summary = (ast.get_docstring(tree) or "").partition("\n")[0]
        lines.append(f"  {name:9} {summary}")
    return "\n".join([*lines, "", "`sdmr COMMAND --help` lists its options, `sdmr --version` prints the version."])


def order_import_path() -> None:
    """Put the current folder first on the import path, but leave the checkout last."""
    here = Path.cwd().resolve()
    if here != COMMANDS_FOLDER.resolve().parent:
        sys.path[:] = [str(here), *(entry for entry in sys.path if Path(entry or ".").resolve() != here)]


if __name__ == "__main__":
    sys.exit(main())

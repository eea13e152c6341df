"""The command line `sdmr COMMAND key=value ...`: one grammar, Hydra's, for every command.

A command is a module directly in `experiments/`, or the `__main__.py` of a package there. It has a class `Options` and
a function `main(options)` that returns the exit status. PyTorch is imported by the commands that need it, so that
`sdmr --help` answers at once.
"""

import ast
import importlib
import os
import re
import signal
import sys
from collections.abc import Collection, Sequence
from importlib import metadata
from pathlib import Path
from types import ModuleType

import yaml

from sdmr.harness.schema1 import ARGUMENTS, PROTOCOL

COMMANDS_FOLDER = Path(__file__).parents[1]
WRONG_USE, FAILED, INTERRUPTED, CLOSED = 2, 1, 128 + signal.SIGINT, 128 + signal.SIGPIPE  # exit statuses
HELP = ("--help", "-h")
# Old keys, values, commands and flags -> those of today. `docs/changes` lists them, too.
OLD_WORDS_FILE = COMMANDS_FOLDER / "conf" / "old_words.yaml"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name. Returns the exit status."""
    try:
        status = _run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads on, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED
    return status


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        print(describe_commands())
        return 0
    if arguments[0] == "--version":
        print(f"sdmr {metadata.version('sdmr-benchmark')}")
        return 0
    name, *rest = arguments
    if name not in list_commands():
        from sdmr.experiments.core.messages import list_choices

        new = read_old_words()["commands"].get(name)
        answer = f" is now sdmr {new}" if new else f": no such command; {list_choices(name, list_commands())}"
        print(f"sdmr {name}{answer}", file=sys.stderr)
        return WRONG_USE
    order_import_path()
    try:
        module = import_command(name)
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
    from sdmr.experiments.core.errors import UsageError
    from sdmr.experiments.core.help_text import describe_options
    from sdmr.experiments.core.interrupts import postpone_interrupts
    from sdmr.experiments.core.messages import escape
    from sdmr.experiments.core.options import parse_options

    try:
        if any(argument in HELP for argument in arguments):
            if message := explain_unknown_key(arguments, name, module):
                raise UsageError(message)
            text = describe_options(name, module, arguments)
            flags = (argument for argument in arguments if argument.startswith("-") and argument not in HELP)
            named = {word.strip(",;:`") for word in text.split()}
            if unknown := [flag for flag in flags if flag not in named]:
                raise UsageError(f"{unknown[0]}: there is no such flag")
            print(text)
            return 0
        options = parse_options(module.Options, arguments)
        # Where runs in other processes look for tuned settings, if the suite is installed without its checkout.
        if results := getattr(options, "results", ""):
            os.environ["SDMR_RESULTS"] = results
        with postpone_interrupts():
            return int(module.main(options))
    except UsageError as error:
        message = explain_old_arguments(arguments, module.Options.model_fields)
        if not message:
            message = explain_unknown_key(arguments, name, module, str(error))
            message = explain_old_word(arguments, message) or message
        hint = "" if "--help" in message else f" (`{suggest_help(name, arguments, message)}` lists the options)"
        print(f"sdmr {name}: {escape(message)}{hint}", file=sys.stderr)
        return WRONG_USE
    except BrokenPipeError:
        raise
    except (DataError, OSError) as error:
        message = str(error)
        if isinstance(error, OSError) and error.filename:
            message = f"{error.filename}: {error.strerror}; set another folder or file"
        print(f"sdmr {name}: {escape(message)}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        makes_runs = {"runs", "workers"} <= module.Options.model_fields.keys() or name == "run"
        makes_runs &= name != "bench" or "suite=smoke" in arguments  # the other suite makes no runs
        hint = "; the same command continues from the last finished epoch" if makes_runs else ""
        print(f"interrupted{hint}", file=sys.stderr)
        return INTERRUPTED


def suggest_help(name: str, arguments: Sequence[str], message: str) -> str:
    """Return the command that lists the options of the message's model, or of the command."""
    models = [one.partition("=")[2].strip("[]") for one in arguments if one.startswith("model=")]
    is_of_model = "model." in message and len(models) == 1 and "," not in models[0]
    return f"sdmr run model={models[0]} --help" if is_of_model else f"sdmr {name} --help"


def read_old_words() -> dict[str, dict[str, str]]:
    """Return old words, commands and flags with their new ones, and what is gone."""
    old: dict[str, dict[str, str]] = yaml.safe_load(OLD_WORDS_FILE.read_text(encoding="utf-8"))
    return old | {"words": ARGUMENTS | PROTOCOL | old["words"]}


def explain_old_arguments(arguments: Sequence[str], names: Collection[str]) -> str:
    """Return what arguments such as `3 --models sdp sdm` are now, or nothing."""
    values: dict[str, list[str]] = {}
    for argument in arguments:
        if argument.startswith("--"):
            values[argument] = []
        elif "=" not in argument and values:
            values[list(values)[-1]].append(argument)
        elif argument.isdigit():
            values["--number"] = [argument]
    flags = read_old_words()["flags"]
    new = {flag: flags.get(flag, flag[2:].replace("-", "_")) for flag in values}
    if not new or not set(new.values()) <= set(names):
        return ""
    texts = []
    for flag, words in values.items():
        value = f"[{','.join(words)}]" if len(words) > 1 else "".join(words) or str(flag != "--no-train").lower()
        texts.append(f"{new[flag]}={value}")
    old = [argument for argument in arguments if "=" not in argument]
    return f"{' '.join(old)} is now {' '.join(texts)}"


def explain_old_word(arguments: Sequence[str], message: str) -> str:
    """Return the new word for an old one that caused the message, or nothing.

    Old words are looked for after an error only: a user's class may have arguments of these names.
    """
    for argument in arguments:
        key, _, value = argument.lstrip("+").partition("=")
        if answer := read_old_words()["answers"].get(argument):
            return f"{argument}: {answer}"
        parts = key.split(".")
        for old, new in read_old_words()["words"].items():
            word, has_value, old_value = old.partition("=")
            is_used = word == parts[-1] and old_value in value.strip("[]").split(",") if has_value else word in parts
            if is_used and re.search(rf"\b{old_value or word}\b", message):
                return f"{old} is now {new}" if has_value else f"{argument}: {old} is now {new}"
    return ""


def explain_unknown_key(arguments: Sequence[str], name: str, module: ModuleType, message: str = "") -> str:
    """Return a message, or one on the first unknown key in place of it.

    Known are the options that the help of the command lists, and the settings of runs. A key of a model or a data set
    is left to the command, which knows them.
    """
    from sdmr.experiments.core.config import list_settings
    from sdmr.experiments.core.datasets import list_datasets
    from sdmr.experiments.core.grammar import is_of_hydra
    from sdmr.experiments.core.help_text import describe_options
    from sdmr.experiments.core.messages import suggest

    options = re.findall(r"^  ([a-z][\w.]*)=", describe_options(name, module), re.MULTILINE)
    known = list(dict.fromkeys([*options, *list_settings(list_datasets())]))
    keys = [argument.lstrip("+").partition("=")[0] for argument in arguments if "=" in argument]
    for key in keys:
        if key in known or key.startswith(("model.", "dataset.")) or is_of_hydra(key):
            continue
        if not re.search(rf"(?<!\w){re.escape(key)}(?!\w)", message):
            message = f"{key}: there is no such option or setting"
        return message if "did you mean" in message else message + suggest(key, known)
    return message


def list_commands() -> list[str]:
    """Return the names of the commands."""
    modules = {path.stem for path in COMMANDS_FOLDER.glob("*.py") if not path.stem.startswith("_")}
    return sorted(modules | {path.parent.name for path in COMMANDS_FOLDER.glob("*/__main__.py")})


def find_command(name: str) -> Path:
    """Return the file of a command."""
    main_path = COMMANDS_FOLDER / name / "__main__.py"
    return main_path if main_path.exists() else COMMANDS_FOLDER / f"{name}.py"


def import_command(name: str) -> ModuleType:
    """Return the module of a command."""
    path = find_command(name)
    return importlib.import_module(f"sdmr.experiments.{name}{'.__main__' if path.stem == '__main__' else ''}")


def describe_commands() -> str:
    """Return the text of `sdmr --help`: each command with the first line of its docstring."""
    lines = ["usage: sdmr COMMAND key=value ...", "", "commands:"]
    for name in list_commands():
        tree = ast.parse(find_command(name).read_text(encoding="utf-8"))
        summary = (ast.get_docstring(tree) or "").partition("\n")[0]
        lines.append(f"  {name:9} {summary}")
    return "\n".join([*lines, "", "`sdmr COMMAND --help` lists its options, `sdmr --version` prints the version."])


def order_import_path() -> None:
    """Put the current folder first on the import path, the checkout last.

    Its folders have usual names, such as `models`.
    """
    here = Path.cwd().resolve()
    others = [entry for entry in sys.path if Path(entry or ".").resolve() != here]
    sys.path[:] = [*others, str(here)] if here == COMMANDS_FOLDER.resolve().parent else [str(here), *others]


if __name__ == "__main__":
    sys.exit(main())

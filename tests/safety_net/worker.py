"""Run commands of one checkout, each in a process forked from one that has the imports they share.

A command is `python -m MODULE ARGUMENTS`. To import PyTorch, pandas and Hydra takes ten times as long as a tiny run.
Commands come as lines of JSON on standard input, {"module", "arguments", "environment", "out", "errors", "until",
"seconds"}. The answer to each is a line, {"code": exit status}. `out` and `errors` are files for what the command
prints. `until` is a pattern of paths or null: the command is killed (SIGKILL, code −9) as soon as a file matches it.
"""

import glob
import importlib
import json
import os
import runpy
import signal
import sys
import time
from typing import Any


def main() -> int:
    for module in sys.argv[1:]:
        importlib.import_module(module)
    print(json.dumps({"imported": {name: sys.modules[name].__file__ for name in sys.argv[1:]}}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        child = os.fork()
        if child == 0:
            _run_command(command)
        print(json.dumps({"code": _wait(child, command["until"], command["seconds"])}), flush=True)
    return 0


def _run_command(command: dict[str, Any]) -> None:
    """Run the command in this process, and exit with its status."""
    for descriptor, path in ((0, os.devnull), (1, command["out"]), (2, command["errors"])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), descriptor)
    os.environ.update(command["environment"])
    sys.modules.pop(command["module"], None)  # python -m runs a module that has not been imported
    sys.argv = [command["module"], *command["arguments"]]
    code = 1
    try:
        runpy.run_module(command["module"], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as exit_:
        if isinstance(exit_.code, str):
            print(exit_.code, file=sys.stderr)
        code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait(child: int, until: str | None, seconds: float) -> int:
    """Return the child's exit status, −9 if it is killed."""
    end = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end or (until is not None and glob.glob(until)):
            os.kill(child, signal.SIGKILL)
        time.sleep(0.001 if until else 0.01)


if __name__ == "__main__":
    sys.exit(main())

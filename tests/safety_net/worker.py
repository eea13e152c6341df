"""Run commands of one checkout, each in a process of its own, forked from one that has imported what they all need.

A command is `python -m MODULE ARGUMENTS`. To import PyTorch, pandas and Hydra takes ten times as long as a tiny run.
Jobs come as lines of JSON on standard input, {"module", "arguments", "environment", "out", "errors", "until",
"seconds"}, and each is answered by a line, {"code": exit status}. `out` and `errors` are files for what the command
prints. `until`, a pattern of paths or null: the command is killed (SIGKILL, code −9) as soon as a file fits it.
"""

from __future__ import annotations

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
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(job)
        print(json.dumps({"code": _wait(child, job["until"], job["seconds"])}), flush=True)
    return 0


def _become(job: dict[str, Any]) -> None:
    """Be the command until it ends, and this process with it."""
    for place, path in ((0, os.devnull), (1, job["out"]), (2, job["errors"])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), place)
    os.environ.update(job["environment"])
    sys.modules.pop(job["module"], None)  # python -m runs a module that has not been imported
    sys.argv = [job["module"], *job["arguments"]]
    code = 1
    try:
        runpy.run_module(job["module"], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait(child: int, until: str | None, seconds: float) -> int:
    """The child's exit status: what it ends with, or −9 if it is killed."""
    end = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end or (until is not None and glob.glob(until)):
            os.kill(child, signal.SIGKILL)
        time.sleep(0.001 if until else 0.01)


if __name__ == "__main__":
    sys.exit(main())

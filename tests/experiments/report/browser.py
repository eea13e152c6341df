"""Chromium without a window, driven through a pipe by its DevTools protocol."""

import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

PATH = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ("--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--no-first-run")
TIMEOUT = 60  # seconds


class Browser:
    """A browser with one page. `events` are what it has reported."""

    def __init__(self, folder: Path):
        commands, self.writer = os.pipe()
        self.reader, answers = os.pipe()
        child = [fcntl.fcntl(file, fcntl.F_DUPFD, 10) for file in (commands, answers)]

        def connect() -> None:
            for number, file in enumerate(child, 3):  # the files by which the browser reads and writes
                os.dup2(file, number)

        command = [str(PATH), *FLAGS, f"--user-data-dir={folder}", "about:blank"]
        with folder.with_suffix(".log").open("wb") as log:
            self.process = subprocess.Popen(command, preexec_fn=connect, pass_fds=(3, 4), stderr=log)
        for file in (commands, answers, *child):
            os.close(file)
        self.buffer, self.number, self.events, self.session = b"", 0, [], {}
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = {"sessionId": self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        for domain in ("Runtime", "Log", "Page", "Network"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """End the browser."""
        self.process.terminate()
        self.process.wait(TIMEOUT)
        os.close(self.writer)
        os.close(self.reader)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Return the browser's answer to a command."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params, **self.session}
        os.write(self.writer, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self.number:
            self.events.append(answer)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self.buffer:
            assert select.select([self.reader], [], [], TIMEOUT)[0], "the browser does not answer"
            part = os.read(self.reader, 2**16)
            assert part, "the browser has ended"
            self.buffer += part
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def open(self, path: Path) -> float:
        """Open a file. Returns the seconds until it is loaded."""
        start = time.perf_counter()
        self.events.clear()
        self.call("Page.navigate", url=path.resolve().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._read())
        return time.perf_counter() - start

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, userGesture=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press and release a key."""
        for action in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=action, key=key, code=key, windowsVirtualKeyCode=code, text=text)

    def list_faults(self) -> list[Any]:
        """Return the errors and warnings of the console, exceptions, and requests of other files."""
        faults = []
        for event in self.events:
            method, params = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown" or (
                method == "Runtime.consoleAPICalled" and params["type"] != "log"
            ):
                faults.append(params)
            if method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                faults.append(params["entry"]["text"])
            if method == "Network.requestWillBeSent" and not params["request"]["url"].startswith(("file:", "data:")):
                faults.append(params["request"]["url"])
        return faults

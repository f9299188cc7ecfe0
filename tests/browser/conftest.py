"""A real browser without a window, spoken to over a pair of pipes (the DevTools protocol)."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--remote-debugging-pipe",
)  # fmt: skip
PATIENCE = 30.0  # seconds for a page to load


class Browser:
    """One tab of headless Chromium."""

    def __init__(self, program: Path, profile: Path) -> None:
        self._answers, answers = os.pipe()
        questions, self._questions = os.pipe()
        unboxed = ["--no-sandbox"] if os.geteuid() == 0 else []
        # the shell puts the two pipes where --remote-debugging-pipe expects them: 3 in, 4 out
        command = f'exec 9<&{questions} 8>&{answers} 3<&9 4>&8 9<&- 8>&-; exec "$@"'
        self._process = subprocess.Popen(
            ["bash", "-c", command, "bash", str(program), *FLAGS, *unboxed, f"--user-data-dir={profile}"],
            pass_fds=(questions, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(questions)
        os.close(answers)
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """One question of the DevTools protocol and its answer; events on the way are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._questions, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return dict(answer["result"])

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            received = os.read(self._answers, 1 << 16)
            assert received, "the browser ended"
            self._buffer += received
        message, self._buffer = self._buffer.split(b"\0", 1)
        return dict(json.loads(message))

    def open(self, page: Path, *, width: int = 1200, dark: bool = False, media: str = "screen") -> None:
        """Opens a file at a width (CSS pixels), in a colour scheme, for a medium, and waits for it."""
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": True}
        self.ask("Emulation.setDeviceMetricsOverride", **screen)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.events.clear()
        self.ask("Page.navigate", url=page.as_uri())
        deadline = time.monotonic() + PATIENCE
        while self.value("document.readyState + location.href") != f"complete{page.as_uri()}":
            assert time.monotonic() < deadline, "the page did not load"

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives on the page."""
        result = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def close(self) -> None:
        """Ends the browser and everything it started."""
        self._session = None
        self.ask("Browser.close")
        self._process.wait(PATIENCE)
        os.close(self._questions)
        os.close(self._answers)


@pytest.fixture(scope="module")
def browser(
    tmp_path_factory: pytest.TempPathFactory, require: Callable[[str], Path]
) -> Iterator[Browser]:
    """A browser with a new, empty profile, closed at the end."""
    opened = Browser(require("chromium"), tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()

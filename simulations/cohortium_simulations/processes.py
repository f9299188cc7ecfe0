"""The processes of a federation on this machine: started, waited for, stopped, killed and started again.

None outlives this process, however it ends: see ``child``.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cohortium_protocols.errors import ChannelError, StorageError

_LOOK_EVERY = 0.02  # seconds
_LAST_LINES = 12
_INTERRUPTED = 130


@dataclass(frozen=True)
class Program:
    """A command line that runs until it is stopped.

    Attributes:
        module: whose ``main`` is the command line.
        arguments: what stands after its name.
        ready: what it writes to standard error as soon as it is at work.
    """

    module: str
    arguments: tuple[str, ...]
    ready: str


@dataclass(frozen=True)
class _Running:
    process: subprocess.Popen[bytes]
    said_before: int  # bytes of its log that an earlier run wrote


class Processes:
    """The processes of a federation, by name; used with ``with``, all of them are stopped at the end.

    Args:
        programs: what runs under each name.
        logs: the folder of their logs, one file each; a program started again goes on writing to its own.
        patience: seconds that a program may take to be at work.
    """

    def __init__(self, programs: Mapping[str, Program], logs: Path, patience: float = 60.0) -> None:
        self._programs = programs
        self._logs = logs
        self._patience = patience
        self._running: dict[str, _Running] = {}

    def start(self, *names: str) -> None:
        """Starts programs side by side, all if none is named; returns when every one is at work.

        One that is stopped or killed from outside meanwhile is started again.

        Raises:
            ChannelError: one ended by itself, or is not at work in time; the error shows the last lines of its log.
            StorageError: the folder of the logs cannot be written.
        """
        started = names or tuple(self._programs)
        for name in started:
            self._launch(name)
        self._wait_for(started)

    def stop(self, *names: str, patience: float = 10.0) -> None:
        """Asks programs to end, all if none is named, and waits for it; kills those that take longer."""
        named = [name for name in names or tuple(self._running) if name in self._running]
        ending = [self._running.pop(name).process for name in named]
        for process in ending:
            process.terminate()
        deadline = time.monotonic() + patience
        for process in ending:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
        for process in ending:
            _reap(process)

    def kill(self, *names: str) -> None:
        """Ends programs by SIGKILL, without warning."""
        ending = [self._running.pop(name).process for name in names]
        for process in ending:
            process.kill()
        for process in ending:
            _reap(process)

    def revive(self) -> list[str]:
        """Starts programs again that somebody stopped or killed from outside, and returns their names.

        Raises:
            ChannelError: one ended by itself; the error shows the last lines of its log.
        """
        stopped = self._relaunched(tuple(self._running))
        self._wait_for(stopped)
        self.check()
        return stopped

    def check(self, names: Iterable[str] = ()) -> None:
        """Does nothing as long as all programs run, or all those named.

        Raises:
            ChannelError: one ended by itself; the error shows the last lines of its log.
        """
        for name in names or self._running:
            code = self._running[name].process.poll()
            if code is not None:
                raise self._fault(name, f"ended by itself with exit code {code}")

    def pid(self, name: str) -> int:
        """Returns the id of a running program's process."""
        return self._running[name].process.pid

    def runs(self, name: str) -> bool:
        """Returns whether a program was started and not stopped or killed since."""
        return name in self._running

    def log(self, name: str) -> str:
        """Returns everything a program has written so far."""
        path = self._path(name)
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _launch(self, name: str) -> None:
        program, path = self._programs[name], self._path(name)
        command = [sys.executable, "-m", "cohortium_simulations.child", program.module, *program.arguments]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as log:
                before = log.tell()
                process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
                )
        except OSError as error:
            do = "check the folder's permissions and the free space"
            raise StorageError(f"'{name}' could not be started.", why=str(error), do=do) from error
        self._running[name] = _Running(process, before)

    def _wait_for(self, names: Sequence[str]) -> None:
        deadline = time.monotonic() + self._patience
        while waiting := [name for name in names if not self._at_work(name)]:
            self._relaunched(waiting)
            self.check(waiting)
            if time.monotonic() > deadline:
                raise self._fault(waiting[0], f"was not at work after {self._patience:.0f} seconds")
            time.sleep(_LOOK_EVERY)

    def _relaunched(self, names: Sequence[str]) -> list[str]:
        stopped = [name for name in names if _was_stopped(self._running[name].process.poll())]
        self.kill(*stopped)
        for name in stopped:
            self._launch(name)
        return stopped

    def _at_work(self, name: str) -> bool:
        with self._path(name).open("rb") as log:
            log.seek(self._running[name].said_before)
            return self._programs[name].ready.encode() in log.read()

    def _fault(self, name: str, what: str) -> ChannelError:
        last = "\n    ".join(["the last lines of its log:", *self.log(name).splitlines()[-_LAST_LINES:]])
        return ChannelError(f"'{name}' {what}.", why=last, do=f"read the whole log: {self._path(name)}")

    def _path(self, name: str) -> Path:
        return self._logs / f"{name}.log"


def _was_stopped(code: int | None) -> bool:
    """Returns whether a process ended because of a signal, which it may have obeyed in an orderly way."""
    return code is not None and (code <= 0 or code == _INTERRUPTED)


def _reap(process: subprocess.Popen[bytes]) -> None:
    process.wait()
    if process.stdin is not None:
        process.stdin.close()

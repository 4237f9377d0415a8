"""A terminal of the tests' own, with a program in its foreground."""

from __future__ import annotations

import fcntl
import os
import re
import select
import subprocess
import termios
import time
from collections.abc import Callable, Sequence
from typing import Any

from stillframe.teleport import terminal


class Screen:
    """What is typed goes in, what is shown comes out."""

    def __init__(
        self, command: Sequence[str], environment: dict[str, str], size: Sequence[int] = (33, 77)
    ) -> None:
        self._ours, theirs = os.openpty()
        terminal.set_size(theirs, list(size))
        self.process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self._theirs = theirs
        self.shown = ""
        self._read = 0

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def resize(self, rows: int, columns: int) -> None:
        terminal.set_size(self._ours, [rows, columns])

    def modes(self) -> Any:
        return termios.tcgetattr(self._theirs)

    def wait_for(self, pattern: str, deadline_s: float = 20) -> re.Match[str]:
        """The first match of what was not matched yet."""
        end = time.monotonic() + deadline_s
        while not (match := self._match(pattern)):
            assert self._hear(end - time.monotonic()), f"{pattern!r} did not appear in {self.shown!r}"
        return match

    def repeat(self, action: Callable[[], None], pattern: str) -> re.Match[str]:
        """Do it again each second until it shows.

        A signal that comes just before input() begins to wait is seen by Python only when that ends.
        """
        for _ in range(20):
            action()
            end = time.monotonic() + 1
            while self._hear(end - time.monotonic()):
                if match := self._match(pattern):
                    return match
        raise AssertionError(f"{pattern!r} did not appear in {self.shown!r}")

    def _match(self, pattern: str) -> re.Match[str] | None:
        match = re.compile(pattern).search(self.shown, self._read)
        if match:
            self._read = match.end()
        return match

    def _hear(self, patience_s: float) -> bool:
        """Whether something more was shown in time."""
        ready, _, _ = select.select([self._ours], [], [], max(0, patience_s))
        if ready:
            self.shown += os.read(self._ours, 4096).decode(errors="replace")
        return bool(ready)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)

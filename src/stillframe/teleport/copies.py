"""What the sender holds in its hand after teleport(stay=True): one handle for each copy that went.

Invariants:
  * The relay's exit status is the copy's: this process waits for one child, as for any other.
  * The transport's own process is reaped with it.
  * In a program that has moved on (a snapshot of the sender, another copy) a handle still knows its name and what
    it last knew of the end; it is the old process's to wait for.
"""

from __future__ import annotations

import signal
import subprocess
from types import TracebackType
from typing import Any

from stillframe.errors import StillframeError
from stillframe.teleport.relay import KILL


class Copy:
    """A copy of the program that runs elsewhere. As a context manager it waits for its end."""

    def __init__(
        self, name: str, processes: tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]] | None
    ) -> None:
        """`processes` are the relay and the transport; None in a process that did not start them."""
        self.name = name
        self.returncode: int | None = None
        """None while it runs; then its exit code, negative for a signal. It is set by wait() and poll()."""
        self._processes = processes

    def __repr__(self) -> str:
        state = "runs" if self.returncode is None else f"ended with {self.returncode}"
        return f"<a copy at {self.name}: it {state}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, None), {"returncode": self.returncode}

    def _relay(self) -> subprocess.Popen[bytes]:
        if self._processes is None:
            raise StillframeError(
                f"the copy at {self.name} was sent by another process, which alone can wait for it or end it.",
                "Send a copy of your own.",
            )
        return self._processes[0]

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired after `timeout` seconds."""
        if self.returncode is None:
            self.returncode = self._relay().wait(timeout)
            self._reap()
        return self.returncode

    def poll(self) -> int | None:
        """The return code if it has ended, else None."""
        if self.returncode is None:
            self.returncode = self._relay().poll()
            self._reap()
        return self.returncode

    def _reap(self) -> None:
        """See the transport end, which the relay has seen already."""
        if self.returncode is not None and self._processes is not None:
            self._processes[1].wait()

    def send_signal(self, number: int) -> None:
        """Send a signal to the program over there."""
        self._relay().send_signal(number)

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, and whatever it has started in its process group."""
        self.send_signal(KILL)

    def __enter__(self) -> Copy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wait()

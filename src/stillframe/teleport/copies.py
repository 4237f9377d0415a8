"""What the sender holds in its hand after teleport(stay=True): one handle for each copy that went.

Invariants:
  * The relay's exit status is the copy's: this process waits for one child, as for any other.
  * The transport's own process is reaped with it.
"""

from __future__ import annotations

import signal
import subprocess
from types import TracebackType

from stillframe.teleport.relay import KILL


class Copy:
    """A copy of the program that runs elsewhere. As a context manager it waits for its end."""

    def __init__(self, name: str, relay: subprocess.Popen[bytes], transport: subprocess.Popen[bytes]) -> None:
        self.name = name
        self._relay = relay
        self._transport = transport

    def __repr__(self) -> str:
        state = "runs" if self.poll() is None else f"ended with {self.returncode}"
        return f"<a copy at {self.name}: it {state}>"

    @property
    def returncode(self) -> int | None:
        """None while it runs; then its exit code, negative for a signal. It is set by wait() and poll()."""
        return self._relay.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired after `timeout` seconds."""
        code = self._relay.wait(timeout)
        self._transport.wait()
        return code

    def poll(self) -> int | None:
        """The return code if it has ended, else None."""
        code = self._relay.poll()
        if code is not None:
            self._transport.wait()
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal to the program over there."""
        self._relay.send_signal(number)

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, and whatever it has started in its process group."""
        self._relay.send_signal(KILL)

    def __enter__(self) -> Copy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wait()

"""The outputs of a state process, in the order in which they happened.

Text goes to descriptors 1 and 2, which are pipes that the supervisor reads; displays and the result go as
messages. Between two pipes and a socket there is no order, so it is made here: whoever is about to write to
one of the three first takes what still lies in the pipes and sends it as a message. Messages are stamped
with the time, and the supervisor notes the time before it reads a pipe: what it read came after every
message with an earlier stamp, and before every other.

Invariants:
  * What Python prints, displays and what C code or a child process wrote before are in their true order.
    Two descriptors written to by one child within some 0.1 ms may change places.
  * In a child process that the user's program forked, nothing is taken from the pipes and nothing is sent.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from base64 import b64encode
from typing import Any

from stillframe.engine._fork import waiting_bytes
from stillframe.engine.protocol import Cleared, Displayed, Streamed, encode
from stillframe.engine.state_channel import Channel

STDOUT, STDERR = 1, 2
TEXT_MARK = "\n... [cut by stillframe: {size:,} characters, the limit is {limit:,}]"
LEFT_OUT = "[left out by stillframe: {mime} of {size:,} bytes, the limit is {limit:,}]"


class Outputs:
    """Sends what a cell puts out. One for each process, for its whole life."""

    def __init__(self, channel: Channel, representation_bytes: int, outputs: int) -> None:
        self.channel = channel
        self.readers: dict[int, int] = {}
        """Descriptor 1 or 2 to the reading end of its pipe."""
        self.representation_bytes = representation_bytes
        self.outputs = outputs
        self.count = 0
        self.left_out = 0
        self._last = STDOUT
        """The descriptor that Python wrote to last."""
        self._result = b""
        """The execute_result, until something else happens or the cell ends."""

    def begin(self) -> None:
        """A cell begins: count anew."""
        self.count = 0
        self.left_out = 0

    def drain(self, ours: int, other: int) -> None:
        """Python is about to write to `ours`: send what lies in `other`, and what came before that.

        What lies in `ours` came first: when Python wrote there last, nothing lay in `other`.
        Costs a system call where nothing does.
        """
        self._send_result()
        if waiting := self._waiting(other):
            self._take(ours, self._waiting(ours))
            self._take(other, waiting)
        self._last = ours

    def drain_all(self) -> None:
        """A message is about to be sent: send what lies in both pipes."""
        self._send_result()
        for descriptor in (self._last, STDERR if self._last == STDOUT else STDOUT):
            self._take(descriptor, self._waiting(descriptor))

    def take_result(self) -> bytes:
        """The cell has ended: send all that has not been, but for a result that came last."""
        if self._waiting(STDOUT) or self._waiting(STDERR):
            self.drain_all()
        result, self._result = self._result, b""
        return result

    def _send_result(self) -> None:
        if self._result:
            result, self._result = self._result, b""
            self.channel.send(result)

    def _waiting(self, descriptor: int) -> int:
        """How many bytes lie in the pipe. None where the program has closed or replaced it."""
        reader = self.readers.get(descriptor)
        return 0 if reader is None else waiting_bytes(reader)

    def _take(self, descriptor: int, waiting: int) -> None:
        if waiting:
            with contextlib.suppress(OSError):  # the supervisor was faster
                data = os.read(self.readers[descriptor], waiting)
                self.channel.send(Streamed(descriptor, data, time.monotonic_ns()))

    def display(
        self,
        output_type: str,
        data: dict[str, Any],
        metadata: dict[str, Any] | None,
        display_id: str | None = None,
    ) -> None:
        """Send a display_data, execute_result or update_display_data."""
        if not self.readers:  # a child process of the user's
            print(data.get("text/plain", ""))
            return
        if self.count >= self.outputs:
            self.left_out += 1
            return
        self.count += 1
        self._send(output_type, data, metadata or {}, display_id)

    def clear(self, wait: bool) -> None:
        if self.readers:
            self.drain_all()
            self.count = 0
            self.channel.send(Cleared(wait, time.monotonic_ns()))

    def _send(
        self, output_type: str, data: dict[str, Any], metadata: dict[str, Any], display_id: str | None
    ) -> None:
        data = {
            str(mime): bounded(str(mime), value, self.representation_bytes) for mime, value in data.items()
        }
        self.drain_all()
        stamp_ns = time.monotonic_ns()
        try:
            message = encode(Displayed(output_type, data, metadata, display_id, stamp_ns))
        except (TypeError, ValueError, OverflowError, RecursionError):
            # The bundle holds what JSON cannot say; its text is what can be shown of it.
            data = {mime: printable(value) for mime, value in data.items()}
            message = encode(Displayed(output_type, data, {}, display_id, stamp_ns))
        self._result = message
        if output_type != "execute_result":
            self._send_result()


def bounded(mime: str, value: Any, limit: int) -> Any:
    """One mime representation as JSON has it. Text is cut, anything else left out, and both say so."""
    if isinstance(value, bytes | bytearray | memoryview):
        value = b64encode(value).decode("ascii")
    if isinstance(value, str) and len(value) > limit:
        if mime == "text/plain":
            return value[:limit] + TEXT_MARK.format(size=len(value), limit=limit)
        return LEFT_OUT.format(mime=mime, size=len(value), limit=limit)
    return value


def printable(value: Any) -> str:
    """Any value as text that UTF-8 can carry."""
    text = value if isinstance(value, str) else repr(value)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


class Stream(io.TextIOWrapper):
    """sys.stdout or sys.stderr: what is written is in the pipe when write() returns."""

    def __init__(self, descriptor: int, outputs: Outputs) -> None:
        raw = io.FileIO(descriptor, "w", closefd=False)
        super().__init__(
            io.BufferedWriter(raw), encoding="utf-8", errors="backslashreplace", line_buffering=True
        )
        self._outputs = outputs
        self._descriptor = descriptor
        self._other = STDERR if descriptor == STDOUT else STDOUT

    def write(self, text: str) -> int:
        self._outputs.drain(self._descriptor, self._other)
        size = super().write(text)
        self.flush()
        return size

    def close(self) -> None:
        """A program that closes sys.stdout means its own; descriptors 1 and 2 stay."""
        self.flush()


def install(outputs: Outputs) -> None:
    """Have sys.stdout and sys.stderr write through `outputs`."""
    sys.stdout = sys.__stdout__ = Stream(STDOUT, outputs)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = Stream(STDERR, outputs)  # type: ignore[misc]

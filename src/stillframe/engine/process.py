"""The supervisor's side of one state process.

Invariants:
  * Messages and what was read from the pipes are handed on in the order in which they happened: a pipe's
    bytes come after every message stamped before they were read (see streams.py).
  * A process that has ended is reported once, after all that it had said.
  * It is signalled only by its pid, and only until it is reaped: nobody else reaps, so the pid is its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

import msgspec

from stillframe.engine import protocol
from stillframe.engine.protocol import (
    PACKET_BYTES,
    Born,
    Choose,
    Cleared,
    Displayed,
    Done,
    Failed,
    FromProcess,
    Message,
    Raised,
    Reject,
    Snapshot,
    Streamed,
)

if TYPE_CHECKING:
    from stillframe.engine.transcript import Transcript

_PIPE_BYTES = 64 << 10
_PF_EXITING = 0x4  # linux/sched.h
_PIPE_READS = 16
"""A pipe holds at most 1 MiB."""
_STAMPED = Streamed | Displayed | Cleared | Done | Snapshot | Raised | Choose | Reject
_MESSAGES_A_TURN = 64
"""Messages handled before the event loop gets its turn."""


class Listener(Protocol):
    """Who hears of what a process says."""

    def born(self, process: Process) -> None: ...
    def said(self, process: Process, message: FromProcess) -> None: ...
    def ended(self, process: Process) -> None: ...


class Process:
    """A state process, from the request to fork it to the end of it."""

    def __init__(self, listener: Listener, channel: socket.socket, pipes: tuple[int, int] | None) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._channel = channel
        self._pipes = dict(zip((1, 2), pipes, strict=True)) if pipes else {}
        self._assembly = protocol.Assembly()
        self._sending: deque[tuple[bytes, list[int]]] = deque()
        self._held: FromProcess | None = None
        """A message that came with a later stamp than the pipe's bytes being handled."""
        self.made_s = time.monotonic()
        self.pid: int | None = None
        self.is_alive = True
        self._is_retiring = False
        self.fork_errno: int | None = None
        self.status: int | None = None
        """How it ended, as os.waitpid says it."""
        self.why_ended = ""
        self.transcript: Transcript | None = None
        channel.setblocking(False)
        self._loop.add_reader(channel.fileno(), self._on_channel)
        for descriptor, pipe in self._pipes.items():
            os.set_blocking(pipe, False)
            self._loop.add_reader(pipe, self._on_pipe, descriptor)

    def send(self, message: Message, descriptors: list[int] | None = None) -> None:
        """Send a message and copies of `descriptors`, which are closed here. Never blocks."""
        descriptors = descriptors or []
        for packet in protocol.packets(message):
            self._sending.append((packet, descriptors))
            descriptors = []
        self._flush()

    def signal(self, number: int) -> None:
        """Signal the process and what it has started (its process group)."""
        if self.pid is not None and self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def end(self, why: str = "") -> None:
        """Kill the process; what it has started too. `ended` is reported when it is reaped."""
        self.why_ended = self.why_ended or why
        if not self.is_alive:
            return
        self.signal(signal.SIGKILL)
        # One that is not born yet reads the end of its channel as its first message.
        self._close_channel()
        if self.pid is None:
            self._finish()

    def retire(self) -> None:
        """Have a frozen process end when it has done all that it was asked: a fork may be on its way."""
        if self._sending:
            self._is_retiring = True
        elif self._channel.fileno() >= 0:
            with contextlib.suppress(OSError):  # it has ended already
                self._channel.shutdown(socket.SHUT_WR)

    def release(self) -> None:
        """End a process at rest, but not what its program has started."""
        if self.is_alive and self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self._close_channel()
        if self.pid is None:
            self._finish()

    def reaped(self, status: int) -> None:
        """The process has ended: hear what it had still said, then report it."""
        self.status = status
        if not self.is_alive:
            return
        while self.is_alive and self._receive():
            pass
        self._read_rest()
        self._finish()

    # Sending

    def _flush(self) -> None:
        while self._sending:
            packet, descriptors = self._sending[0]
            try:
                self._channel.sendmsg([packet], protocol.rights(descriptors))
            except BlockingIOError:
                self._loop.add_writer(self._channel.fileno(), self._flush)
                return
            except OSError:  # the process is gone; its end is reported by the reader
                self._drop_sending()
                return
            self._sending.popleft()
            _close(descriptors)
        if self._channel.fileno() >= 0:
            self._loop.remove_writer(self._channel.fileno())
        if self._is_retiring:
            self.retire()

    def _drop_sending(self) -> None:
        for _, descriptors in self._sending:
            _close(descriptors)
        self._sending.clear()

    # Receiving

    def _on_channel(self) -> None:
        for _ in range(_MESSAGES_A_TURN):
            if not self._receive():
                return

    def _receive(self) -> bool:
        """Handle one message. False: there is none, or there will be no more."""
        try:
            message = self._next_message()
        except (protocol.ProtocolViolation, msgspec.MsgspecError) as error:
            self.end(f"it broke the protocol: {error}")
            return False
        if message is None:
            return False
        self._handle(message)
        return True

    def _next_message(self) -> FromProcess | None:
        if self._held is not None:
            message, self._held = self._held, None
            return message
        while self._channel.fileno() >= 0:
            try:
                packet = self._channel.recv(PACKET_BYTES + 1)
            except BlockingIOError:
                return None
            except OSError:
                packet = b""
            if not packet:
                self._on_end_of_file()
                return None
            body = self._assembly.add(packet)
            if body is not None:
                return protocol.from_process_decoder.decode(body)
        return None

    def _on_end_of_file(self) -> None:
        self._close_channel()
        if self.pid is None:
            self._finish()
            return
        # Without a channel it cannot be spoken to. Where it has ended already, this meets a zombie.
        if self.is_alive and self.status is None:
            if not _is_exiting(self.pid):
                self.why_ended = self.why_ended or "it closed its channel to the supervisor"
            self.signal(signal.SIGKILL)

    def _handle(self, message: FromProcess) -> None:
        transcript = self.transcript
        match message:
            case Streamed() if transcript is not None:
                if message.descriptor in (1, 2):
                    transcript.write(message.descriptor, message.data)
            case Displayed() if transcript is not None:
                transcript.display(message)
            case Cleared() if transcript is not None:
                transcript.clear(message)
            case Born():
                if self.pid is None:
                    self.pid = message.pid
                    self._listener.born(self)
            case Done():
                self._read_rest()  # only where the program has closed our ends is there any
                if message.result and transcript is not None:
                    transcript.display(protocol.displayed_decoder.decode(message.result))
                self._listener.said(self, message)
            case Snapshot() | Raised() | Choose() | Reject():
                self._read_rest()  # as above
                self._listener.said(self, message)
            case Failed():
                self.fork_errno = message.errno
            case _:
                self._listener.said(self, message)

    def _on_pipe(self, descriptor: int) -> None:
        stamp_ns = time.monotonic_ns()
        data = self._read(descriptor)
        # What was said before comes first.
        while (message := self._peek()) is not None and _stamp(message) < stamp_ns:
            self._receive()
        self._write(descriptor, data)
        if self._held is not None:
            self._receive()

    def _peek(self) -> FromProcess | None:
        if self._held is None:
            with contextlib.suppress(protocol.ProtocolViolation, msgspec.MsgspecError):
                self._held = self._next_message()
        return self._held

    def _read_rest(self) -> None:
        """What still lies in the pipes. Not what a child of the program's goes on writing for ever."""
        for descriptor in self._pipes:
            for _ in range(_PIPE_READS):
                data = self._read(descriptor)
                if not data:
                    break
                self._write(descriptor, data)

    def _write(self, descriptor: int, data: bytes) -> None:
        if data and self.transcript is not None:
            self.transcript.write(descriptor, data)

    def _read(self, descriptor: int) -> bytes:
        pipe = self._pipes.get(descriptor)
        if pipe is None:
            return b""
        try:
            data = os.read(pipe, _PIPE_BYTES)
        except BlockingIOError:
            return b""
        if not data:  # all writers have closed it
            self._loop.remove_reader(pipe)
        return data

    # The end

    def _close_channel(self) -> None:
        self._drop_sending()
        if self._channel.fileno() >= 0:
            self._loop.remove_reader(self._channel.fileno())
            self._loop.remove_writer(self._channel.fileno())
            self._channel.close()

    def _finish(self) -> None:
        if not self.is_alive:
            return
        self.is_alive = False
        self._close_channel()
        for pipe in self._pipes.values():
            self._loop.remove_reader(pipe)
            os.close(pipe)
        self._pipes = {}
        self._listener.ended(self)

    def describe_end(self) -> str:
        """How it ended, for a person."""
        if self.why_ended:
            return self.why_ended
        if self.fork_errno is not None:
            return f"it could not be forked: {os.strerror(self.fork_errno)}"
        if self.status is None:
            return "it ended"
        code = os.waitstatus_to_exitcode(self.status)
        if code >= 0:
            return f"it exited with code {code}"
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"it was killed by {name} ({signal.strsignal(-code)})"


def _is_exiting(pid: int) -> bool:
    """Whether a process that has closed everything did so because it is ending."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return True
    return fields[0] in "ZX" or bool(int(fields[6]) & _PF_EXITING)


def _stamp(message: FromProcess) -> int:
    return message.stamp_ns if isinstance(message, _STAMPED) else 0


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)

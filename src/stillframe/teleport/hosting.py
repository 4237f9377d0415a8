"""Hosts the program on the far side: its process, its standard streams, its signals, its end.

The process that receives and runs the program is a child of this one, in a session of its own. While it
receives, standard input (the line from the near side) is *its* to read; when it says `taken`, this process
reads on: input, signals, window sizes.

Invariants:
  * Frames go out whole and from here alone.
  * Standard input is always read, so a signal never waits behind input that the program does not take: at
    most STDIN_WINDOW_BYTES of it are held here.
  * The program's output is read only while less than BACKLOG_BYTES of it waits to go out.
  * When the line ends, so does the program: SIGHUP, then SIGKILL after HANGUP_GRACE_S.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from stillframe.teleport import terminal, wire

BACKLOG_BYTES = 1 << 18
OUTPUT_PIECE_BYTES = 1 << 16
HANGUP_GRACE_S = 5.0
IN, OUT = 0, 1
"""The line to the near side."""
LAST_WORDS_BYTES = 1 << 20
"""The most that is read of each stream after the program's end: more than a pipe holds."""

GROUP_SIGNALS = {signal.SIGINT, signal.SIGQUIT, signal.SIGHUP}
"""What a terminal sends to all processes of its foreground; other signals are for the program alone."""

_TO_DEFAULT = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)


class NotStarted(Exception):
    """The interpreter of the program could not be started."""


class Host:
    """One program, from `begin` to its end."""

    def __init__(self, plan: dict[str, Any], folder: str | None, clean: Callable[[], None]) -> None:
        self._plan = plan
        self._clean = clean
        self._terminal = -1
        self._to_near = bytearray()
        self._to_program = bytearray()
        self._from_near = bytearray()
        self._input_is_over = False
        self._is_taken = False
        self._hung_up_s: float | None = None
        self._sources: dict[int, bytes] = {}
        self._stdin: int | None = None
        self._wakeup = _wakeup_on_child()
        self._talk, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with there:
            self._program = self._start(there.fileno(), folder)
        self._talk.setblocking(False)

    # How it starts

    def _start(self, control: int, folder: str | None) -> subprocess.Popen[bytes]:
        plan = self._plan
        stdin, stdout, stderr, theirs = self._make_streams()
        line = os.dup(0)
        command = [
            plan["python"] or sys.executable,
            *plan["flags"],
            "-c",
            plan["boot"],
            str(control),
            str(line),
        ]
        environment = dict(os.environ, TERM=plan["term"]) if plan["terminal"] else None
        has_terminal = plan["terminal"] is not None

        def prepare() -> None:
            for number in _TO_DEFAULT:
                signal.signal(number, signal.SIG_DFL)
            if has_terminal:
                terminal.adopt(0)

        try:
            return subprocess.Popen(
                command,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                cwd=folder,
                env=environment,
                pass_fds=(control, line),
                start_new_session=True,
                preexec_fn=prepare,
            )
        except OSError as error:
            raise NotStarted(f"{command[0]} could not be started: {error}") from error
        finally:
            for descriptor in {*theirs, line}:
                os.close(descriptor)

    def _make_streams(self) -> tuple[int, int, int, set[int]]:
        """The program's standard streams, and which descriptors to close here once it has them."""
        plan = self._plan
        if plan["terminal"] is not None:
            ours, theirs = os.openpty()
            terminal.set_modes(theirs, plan["terminal"]["modes"])
            terminal.set_size(theirs, plan["terminal"]["size"])
            self._terminal, self._stdin = ours, ours
            self._add_source(ours, wire.STDOUT)
            if plan["terminal"]["stderr"]:
                return theirs, theirs, theirs, {theirs}
            error_read, error_write = os.pipe()
            self._add_source(error_read, wire.STDERR)
            return theirs, theirs, error_write, {theirs, error_write}
        if plan["stdin"]:
            stdin, self._stdin = os.pipe()
            os.set_blocking(self._stdin, False)
        else:
            stdin = os.open(os.devnull, os.O_RDONLY)
        output_read, output_write = os.pipe()
        error_read, error_write = os.pipe()
        self._add_source(output_read, wire.STDOUT)
        self._add_source(error_read, wire.STDERR)
        return stdin, output_write, error_write, {stdin, output_write, error_write}

    def _add_source(self, descriptor: int, kind: bytes) -> None:
        os.set_blocking(descriptor, False)
        self._sources[descriptor] = kind

    # The loop

    def run(self) -> None:
        """Host the program until it ends, and say how it did."""
        try:
            while self._program.poll() is None:
                self._turn()
            self._last_words()
        finally:
            if self._program.poll() is None:
                self._signal(signal.SIGKILL)
                self._program.wait()

    def _turn(self) -> None:
        for descriptor, events in self._wait():
            if descriptor == self._wakeup:
                os.read(descriptor, 512)
            elif descriptor == IN:
                self._hear_near(events)
            elif descriptor == self._talk.fileno():
                self._hear_program()
            elif descriptor == OUT:
                self._flush()
            elif descriptor == self._stdin and events & (select.POLLOUT | select.POLLERR):
                self._feed_program()
            # One descriptor of a terminal is both a source and the way in.
            if descriptor in self._sources and events & ~select.POLLOUT:
                self._hear_output(descriptor)
        if self._hung_up_s is not None and time.monotonic() - self._hung_up_s > HANGUP_GRACE_S:
            self._signal(signal.SIGKILL)

    def _wait(self) -> list[tuple[int, int]]:
        wanted: dict[int, int] = {self._wakeup: select.POLLIN}
        if self._hung_up_s is None:
            # Before it is ours to read, an end of the line is still seen.
            wanted[IN] = select.POLLIN if self._is_taken else select.POLLRDHUP
            if self._to_near:
                wanted[OUT] = select.POLLOUT
        if self._talk.fileno() >= 0:
            wanted[self._talk.fileno()] = select.POLLIN
        if len(self._to_near) < BACKLOG_BYTES:
            wanted.update(dict.fromkeys(self._sources, select.POLLIN))
        if self._stdin is not None and self._to_program:
            wanted[self._stdin] = wanted.get(self._stdin, 0) | select.POLLOUT
        poll = select.poll()
        for descriptor, events in wanted.items():
            poll.register(descriptor, events)
        return poll.poll(None if self._hung_up_s is None else 200)

    # From the near side

    def _hear_near(self, events: int) -> None:
        if not self._is_taken:
            self._hang_up()
            return
        try:
            data = os.read(IN, 1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._hang_up()
            return
        self._from_near += data
        while frame := _cut_frame(self._from_near):
            self._obey(frame)

    def _obey(self, frame: wire.Frame) -> None:
        if frame.kind == wire.STDIN:
            self._to_program += frame.payload
            self._input_is_over = self._input_is_over or not frame.payload
            self._feed_program()
        elif frame.kind == wire.SIGNAL:
            self._signal(frame.payload[0])
        elif frame.kind == wire.CLOSED:
            self._close_output(wire.STDOUT if frame.payload == b"\1" else wire.STDERR)
        elif frame.kind == wire.WINDOW and self._terminal >= 0:
            terminal.set_size(self._terminal, frame.message())

    def _feed_program(self) -> None:
        """Pass standard input on, as much as the program takes, and say how much that was."""
        taken = 0
        if self._stdin is None:
            taken = len(self._to_program)
        elif self._to_program:
            try:
                taken = os.write(self._stdin, self._to_program)
            except BlockingIOError:
                return
            except OSError:
                # The program has closed its input: what comes for it is dropped, as a pipe would.
                taken, self._input_is_over = len(self._to_program), True
        del self._to_program[:taken]
        if taken:
            self._say(wire.frame(wire.STDIN_TAKEN, struct.pack(">I", taken)))
        if self._input_is_over and not self._to_program and self._stdin not in (None, self._terminal):
            assert self._stdin is not None
            os.close(self._stdin)
            self._stdin = None

    def _signal(self, number: int) -> None:
        try:
            if number in GROUP_SIGNALS or number == signal.SIGKILL:
                os.killpg(self._program.pid, number)
            else:
                os.kill(self._program.pid, number)
        except (ProcessLookupError, PermissionError):
            # It has ended, and its status is on its way.
            pass

    def _hang_up(self) -> None:
        """The near side has gone. A program that runs is told so; one that has not begun yet never will."""
        if self._hung_up_s is None:
            self._hung_up_s = time.monotonic()
            self._to_near.clear()
            self._signal(signal.SIGHUP if self._is_taken else signal.SIGKILL)

    # From the program

    def _hear_program(self) -> None:
        """What the receiving process says goes on; its `taken` hands the line over to us."""
        try:
            text = self._talk.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError:
            text = b""
        if not text:
            self._talk.close()
        elif text == b"taken":
            self._is_taken = True
            os.set_blocking(IN, False)
            os.set_blocking(OUT, False)
        else:
            self._say(wire.frame(wire.MESSAGE, text))

    def _hear_output(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, OUTPUT_PIECE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            # A terminal whose other side is closed says EIO.
            if error.errno != errno.EIO:
                raise
            data = b""
        if data:
            self._say(wire.frame(self._sources[descriptor], data))
        else:
            del self._sources[descriptor]

    def _close_output(self, kind: bytes) -> None:
        """The program meets what it would have met there: a pipe that nobody reads."""
        for descriptor in [descriptor for descriptor, of in self._sources.items() if of == kind]:
            if descriptor != self._terminal:
                del self._sources[descriptor]
                os.close(descriptor)

    # To the near side

    def _say(self, frame: bytes) -> None:
        if self._hung_up_s is None:
            self._to_near += frame

    def _flush(self) -> None:
        # IN and OUT may be one socket: it must block for the process that receives, so no more is written
        # before `taken` than goes in without waiting.
        most = len(self._to_near) if self._is_taken else wire.ATOMIC_BYTES
        try:
            del self._to_near[: os.write(OUT, self._to_near[:most])]
        except BlockingIOError:
            return
        except OSError:
            self._hang_up()

    def _last_words(self) -> None:
        """After the program's end: what is still in its pipes, then its status."""
        if self._talk.fileno() >= 0:
            self._hear_program()
        for descriptor in list(self._sources):
            left = LAST_WORDS_BYTES
            while descriptor in self._sources and left > 0 and self._hung_up_s is None:
                before = len(self._to_near)
                self._hear_output(descriptor)
                if len(self._to_near) == before:
                    break
                left -= len(self._to_near) - before
        # Before the end is told: whoever hears it may take it for the end of everything here.
        self._clean()
        code = self._program.returncode
        self._say(wire.message({"signal": -code} if code < 0 else {"code": code}, wire.EXIT))
        os.set_blocking(OUT, True)
        try:
            wire.write_all(OUT, bytes(self._to_near))
        except OSError:
            # The near side has gone as well: nobody wants to know.
            pass


def _wakeup_on_child() -> int:
    """A descriptor that is readable whenever a child has ended."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    return read


def _cut_frame(buffer: bytearray) -> wire.Frame | None:
    """The first frame of `buffer`, taken out of it; None while it is not there in full."""
    if len(buffer) < 5:
        return None
    size_bytes = int.from_bytes(buffer[1:5], "big")
    if len(buffer) < 5 + size_bytes:
        return None
    frame = wire.Frame(bytes(buffer[:1]), bytes(buffer[5 : 5 + size_bytes]))
    del buffer[: 5 + size_bytes]
    return frame

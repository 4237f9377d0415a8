"""What stays here when the program has gone on elsewhere: passes streams and signals on, and ends as it ends.

It takes the place of the program's process (exec: same pid, same terminal, same parent, and the program's memory
is freed), or runs beside it (`stay`). It is the one who says `go`, so that between a program here and one there
is no moment in which both run.

Invariants:
  * Only what the program over there can take of standard input is read here, up to STDIN_WINDOW_BYTES.
  * One copy: bytes pass through as they come. Several: whole lines only, so that no line holds two voices.
  * It ends as the program does: same exit code, or by the same signal. With several, the first code that is not
    0 in the order of the items; a signal counts as 128 and its number.
  * A terminal in raw mode is put back on every way out but SIGKILL.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import select
import signal
import subprocess
import sys
from typing import Any

from stillframe.teleport import terminal, wire

LOST_CODE = 255
"""The exit code where a line was lost, as ssh has it."""
ENDED_GRACE_S = 5.0
KILL = signal.SIGRTMIN
"""Asks a relay to have the program killed: SIGKILL would end the relay, and the program only after a while."""

FORWARDED = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
)
"""Signals that are for the program, and go to it."""


class Copy:
    """One copy of the program: its line, what is left of an unfinished line of text, how it ended."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.name: str = facts["name"]
        self.into: int = facts["into"]
        self.out: int = facts["out"]
        self.err: int = facts["err"]
        self.pid: int = facts["pid"]
        self.index: int = facts["index"]
        self.halves = {1: bytearray(), 2: bytearray()}
        self.code: int | None = None
        """As subprocess has it: negative for a signal. None while the copy runs."""


class Relay:
    """All copies of one teleport, until the last one has ended."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._copies = [Copy(facts) for facts in settings["copies"]]
        self._by_out = {copy.out: copy for copy in self._copies}
        self._by_err = {copy.err: copy for copy in self._copies if copy.err >= 0}
        self._has_terminal: bool = settings["terminal"]
        self._reads_input: bool = settings["stdin"]
        self._by_lines: bool = settings["by_lines"]
        self._may_send_bytes = wire.STDIN_WINDOW_BYTES
        self._wakeup = self._catch_signals()

    def _catch_signals(self) -> int:
        read, write = os.pipe()
        for descriptor in (read, write):
            os.set_blocking(descriptor, False)
        for number in (*FORWARDED, signal.SIGWINCH, KILL):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        return read

    # The loop

    def run(self) -> int:
        """Say go, pass everything on, and return the exit code (negative for a signal)."""
        for copy in self._copies:
            os.set_blocking(copy.into, True)
            self._tell(copy, wire.message({"go": copy.index}))
        with terminal.raw(0) if self._has_terminal else contextlib.nullcontext():
            if self._has_terminal:
                self._tell_size()
            while any(copy.code is None for copy in self._copies):
                self._turn()
        for copy in self._copies:
            self._see_it_end(copy)
        return self._code()

    def _turn(self) -> None:
        poll = select.poll()
        poll.register(self._wakeup, select.POLLIN)
        for descriptor in (*self._by_out, *self._by_err):
            poll.register(descriptor, select.POLLIN)
        if self._reads_input and self._may_send_bytes > 0 and self._copies[0].code is None:
            poll.register(0, select.POLLIN)
        for descriptor, _ in poll.poll():
            if descriptor == self._wakeup:
                self._pass_signals_on()
            elif descriptor == 0:
                self._pass_input_on()
            elif copy := self._by_err.get(descriptor):
                self._pass_complaint_on(copy)
            elif copy := self._by_out.get(descriptor):
                self._hear(copy)

    def _tell(self, copy: Copy, frame: bytes) -> None:
        if copy.code is not None:
            # It ended a moment ago, and its line is closed.
            return
        # A line that broke is seen where it is read.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            wire.write_all(copy.into, frame)

    def _tell_all(self, frame: bytes) -> None:
        for copy in self._copies:
            self._tell(copy, frame)

    # Towards the program

    def _pass_signals_on(self) -> None:
        for number in os.read(self._wakeup, 512):
            if number == signal.SIGWINCH:
                self._tell_size()
            else:
                self._tell_all(wire.frame(wire.SIGNAL, bytes([signal.SIGKILL if number == KILL else number])))

    def _tell_size(self) -> None:
        if self._has_terminal:
            self._tell_all(wire.message(terminal.size_of(0), wire.WINDOW))

    def _pass_input_on(self) -> None:
        try:
            data = os.read(0, min(wire.PIECE_BYTES, self._may_send_bytes))
        except BlockingIOError:
            return
        except OSError:
            # A terminal that has gone, or one that is no longer ours to read.
            data = b""
        self._may_send_bytes -= len(data)
        self._reads_input = bool(data)
        self._tell(self._copies[0], wire.frame(wire.STDIN, data))

    # From the program

    def _hear(self, copy: Copy) -> None:
        try:
            frame = wire.read_frame(copy.out)
        except (wire.LineEnded, OSError):
            self._lost(copy)
            return
        if frame.kind == wire.STDOUT:
            self._print(copy, 1, frame.payload)
        elif frame.kind == wire.STDERR:
            self._print(copy, 2, frame.payload)
        elif frame.kind == wire.STDIN_TAKEN:
            self._may_send_bytes += int.from_bytes(frame.payload, "big")
        elif frame.kind == wire.EXIT:
            end = frame.message()
            self._ended(copy, end["code"] if "code" in end else -end["signal"])

    def _print(self, copy: Copy, where: int, data: bytes) -> None:
        if self._by_lines:
            half = copy.halves[where]
            half += data
            whole = half.rfind(b"\n") + 1
            data = bytes(half[:whole])
            del half[:whole]
        self._put(where, data)

    def _put(self, where: int, data: bytes) -> None:
        """Write it. If nobody reads it any more, the program is to know what it would have met here: SIGPIPE."""
        rest = memoryview(data)
        try:
            while rest:
                try:
                    rest = rest[os.write(where, rest) :]
                except BlockingIOError:
                    # The descriptor is shared with someone who made it non-blocking.
                    select.select([], [where], [])
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO, errno.EBADF):
                raise
            self._tell_all(wire.frame(wire.CLOSED, bytes([where])))

    def _pass_complaint_on(self, copy: Copy) -> None:
        """What the transport's own command says on standard error."""
        with contextlib.suppress(BlockingIOError):
            data = os.read(copy.err, 1 << 16)
            if data:
                self._print(copy, 2, data)
            else:
                del self._by_err[copy.err]

    # Ends

    def _ended(self, copy: Copy, code: int) -> None:
        copy.code = code
        self._by_out.pop(copy.out, None)
        for where, half in copy.halves.items():
            if half:
                self._put(where, bytes(half) + (b"\n" if len(self._copies) > 1 else b""))
                half.clear()
        os.close(copy.into)

    def _lost(self, copy: Copy) -> None:
        self._ended(copy, LOST_CODE)
        text = f"stillframe: the line to {copy.name} was lost; the program there is being ended\n"
        self._put(2, text.encode())

    def _see_it_end(self, copy: Copy) -> None:
        """Wait for the transport's process, so that nothing of it is left; it has nothing more to do."""
        if copy.pid:
            try:
                descriptor = os.pidfd_open(copy.pid)
            except OSError:
                return
            if not select.select([descriptor], [], [], ENDED_GRACE_S)[0]:
                os.kill(copy.pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(copy.pid, 0)
        if copy.err >= 0 and copy.err in self._by_err:
            self._pass_complaint_on(copy)

    def _code(self) -> int:
        codes = [copy.code or 0 for copy in self._copies]
        if len(codes) == 1:
            return codes[0]
        return next((code if code > 0 else 128 - code for code in codes if code), 0)


def command(settings: dict[str, Any], folder: str) -> list[str]:
    """The command line of a relay. It starts without `site`: it needs the standard library alone."""
    boot = "import sys; sys.path.insert(0, sys.argv[1]); from stillframe.teleport.relay import main; main()"
    return [sys.executable, "-S", "-E", "-P", "-c", boot, folder, json.dumps(settings)]


def spawn(settings: dict[str, Any], folder: str, descriptors: list[int]) -> subprocess.Popen[bytes]:
    """A relay beside the program, in its group: Ctrl-C is for both."""
    # Signals wait until it can pass them on; the mask is inherited.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [*FORWARDED, KILL])
    try:
        return subprocess.Popen(command(settings, folder), stdin=subprocess.DEVNULL, pass_fds=descriptors)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def main() -> None:
    """Run as the relay of the settings in the last argument."""
    settings = json.loads(sys.argv[2])
    code = Relay(settings).run()
    if code >= 0:
        os._exit(code)
    # The shell is to see how the program ended; the core is over there, if there is one.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, ValueError):
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
    os._exit(128 - code)

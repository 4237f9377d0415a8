"""One line to a far side: the pipes of a transport's process, and the frames that go over them until `go`.

Invariants:
  * Nothing is read ahead, so that after any answer another process (the relay) can take the line over.
  * A line is never waited on in one direction only: while much is sent, answers and complaints are heard, so a
    far side that refuses half-way is heard at once and not after the last byte.
  * Each way of failing becomes one TeleportFailed that names the place and says what the transport said.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import signal
import subprocess
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from stillframe.errors import TeleportFailed
from stillframe.teleport import wire

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

GREETING_LIMIT_BYTES = 1 << 16
"""The most that login scripts may print before the far side speaks."""
COMPLAINT_LIMIT_BYTES = 1 << 14
END_GRACE_S = 1.0
"""How long a transport may take to end after its line was closed, until it gets SIGTERM."""
TERM_GRACE_S = 4.0
"""And then, until it gets SIGKILL."""


class Line:
    """A far side that answers. `early` holds what the program printed while it was being loaded."""

    def __init__(self, name: str, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None and process.stdout is not None, (
            f"{name}: a transport's process has no pipes"
        )
        self.name = name
        self.process = process
        self.into = process.stdin.fileno()
        self.out = process.stdout.fileno()
        self.err = process.stderr.fileno() if process.stderr is not None else -1
        self.early: list[tuple[int, bytes]] = []
        self.answers: list[dict[str, Any]] = []
        self.has_greeted = False
        self.about: dict[str, Any] | None = None
        """What the interpreter over there is, once it has said so."""
        self._complaints = bytearray()
        os.set_blocking(self.into, False)
        if self.err >= 0:
            os.set_blocking(self.err, False)

    # Hearing

    def greeting(self) -> bytes:
        """What follows GREETING in the far side's first line; what a login script printed before is skipped."""
        seen = bytearray()
        while wire.GREETING not in seen or not seen.endswith(b"\n"):
            self._wait_for_output()
            byte = os.read(self.out, 1)
            if not byte or len(seen) > GREETING_LIMIT_BYTES:
                self.fail("it could not be reached", bytes(seen))
            seen += byte
        self.has_greeted = True
        return bytes(seen[seen.index(wire.GREETING) + len(wire.GREETING) :]).strip()

    def answer(self) -> dict[str, Any]:
        """The next answer. Raises TeleportFailed if the line ends, or the answer is an error."""
        while not self.answers:
            self._wait_for_output()
            self.hear_frame()
        answer = self.answers.pop(0)
        if "error" in answer:
            raise TeleportFailed(f"cannot teleport to {self.name}: {answer['error']}")
        return answer

    def hear_frame(self) -> None:
        """Take the frame that has come."""
        try:
            frame = wire.read_frame(self.out)
        except wire.LineEnded:
            self.fail("the line ended before the program could go on there")
        if frame.kind == wire.MESSAGE:
            self.answers.append(frame.message())
        elif frame.kind in (wire.STDOUT, wire.STDERR):
            self.early.append((1 if frame.kind == wire.STDOUT else 2, frame.payload))
        elif frame.kind == wire.EXIT:
            self.fail("the interpreter there ended before the program could go on", self._early_text())

    def hear_complaints(self) -> None:
        """Take what the transport's own command said on its standard error."""
        with contextlib.suppress(BlockingIOError):
            text = os.read(self.err, 1 << 16)
            if not text:
                self.err = -1
            self._complaints += text[: COMPLAINT_LIMIT_BYTES - len(self._complaints)]

    def _wait_for_output(self) -> None:
        while True:
            poll = select.poll()
            poll.register(self.out, select.POLLIN)
            if self.err >= 0:
                poll.register(self.err, select.POLLIN)
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self.err in ready:
                self.hear_complaints()
            if self.out in ready:
                return

    # Failing and ending

    def _early_text(self) -> bytes:
        return b"".join(text for _, text in self.early)

    def fail(self, what: str, said: bytes = b"") -> NoReturn:
        """Raise TeleportFailed with what the transport said and how it ended."""
        self.close()
        text = (bytes(self._complaints) + said).decode(errors="replace").strip()
        code = self.process.returncode
        ended = f" (its command ended with exit code {code})" if code else ""
        raise TeleportFailed(
            f"cannot teleport to {self.name}: {what}{ended}" + (f": {text}" if text else ".")
        )

    def complaints(self) -> bytes:
        """What the transport said on its standard error so far: warnings, if all went well."""
        return bytes(self._complaints)

    def let_go(self) -> None:
        """Close the pipes here: another process has them, and the line goes on."""
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def close(self) -> None:
        """Hang up and see the transport's process end."""
        process = self.process
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        for grace_s, end in ((END_GRACE_S, process.terminate), (TERM_GRACE_S, process.kill)):
            try:
                process.wait(grace_s)
            except subprocess.TimeoutExpired:
                end()
        process.wait()
        if process.stderr is not None and not process.stderr.closed:
            if self.err >= 0:
                self.hear_complaints()
            process.stderr.close()


def send(lines: Sequence[Line], *pieces: bytes | memoryview) -> None:
    """Send the same bytes over all lines at once. Raises TeleportFailed if one of them ends meanwhile."""
    pending = {
        line.into: (line, [memoryview(piece).cast("B") for piece in pieces if len(piece)]) for line in lines
    }
    while pending:
        poll = select.poll()
        heard = {}
        for line, _ in pending.values():
            poll.register(line.into, select.POLLOUT)
            heard[line.err] = line
            if line.has_greeted:
                heard[line.out] = line
        heard.pop(-1, None)
        for descriptor in heard:
            poll.register(descriptor, select.POLLIN)
        for descriptor, _ in poll.poll():
            if descriptor in pending:
                line, rest = pending[descriptor]
                if not _write_some(line, rest):
                    del pending[descriptor]
            elif descriptor == heard[descriptor].err:
                heard[descriptor].hear_complaints()
            else:
                _refused(heard[descriptor])


def _write_some(line: Line, rest: list[memoryview]) -> bool:
    """Whether something is left to be written afterwards."""
    try:
        count = os.writev(line.into, rest)
    except BlockingIOError:
        return True
    except BrokenPipeError:
        if not line.has_greeted:
            # It ended at once; what it has to say is read as a greeting.
            return False
        _refused(line)
        return True
    while rest and count >= len(rest[0]):
        count -= len(rest.pop(0))
    if rest:
        rest[0] = rest[0][count:]
    return bool(rest)


def _refused(line: Line) -> None:
    """Something came while we were sending: an error ends it, output of the program is kept."""
    line.hear_frame()
    if line.answers and "error" in line.answers[0]:
        line.answer()


class Outgoing(io.RawIOBase):
    """A stream of DATA frames to all lines at once, as a writable file without a position."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = lines

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer, /) -> int:
        """Send `data` from where it is: no copy is made."""
        view = memoryview(data).cast("B")
        for start in range(0, len(view), wire.LARGEST_PIECE_BYTES):
            piece = view[start : start + wire.LARGEST_PIECE_BYTES]
            send(self._lines, wire.head(wire.DATA, len(piece)), piece)
        return len(view)

    def end(self) -> None:
        """Say that nothing more comes. (Closing does not: an unfinished stream must not look like a whole one.)"""
        send(self._lines, wire.frame(wire.DATA))


@contextlib.contextmanager
def broken_pipes_are_errors() -> Iterator[None]:
    """Keeps a program that has SIGPIPE at its default from being ended by a line that breaks."""
    if signal.getsignal(signal.SIGPIPE) != signal.SIG_DFL:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGPIPE])
    try:
        yield
    finally:
        while signal.SIGPIPE in signal.sigpending():
            signal.sigtimedwait([signal.SIGPIPE], 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

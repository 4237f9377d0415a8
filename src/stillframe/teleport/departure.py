"""`stillframe.teleport(...)`: the program is captured here, goes on there, and ends here.

    1  what there is to check here: arguments, files
    2  lines to the far side; what it lacks (preflight); the interpreter that will take the program, started
    3  capture, send, loaded over there: until now every failure is an exception here, and nothing has changed
    4  the relay takes this process's place, and says `go`: from here on the program is over there

To `local`, without copies, steps 2 and 4 are one exec: the program's envelope waits in memory files, and the new
interpreter takes this process's place. A hundred such teleports leave one process, with its pid, its terminal, its
parent and its standard streams.

Invariants:
  * At no moment does the program run both here and there, unless `stay` or `each` asks for it.
  * Nothing of this process runs after the exec: no atexit, no finally, no buffer that is flushed twice.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import stillframe
from stillframe.errors import BadRequest, TeleportFailed
from stillframe.teleport import envelope, memory_files, preflight, relay, terminal, wire
from stillframe.teleport.arrival import boot
from stillframe.teleport.copies import Copy
from stillframe.teleport.files import relative_paths, send_files
from stillframe.teleport.line import Line, Outgoing, broken_pipes_are_errors, send
from stillframe.teleport.transports import Shell, Transport, transport_to


def teleport(
    to: Any = "local",
    *,
    each: Iterable[Any] | None = None,
    stay: bool = False,
    python: str | None = None,
    files: Iterable[str | os.PathLike[str]] = (),
    install: bool = False,
) -> Any:
    """Go on in `to`, and end here with the exit code of there. Returns a Resumed over there.

    `to` is "local", "ssh://[user@]host[:port]", a list of words that runs a shell command given as one more word,
    or an object with `open(command)`. With `each`, one copy goes for each item, all at once, and the call returns
    the item in each. With `stay`, the program goes on here too, and the call returns a Copy here to wait for (with
    `each` a list of them). `python` is the interpreter over there; `files` go along and are found under the same
    relative path, in a folder that is removed at the end. `install` installs what is missing over there, in a
    virtual environment of its own.

    Raises TeleportFailed, and goes on here, if the place cannot be reached, or lacks something, or the program
    cannot be loaded there; CannotCapture if it cannot be captured.
    """
    items = None if each is None else list(each)
    if items is not None and not items:
        raise BadRequest("each=[] asks for no copy at all.", "Give it one item for each copy.")
    paths = relative_paths(files)
    transport = transport_to(to)
    is_here = isinstance(transport, Shell)
    if is_here and not sys.executable:
        raise TeleportFailed("cannot teleport to local: sys.executable is empty.", "Pass python=...")
    _flush()
    with broken_pipes_are_errors():
        if is_here and items is None and not stay:
            return _become(transport, python, install=install)
        return _Departure(transport, python, items, stay=stay).leave(paths, install=install)


def _flush() -> None:
    """What was printed is printed once, here."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        # A program may have put anything in their place.
        flush = getattr(stream, "flush", None)
        if flush is not None and not getattr(stream, "closed", False):
            flush()


def _fill_standard_descriptors() -> None:
    """A program may have closed some of 0, 1 and 2; no pipe of ours may get their numbers."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def _flags() -> list[str]:
    """The options that this interpreter was started with."""
    return list(subprocess._args_from_interpreter_flags())  # type: ignore[attr-defined]


# To another place, or several copies


class _Departure:
    """One teleport over one line or several."""

    def __init__(
        self, transport: Transport, python: str | None, items: list[Any] | None, *, stay: bool
    ) -> None:
        self._transport = transport
        self._is_here = isinstance(transport, Shell) and python is None
        self._python = sys.executable if self._is_here else python
        self._items = items
        self._is_alone = items is None and not stay
        """Whether it is one program that goes from here to there, and not copies of it."""
        self._stays = stay
        self._has_terminal = self._is_alone and terminal.is_ours(0) and os.isatty(1)
        # In the background of a terminal, reading from it would stop us.
        self._has_input = self._is_alone and (terminal.is_ours(0) or not os.isatty(0))
        self._lines: list[Line] = []

    def leave(self, paths: list[str], *, install: bool) -> Any:
        """The whole way. Returns only if something failed (an exception), or in a sender that stays."""
        _fill_standard_descriptors()
        count = 1 if self._items is None else len(self._items)
        self._lines = preflight.open_lines(self._transport, self._python, count)
        try:
            interpreter = None
            if not self._is_here:
                interpreter = preflight.interpreter(self._lines, envelope.packages(), install=install)
            if paths and not self._is_here:
                send(self._lines, wire.message({"ask": "files"}))
                send_files(self._lines, paths)
                for line in self._lines:
                    line.answer()
            preflight.start_arrivals(self._lines, self._begin(interpreter), envelope.formats())
            return self._go()
        finally:
            # Reached by a failure, or by a sender that stays and has handed its lines to relays.
            preflight.close(self._lines)

    def _begin(self, interpreter: str | None) -> dict[str, Any]:
        settings = {"envelope": envelope.__name__, "is_same_place": self._is_here, "streams": _streams()}
        screen = None
        if self._has_terminal:
            screen = {"modes": terminal.modes_of(0), "size": terminal.size_of(0), "stderr": os.isatty(2)}
        return {
            "python": interpreter,
            "flags": _flags(),
            "boot": boot("receive", settings, list(sys.path) if self._is_here else None),
            "stdin": self._has_input,
            "terminal": screen,
            "term": terminal.kind(),
        }

    def _go(self) -> Any:
        ends = [end for line in self._lines for end in (line.into, line.out, line.err) if end >= 0]
        if self._stays:
            envelope.with_captured(self._send, self._items)
            return self._hand_over()
        for end in ends:
            os.set_inheritable(end, True)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        try:
            envelope.with_captured(
                self._send, self._items, then=relay.command(self._settings(self._lines), _folder())
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return None

    def _send(self, captured: envelope.Envelope) -> None:
        """Send it and see it loaded; perhaps in a process of its own, a copy of this one."""
        stream = Outgoing(self._lines)
        captured.write(stream)
        stream.end()
        for line in self._lines:
            line.answer()
        if not self._stays:
            # From here on signals are for the relay, which passes them on.
            signal.pthread_sigmask(signal.SIG_BLOCK, relay.FORWARDED)
        for line in self._lines:
            wire.write_all(2, line.complaints())
            for where, text in line.early:
                wire.write_all(where, text)

    def _settings(self, lines: Sequence[Line]) -> dict[str, Any]:
        return {
            "copies": [
                {
                    "name": line.name,
                    "into": line.into,
                    "out": line.out,
                    "err": line.err,
                    "pid": line.process.pid,
                    "index": None if self._items is None else self._lines.index(line),
                }
                for line in lines
            ],
            "terminal": self._has_terminal,
            "stdin": self._has_input,
            "by_lines": not self._is_alone,
        }

    def _hand_over(self) -> Copy | list[Copy]:
        """A relay for each copy; its line is the relay's from now on."""
        copies = []
        for line in list(self._lines):
            ends = [end for end in (line.into, line.out, line.err) if end >= 0]
            beside = relay.spawn(self._settings([line]), _folder(), ends)
            copies.append(Copy(line.name, beside, line.process))
        for line in self._lines:
            line.let_go()
        self._lines = []
        return copies if self._items is not None else copies[0]


def _streams() -> dict[str, dict[str, Any]]:
    """How the standard streams encode and buffer here."""
    found: dict[str, dict[str, Any]] = {}
    for name in ("stdin", "stdout", "stderr"):
        stream: Any = getattr(sys, f"__{name}__")
        if stream is not None:
            found[name] = {"encoding": stream.encoding, "errors": stream.errors}
            if name != "stdin":
                found[name] |= {
                    "line_buffering": stream.line_buffering,
                    "write_through": stream.write_through,
                }
    return found


def _folder() -> str:
    """Where this stillframe lies, for interpreters that start without `site`."""
    return str(Path(stillframe.__file__).parent.parent)


# In this very process


def _become(transport: Transport, python: str | None, *, install: bool) -> Any:
    """Put a new interpreter in the place of this one, once the envelope is complete."""
    path: list[str] | None = list(sys.path)
    if python is not None:
        path = None
        lines = preflight.open_lines(transport, python, 1)
        try:
            installed = preflight.interpreter(lines, envelope.packages(), install=install)
            assert lines[0].about is not None
            python = installed or lines[0].about["executable"]
        finally:
            preflight.close(lines)
    here, there = socket.socketpair()
    with here, there:
        there.set_inheritable(True)
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        settings = {
            "envelope": envelope.__name__,
            "is_same_place": python is None,
            "mask": sorted(int(number) for number in mask),
        }
        program = python or sys.executable
        command = [program, *_flags(), "-c", boot("land", settings, path), str(there.fileno())]

        def post(captured: envelope.Envelope) -> None:
            files = memory_files.Writing(captured.size_bytes)
            try:
                captured.write(files)
                files.post(here)
            finally:
                files.drop()
            # From here on signals wait for the program's handlers over there; the mask lives through an exec.
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())

        try:
            return envelope.with_captured(post, None, then=command)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

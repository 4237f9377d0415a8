"""A teleport over lines: to another place, or in several copies.

    1  open a line for each copy; what the far side lacks (preflight); have the interpreters started there
    2  capture, send to all at once, see it loaded everywhere
    3  hand the lines to a relay: in this process's place, or beside it (`stay`)

Invariants:
  * Until 3 every failure is an exception here, and nothing has changed.
  * All copies begin, or none does.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import stillframe
from stillframe.teleport import envelope, preflight, relay, terminal, wire
from stillframe.teleport.arrival import boot, interpreter_options
from stillframe.teleport.copies import Copy
from stillframe.teleport.files import send_files
from stillframe.teleport.line import Line, Outgoing, send
from stillframe.teleport.transports import Shell, Transport


def _fill_standard_descriptors() -> None:
    """A program may have closed some of 0, 1 and 2; no pipe of ours may get their numbers."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


class Departure:
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
            "flags": interpreter_options(),
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
            copies.append(Copy(line.name, (beside, line.process)))
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

"""`stillframe.teleport(...)`: the program is captured here, goes on there, and ends here.

To `local`, without copies, it goes on in this very process: its envelope waits in a memory file, and a new
interpreter takes the old one's place. A hundred such teleports leave one process, with its pid, its terminal, its
parent and its standard streams. All else is in `elsewhere`.

Invariants:
  * At no moment does the program run both here and there, unless `stay` or `each` asks for it.
  * Nothing of the old interpreter runs after the exec: no atexit, no finally, no buffer that is flushed twice.
  * What only another place needs is imported only for it: a local teleport costs little more than its interpreter.
"""

from __future__ import annotations

import _signal
import os
import sys
from collections.abc import Iterable

from stillframe.errors import BadRequest, TeleportFailed
from stillframe.teleport import envelope, memory_file
from stillframe.teleport.arrival import boot, interpreter_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


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
    is_here = to == "local" and items is None and not stay
    if to == "local" and python is None and not sys.executable:
        raise TeleportFailed("cannot teleport to local: sys.executable is empty.", "Pass python=...")
    paths = _relative_paths(files) if files else []
    _flush()
    if is_here:
        return _become(_installed(python, install=install) if python is not None else None)
    from stillframe.teleport.elsewhere import Departure
    from stillframe.teleport.line import broken_pipes_are_errors
    from stillframe.teleport.transports import transport_to

    departure = Departure(transport_to(to), python, items, stay=stay)
    with broken_pipes_are_errors():
        return departure.leave(paths, install=install)


def _relative_paths(files: Iterable[str | os.PathLike[str]]) -> list[str]:
    from stillframe.teleport.files import relative_paths

    return relative_paths(files)


def _flush() -> None:
    """What was printed is printed once, here."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        # A program may have put anything in their place.
        flush = getattr(stream, "flush", None)
        if flush is not None and not getattr(stream, "closed", False):
            flush()


def _installed(python: str, *, install: bool) -> str:
    """The interpreter `python` of this machine, or the one that was made from it, with all that the program needs."""
    from stillframe.teleport import preflight
    from stillframe.teleport.transports import Shell

    lines = preflight.open_lines(Shell(), python, 1)
    try:
        made = preflight.interpreter(lines, envelope.packages(), install=install)
        assert lines[0].about is not None
        return made or str(lines[0].about["executable"])
    finally:
        preflight.close(lines)


def _become(python: str | None) -> None:
    """Put a new interpreter in the place of this one, once the envelope is complete. None: the same one."""
    file = memory_file.make()
    mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, [])
    settings = {
        "envelope": envelope.__name__,
        "is_same_place": python is None,
        "mask": sorted(int(number) for number in mask),
    }
    path = list(sys.path) if python is None else None
    code = boot("land", settings, path)
    command = [python or sys.executable, *interpreter_options(), "-c", code, str(file)]

    def post(captured: envelope.Envelope) -> None:
        with open(file, "wb", closefd=False) as stream:
            captured.write(stream)
        # From here on signals wait for the program's handlers over there; the mask lives through an exec.
        _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())

    try:
        envelope.with_captured(post, None, then=command, is_same_place=python is None)
    finally:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
        os.close(file)

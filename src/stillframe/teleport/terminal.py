"""Terminals on both sides of a teleport: their modes and sizes, as JSON.

Only the standard library is used: this file also runs where stillframe is not installed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import termios
import tty
from collections.abc import Iterator
from typing import Any

_SIZE = struct.Struct("HHHH")


def size_of(descriptor: int) -> list[int]:
    """Rows and columns."""
    rows, columns, _, _ = _SIZE.unpack(fcntl.ioctl(descriptor, termios.TIOCGWINSZ, b"\0" * _SIZE.size))
    return [rows, columns]


def set_size(descriptor: int, size: list[int]) -> None:
    """Set rows and columns; the kernel sends SIGWINCH to whoever runs there."""
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, _SIZE.pack(size[0], size[1], 0, 0))


def modes_of(descriptor: int) -> list[Any]:
    """What tcgetattr says, in a form that JSON can carry."""
    modes = termios.tcgetattr(descriptor)
    modes[6] = [value if isinstance(value, int) else value[0] for value in modes[6]]
    return modes


def set_modes(descriptor: int, modes: list[Any]) -> None:
    """The reverse of modes_of."""
    iflag, oflag, cflag, lflag, ispeed, ospeed, characters = modes
    # MIN and TIME are numbers where the terminal is not canonical; a number is right for every place.
    termios.tcsetattr(
        descriptor,
        termios.TCSANOW,
        [iflag, oflag, cflag, lflag, ispeed, ospeed, [bytes([value]) for value in characters]],
    )


def kind() -> str:
    """The terminal's type, which programs look its abilities up by."""
    return os.environ.get("TERM", "dumb")


def is_ours(descriptor: int) -> bool:
    """Whether this is a terminal in whose foreground we run, so that reading from it does not stop us."""
    try:
        return os.isatty(descriptor) and os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:
        return False


def adopt(descriptor: int) -> None:
    """Make a terminal the controlling one of this session, which has none yet."""
    fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)


@contextlib.contextmanager
def raw(descriptor: int) -> Iterator[None]:
    """Every key goes through untouched, Ctrl-C too; afterwards the terminal is as it was."""
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor, termios.TCSADRAIN)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)

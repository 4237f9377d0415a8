"""What a cell does outside its own process, seen through Python's audit events.

A state whose lineage has such effects cannot be had again by replaying: the mail would be sent twice.

Invariants:
  * The hook is installed once, before any user code, and cannot be removed. It never raises.
  * What C code does without telling Python (a file written by a C library) is not seen.
"""

from __future__ import annotations

import os
import sys
from typing import Any

LIMIT = 20
"""Effects remembered of one cell."""

_OTHER = frozenset(
    {
        "os.chmod", "os.chown", "os.exec", "os.fork", "os.forkpty", "os.kill", "os.killpg", "os.link",
        "os.mkdir", "os.posix_spawn", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.system",
        "os.truncate", "pty.spawn", "socket.bind", "socket.connect", "socket.sendmsg", "socket.sendto",
        "subprocess.Popen",
    }
)  # fmt: skip
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_HARMLESS = ("/dev/", "/proc/self/")

_seen: list[str] | None = None


def install() -> None:
    """Begin to watch. What is seen outside begin() and end() is forgotten."""
    sys.addaudithook(_hook)


def begin() -> None:
    """A cell begins."""
    global _seen
    _seen = []


def so_far() -> list[str]:
    """What the cell has done, each kind once, in the order of its first time."""
    return list(dict.fromkeys(_seen or []))[:LIMIT]


def end() -> list[str]:
    """A cell has ended: what it did, as so_far() tells it."""
    global _seen
    seen = so_far()
    _seen = None
    return seen


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _seen is None or len(_seen) >= LIMIT:
        return
    if event in _OTHER:
        _seen.append(event)
    elif event == "open" and _writes(arguments):
        _seen.append(f"open({arguments[0]!r:.200}) for writing")


def _writes(arguments: tuple[Any, ...]) -> bool:
    path, _, flags = arguments
    if not isinstance(flags, int) or not flags & _WRITING or not isinstance(path, str | bytes):
        return False
    text = os.fsdecode(path)
    return not text.startswith(_HARMLESS) and "__pycache__" not in text

"""Ends every process that a kernel's user programs have left behind.

They are known by KERNEL_MARK in the environment they were started with, whatever session or parent they
have now. A program that starts a child with an emptied environment and detaches it is not found.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection, Iterator

from stillframe.engine.protocol import KERNEL_MARK

_ROUNDS = 100
"""A program that forks faster than it is ended gets this many rounds."""


def sweep(mark: str, spare: Collection[int] = ()) -> int:
    """End every process of the kernel `mark` but those in `spare` and this one. Returns how many."""
    ended: set[int] = set()
    for _ in range(_ROUNDS):
        found = [pid for pid in marked(mark) if pid not in spare and pid != os.getpid()]
        fresh = [pid for pid in found if _end(pid, mark)]
        if not fresh:
            break
        ended.update(fresh)
    return len(ended)


def marked(mark: str) -> Iterator[int]:
    """The processes that carry the mark and are not dead already."""
    wanted = f"{KERNEL_MARK}={mark}\0".encode()
    for name in os.listdir("/proc"):
        if name.isdigit() and _carries(int(name), wanted):
            yield int(name)


def _carries(pid: int, wanted: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:
            return wanted in environ.read() + b"\0"
    except OSError:  # it has ended, or is another user's
        return False


def _end(pid: int, mark: str) -> bool:
    """Kill the process; a pidfd makes sure that it is still the one that carried the mark."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if not _carries(pid, f"{KERNEL_MARK}={mark}\0".encode()):
            return False
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        return True
    finally:
        os.close(pidfd)

"""What runs on this machine, read from /proc, and waiting for it to change.

Invariants:
  * Waiting polls a condition and has a deadline; nothing here sleeps for a fixed time.
  * A zombie is not alive: it holds nothing but its number.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")


def until(condition: Callable[[], T], deadline_s: float = 10.0, what: str = "the condition") -> T:
    """Poll `condition` until it is true, and return what it returned. AssertionError after the deadline."""
    end = time.monotonic() + deadline_s
    pause_s = 0.001
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not become true within {deadline_s} s (last: {value!r})")
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 0.05)


def pids() -> list[int]:
    """All processes of this machine."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _read(pid: int, what: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes()
    except OSError:  # it ended meanwhile
        return b""


def command(pid: int) -> str:
    """The command line of a process, or "" where it ended."""
    return _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace").strip()


def status(pid: int) -> dict[str, str]:
    """/proc/PID/status as a dictionary; empty where the process ended."""
    lines = _read(pid, "status").decode(errors="replace").splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def is_alive(pid: int) -> bool:
    """Whether a process is there and not a zombie."""
    state = status(pid).get("State", "")
    return bool(state) and not state.startswith(("Z", "X"))


def with_marker(marker: str) -> dict[int, str]:
    """The processes whose environment at exec held `marker`, with their command lines."""
    needle = marker.encode()
    return {pid: command(pid) for pid in pids() if needle in _read(pid, "environ") and is_alive(pid)}


def descendants(root: int) -> set[int]:
    """The processes below `root` in the tree of parents."""
    parents = {pid: int(status(pid).get("PPid", "0")) for pid in pids()}
    found: set[int] = set()
    while True:
        more = {pid for pid, parent in parents.items() if parent == root or parent in found} - found
        if not more:
            return {pid for pid in found if is_alive(pid)}
        found |= more


def open_descriptors(pid: int) -> int:
    """How many file descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def proportional_bytes(pid: int) -> int:
    """A process's memory, each shared page divided by the number of those that share it."""
    lines = _read(pid, "smaps_rollup").decode().splitlines()
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:")), 0)


def held_to_permissions() -> list[str]:
    """What starts a command that may read and write only what the permissions say, also as root."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root may read and write anywhere, and there is no setpriv to give that up")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]

"""The environment variables of a program that moves: what it changed itself goes along, the rest is the place's.

PATH, HOME or DISPLAY of one machine mean nothing on another; a variable that the program has set is its own.

Invariants:
  * What was changed before a teleport counts as changed after it, however many there are.
  * Where it cannot be known how the environment was at the start, nothing of it goes along.
"""

from __future__ import annotations

import os

_brought: dict[str, str | None] = {}
"""The changes with which the program came into this process; None for a variable that it removed."""


def remember(changes: dict[str, str | None]) -> None:
    """The program has come here with these."""
    _brought.update(changes)


def changes() -> dict[str, str | None]:
    """What the program has changed since its start, wherever that was."""
    start = _at_start()
    if start is None:
        return dict(_brought)
    now = dict(os.environ)
    changed: dict[str, str | None] = {name: value for name, value in now.items() if start.get(name) != value}
    changed |= {name: None for name in start if name not in now}
    return {name: now.get(name) for name in _brought} | changed


def with_changes(changes: dict[str, str | None]) -> dict[str, str]:
    """The environment of this place with these changes."""
    merged = {**dict(os.environ), **changes}
    return {name: value for name, value in merged.items() if value is not None}


def _at_start() -> dict[str, str] | None:
    """The environment that this process began with; None if the program has written over it (its title, mostly)."""
    try:
        with open("/proc/self/environ", "rb") as file:
            text = file.read()
    except OSError:
        return None
    pairs = [pair.partition(b"=") for pair in text.split(b"\0") if pair]
    if not all(equals for _, equals, _ in pairs):
        return None
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}

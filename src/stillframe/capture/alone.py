"""A copy of the process has one thread: what the others held when it was made, nobody will ever give back there.

A copy of ours is made while other threads stand anywhere between two instructions, so also in the middle of an
import. Python's own locks around imports would have the copy wait for them, for ever.

Invariants:
  * A copy never waits for another thread's import: it takes a module as far as it has come.
  * The locks themselves are as they were: they are part of what is captured.
"""

from __future__ import annotations

import _imp
import importlib
from typing import Any

_builtin: Any = _imp
_bootstrap: Any = importlib._bootstrap


def import_without_waiting() -> None:
    """In a copy, before anything else is done there: from now on no import takes a lock."""
    _builtin.acquire_lock = _builtin.release_lock = _nothing
    _bootstrap._ModuleLock.acquire = _bootstrap._ModuleLock.release = _nothing


def _nothing(*_lock: object) -> bool:
    return True

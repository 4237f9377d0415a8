"""Python's at-fork hooks, where it is a state process that forks a state process.

A library's hooks make it work in a fork, and run as ever. Two kinds must not run in ours: `random`'s, which
reseeds it (the same cell in the same state gives the same numbers), and the program's own, which would
change states that nobody runs in. A registration cannot be taken back, so os.register_at_fork is replaced
before any user code, and `random` imported (anew, if a .pth file was faster) under the replacement.

Invariants:
  * In a fork that the program makes itself, every hook runs.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

_GUARDED = frozenset({"random", "__main__"})
_register = os.register_at_fork

is_ours = False
"""Set while a state process forks a state process."""


@functools.wraps(_register)
def _register_guarded(**hooks: Callable[[], Any]) -> None:
    if sys._getframe(1).f_globals.get("__name__") in _GUARDED:
        hooks = {when: _guarded(hook) if callable(hook) else hook for when, hook in hooks.items()}
    _register(**hooks)


def _guarded(hook: Callable[[], Any]) -> Callable[[], None]:
    def run_unless_ours() -> None:
        if not is_ours:
            hook()

    return run_unless_ours


def install() -> None:
    """Guard what is registered from now on, and what `random` has registered."""
    os.register_at_fork = _register_guarded  # type: ignore[assignment]
    if "random" in sys.modules:
        importlib.reload(sys.modules["random"])
    else:
        importlib.import_module("random")

"""Python's at-fork hooks, where it is a state process that forks a state process.

A library's hooks make it work in a fork, and run as ever, but for these:

    random               reseeds itself; but the same cell in the same state gives the same numbers
    __main__             the program's own; they would change states that nobody runs in
    threading, logging, IPython's history: make up for other threads. Where there are none they change
                         nothing, and only copy some hundred pages in every fork: half of what it costs.

A registration cannot be taken back, so os.register_at_fork is replaced before anything is imported that
registers. (`random`, where a .pth file was faster, is imported anew; of the others the hooks then run.)

Invariants:
  * In a fork that the program makes itself, every hook runs.
  * The hooks of one fork, before and after it, are decided upon once.
"""

from __future__ import annotations

import _thread
import functools
import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

_NEVER_IN_OURS = frozenset({"random", "__main__"})
_FOR_THREADS = frozenset({"threading", "logging", "IPython.core.history"})
_register = os.register_at_fork

is_ours = False
"""Set while a state process forks a state process."""
_has_threads = False
"""Whether the process that is forking has Python threads besides the main one."""


def begin() -> None:
    """A state process is about to fork a state process."""
    global is_ours, _has_threads
    is_ours = True
    _has_threads = _thread._count() > 0


def end() -> None:
    """It has, and this is either of the two."""
    global is_ours
    is_ours = False


@functools.wraps(_register)
def _register_guarded(**hooks: Callable[[], Any]) -> None:
    module = sys._getframe(1).f_globals.get("__name__")
    if module in _NEVER_IN_OURS or module in _FOR_THREADS:
        is_for_threads = module in _FOR_THREADS
        hooks = {
            when: _guarded(hook, is_for_threads) if callable(hook) else hook for when, hook in hooks.items()
        }
    _register(**hooks)


def _guarded(hook: Callable[[], Any], is_for_threads: bool) -> Callable[[], None]:
    def run_where_needed() -> None:
        if not is_ours or (is_for_threads and _has_threads):
            hook()

    return run_where_needed


def install() -> None:
    """Guard what is registered from now on, and what `random` has registered."""
    os.register_at_fork = _register_guarded  # type: ignore[assignment]
    if "random" in sys.modules:
        importlib.reload(sys.modules["random"])
    else:
        importlib.import_module("random")

"""Python's at-fork hooks, where it is a state process that forks a state process.

A library's hooks make it work in a fork, and run as ever, but for these:

    random               reseeds itself; but the same cell in the same state gives the same numbers
    __main__             the program's own; they would change states that nobody runs in
    threading, logging, IPython's history: make up for other threads. Where there are none they change
                         nothing, and only copy some hundred pages in every fork: half of what it costs.

A registration cannot be taken back, so os.register_at_fork is replaced before anything is imported that
registers. (`random`, where a .pth file was faster, is imported anew; of the others the hooks then run.)
Those of libraries are called by one hook of ours, so that a fork which needs none of them finds that out once.

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
from collections.abc import Callable, Iterable
from typing import Any

_NEVER_IN_OURS = frozenset({"random", "__main__", "stillframe.engine.state_process"})
_FOR_THREADS = frozenset({"threading", "logging", "IPython.core.history"})
_register = os.register_at_fork
_libraries: dict[str, list[tuple[Callable[[], Any], bool]]] = {
    "before": [],
    "after_in_parent": [],
    "after_in_child": [],
}
"""The guarded hooks of libraries, in the order of their registration, each with whether it is for threads."""

is_ours = False
"""Set while a state process forks a state process."""
count = 0
"""Forks that the program has made itself, in this process and those that it was forked from."""
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
    if module == "__main__" and module in _NEVER_IN_OURS:
        hooks = {when: _guarded(hook) if callable(hook) else hook for when, hook in hooks.items()}
    elif module in _NEVER_IN_OURS or module in _FOR_THREADS:
        for when, hook in hooks.items():
            _libraries[when].append((hook, module in _FOR_THREADS))
        return
    _register(**hooks)


def _guarded(hook: Callable[[], Any]) -> Callable[[], None]:
    def run_where_needed() -> None:
        if not is_ours:
            hook()

    return run_where_needed


def _before() -> None:
    global count
    if not is_ours:
        count += 1
    if not is_ours or _has_threads:
        _run(reversed(_libraries["before"]))


def _after_in_parent() -> None:
    if not is_ours or _has_threads:
        _run(_libraries["after_in_parent"])


def _after_in_child() -> None:
    if not is_ours or _has_threads:
        _run(_libraries["after_in_child"])


def _run(hooks: Iterable[tuple[Callable[[], Any], bool]]) -> None:
    for hook, is_for_threads in hooks:
        if not is_ours or is_for_threads:
            hook()


def install() -> None:
    """Guard what is registered from now on, and what `random` has registered."""
    _register(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
    os.register_at_fork = _register_guarded  # type: ignore[assignment]
    if "random" in sys.modules:
        importlib.reload(sys.modules["random"])
    else:
        importlib.import_module("random")

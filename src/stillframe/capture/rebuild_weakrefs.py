"""What pickles call to make weak references again, and what is built of them."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from stillframe.capture.rebuild_classes import set_state


class _Gone:
    """What a dead reference referred to."""

    def method(self) -> None:
        """For dead weak methods."""

    def __call__(self) -> None:
        """For dead callable proxies."""


def reference(cls: Any, target: Any, callback: Callable[..., Any] | None) -> Any:
    """A weak reference; a dead one if its target is None."""
    if target is None:
        return weakref.ref.__new__(cls, _Gone())
    return weakref.ref.__new__(cls, target, callback)


def set_attributes(made: Any, state: tuple[None, Any]) -> None:
    """The attributes of a reference of a class of its own."""
    set_state(made, state[1])


def weak_method(cls: Any, method: Any, callback: Callable[..., Any] | None) -> Any:
    """A weak reference to a method; a dead one if there is none."""
    made = weakref.WeakMethod.__new__(cls, _Gone().method if method is None else method, callback)
    return made


def proxy(target: Any, callback: Callable[..., Any] | None) -> Any:
    """A weak proxy."""
    return weakref.proxy(target, callback)


def dead_proxy(is_callable: bool) -> Any:
    """A weak proxy whose target is gone."""
    return weakref.proxy(_Gone() if is_callable else _NotCallable())


class _NotCallable:
    """What a dead proxy stood for."""


def set_weak_set(made: Any, state: tuple[list[Any], dict[str, Any]]) -> None:
    """The members of a weak set."""
    members, attributes = state
    weakref.WeakSet.__init__(made)
    for member in members:
        weakref.WeakSet.add(made, member)
    vars(made).update(attributes)


def set_weak_dict(made: Any, state: tuple[Any, list[tuple[Any, Any]], dict[str, Any]]) -> None:
    """The items of a weak dict."""
    base, items, attributes = state
    base.__init__(made)
    for key, value in items:
        base.__setitem__(made, key, value)
    vars(made).update(attributes)


def set_finalizer(made: Any, state: tuple[Any, ...]) -> None:
    """What a finalizer will do, and when."""
    target, function, arguments, keywords, is_at_exit = state
    weakref.finalize.__init__(made, target, function, *arguments, **(keywords or {}))
    made.atexit = is_at_exit

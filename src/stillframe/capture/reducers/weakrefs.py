"""Weak references, and what is built of them.

What is held weakly comes along. If nothing that was captured holds it, it dies when the load has ended, as it would
have died in a program that holds no more than that; its callbacks are called then.
"""

from __future__ import annotations

import gc
import weakref
from typing import Any

from stillframe.capture import rebuild, rebuild_weakrefs
from stillframe.capture.pickler import Pickler, reducer


@reducer(weakref.WeakMethod, subclasses=True)
def _reduce_weak_method(_pickler: Pickler, reference: Any) -> tuple[Any, ...]:
    return rebuild_weakrefs.weak_method, (type(reference), reference(), _callback_of(reference))


@reducer(weakref.ref, subclasses=True)
def _reduce_reference(_pickler: Pickler, reference: Any) -> tuple[Any, ...]:
    target = weakref.ref.__call__(reference)
    made = (type(reference), target, reference.__callback__)
    if type(reference) is weakref.ref:
        return rebuild_weakrefs.reference, made
    state = (None, object.__getstate__(reference))
    return rebuild_weakrefs.reference, made, state, None, None, rebuild_weakrefs.set_attributes


def _callback_of(reference: Any) -> Any:
    """The user's callback of a WeakMethod: its own wraps it, in a closure."""
    own = reference.__callback__
    for cell in getattr(own, "__closure__", None) or ():
        found = cell.cell_contents
        if callable(found) and not isinstance(found, weakref.ref):
            return found
    return None


@reducer(weakref.ProxyType, weakref.CallableProxyType)
def _reduce_proxy(_pickler: Pickler, proxy: Any) -> tuple[Any, ...]:
    held = gc.get_referents(proxy)
    callback = held[0] if held else None
    try:
        target = proxy.__reduce__.__self__
    except ReferenceError:
        return rebuild_weakrefs.dead_proxy, (type(proxy) is weakref.CallableProxyType,)
    return rebuild_weakrefs.proxy, (target, callback)


@reducer(weakref.WeakSet, subclasses=True)
def _reduce_weak_set(_pickler: Pickler, weak: Any) -> tuple[Any, ...]:
    attributes = _others(weak, ("data", "_remove", "_pending_removals", "_iterating"))
    state = (list(weak), attributes)
    return rebuild.bare, (type(weak), object), state, None, None, rebuild_weakrefs.set_weak_set


@reducer(weakref.WeakKeyDictionary, weakref.WeakValueDictionary, subclasses=True)
def _reduce_weak_dict(_pickler: Pickler, weak: Any) -> tuple[Any, ...]:
    attributes = _others(weak, ("data", "_remove", "_pending_removals", "_iterating", "_dirty_len"))
    by_key = isinstance(weak, weakref.WeakKeyDictionary)
    base = weakref.WeakKeyDictionary if by_key else weakref.WeakValueDictionary
    state = (base, list(base.items(weak)), attributes)
    return rebuild.bare, (type(weak), object), state, None, None, rebuild_weakrefs.set_weak_dict


def _others(obj: Any, own: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in vars(obj).items() if key not in own}


@reducer(weakref.finalize, subclasses=True)
def _reduce_finalizer(_pickler: Pickler, finalizer: Any) -> tuple[Any, ...]:
    info = weakref.finalize._registry.get(finalizer)  # type: ignore[attr-defined]
    if info is None:
        return rebuild.bare, (type(finalizer), object)
    state = (info.weakref(), info.func, info.args, info.kwargs, info.atexit)
    return rebuild.bare, (type(finalizer), object), state, None, None, rebuild_weakrefs.set_finalizer

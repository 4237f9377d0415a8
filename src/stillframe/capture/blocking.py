"""Calls that block: a thread that waits in one is captured so that it makes the call again.

The arguments of a call under way are still on its caller's stack. For the calls of this table to make it
again is to go on waiting; the time that has passed is taken off where the kernel knows until when it waits.

Invariants:
  * Only calls that have changed nothing while they wait are made again.
  * Whether a call is under way or has just ended is told by the slot of its result: NULL or the callable
    before, the result behind. Where that is not clear, the capture waits.
"""

from __future__ import annotations

import _queue
import _thread
import select
import signal
import time
import types
from typing import Any

from stillframe.frames._frames import NULL, FrameRef
from stillframe.frames.code import VERSION, CodeMap
from stillframe.frames.continuation import FrameRecord, to_call_again
from stillframe.frames.instructions import call_site, landing_of
from stillframe.frames.natives import is_a, name_of

_LOCKS = (_thread.LockType, _thread.RLock)
_METHODS: dict[type, tuple[str, ...]] = {
    _thread.LockType: ("acquire", "acquire_lock", "__enter__"),
    _thread.RLock: ("acquire", "__enter__", "_acquire_restore"),
    _queue.SimpleQueue: ("get",),
    select.epoll: ("poll",),
    type(select.poll()): ("poll",),
}
if hasattr(_thread, "_ThreadHandle"):
    _METHODS[_thread._ThreadHandle] = ("join",)
_FUNCTIONS: tuple[Any, ...] = (time.sleep, select.select, signal.sigwait, signal.pause)


class NotNow(Exception):
    """A thread stands where it cannot be captured; in a moment it will stand elsewhere."""


def blocked_record(ref: FrameRef, code: CodeMap) -> FrameRecord | None:
    """The record of a frame that waits in a call which can be made again; None if it waits in none.

    Raises NotNow for a frame that is within other C code.
    """
    at, depth = call_site(code, ref.position)
    if at.name in ("BEFORE_WITH", "BEFORE_ASYNC_WITH"):
        return _blocked_with(ref, code, depth)
    if at.name not in ("CALL", "CALL_FUNCTION_EX", "CALL_KW"):
        return None
    found = landing_of(code, ref.position)
    assert found is not None
    keep = found[1].keep
    first = ref.stack(keep, keep + 1)[0]
    if not _may_be_callable(first):
        return None
    stack = ref.stack(0, depth)
    callee = stack[keep:]
    fn, owner = _callee(at.name, callee)
    if not _may_be_made_again(fn, owner):
        raise NotNow(f"it is within {name_of(fn)}")
    return to_call_again(ref, code, _with_time_left(stack, keep, fn))


def _may_be_callable(first: Any) -> bool:
    """Whether the slot of the result still holds what was there before the call."""
    if first is NULL:
        return True
    kinds = (types.MethodDescriptorType, types.BuiltinFunctionType) if VERSION >= (3, 13) else (types.MethodDescriptorType,)
    return type(first) in kinds and _is_known(first)


def _is_known(fn: Any) -> bool:
    return any(fn is known for known in _FUNCTIONS) or any(
        fn.__name__ in names and (getattr(fn, "__objclass__", None) is cls or type(getattr(fn, "__self__", None)) is cls)
        for cls, names in _METHODS.items()
    )


def _callee(instruction: str, slots: list[Any]) -> tuple[Any, Any]:
    """The callable, and the object whose method it is, as far as it lies on the stack."""
    if VERSION >= (3, 13):
        fn, owner = slots[0], slots[1]
    elif slots[0] is NULL:
        fn, owner = slots[1], NULL
    else:
        fn, owner = slots[0], slots[1]
    return fn, getattr(fn, "__self__", NULL) if owner is NULL else owner


def _may_be_made_again(fn: Any, owner: Any) -> bool:
    if any(fn is known for known in _FUNCTIONS):
        return True
    names = _METHODS.get(type(owner), ())
    return type(fn) in (types.BuiltinFunctionType, types.MethodDescriptorType) and fn.__name__ in names


def _blocked_with(ref: FrameRef, code: CodeMap, depth: int) -> FrameRecord:
    """`with lock:` whose lock is taken."""
    stack = ref.stack(0, depth)
    manager = stack[-1]
    if VERSION == (3, 11) and type(manager) is types.BuiltinMethodType:
        # Its exit method is in its place already.
        manager = stack[-1] = manager.__self__
    if not is_a(manager, *_LOCKS):
        raise NotNow(f"it enters {type(manager).__name__}")
    return to_call_again(ref, code, stack)


def _with_time_left(stack: list[Any], keep: int, fn: Any) -> list[Any]:
    return stack

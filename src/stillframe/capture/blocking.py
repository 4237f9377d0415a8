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

from stillframe.capture.threads import NotNow as NotNow
from stillframe.frames import _frames
from stillframe.frames import diversions as diversions  # a refusal asks it, and a copy imports nothing
from stillframe.frames._frames import FrameRef
from stillframe.frames.code import VERSION, CodeMap, Instruction
from stillframe.frames.continuation import to_call_again
from stillframe.frames.inner import Inner, Unknown, is_a, name_of
from stillframe.frames.instructions import call_site, landing_of
from stillframe.frames.interruptions import is_under_way
from stillframe.frames.resumption import FrameRecord
from stillframe.frames.sites import Site, called, callee

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
if hasattr(_thread, "_shutdown"):
    _FUNCTIONS += (_thread._shutdown,)


_waits_left_s: dict[int, float] = {}
"""By the ident of a thread: how long it will wait yet, where the kernel knows that."""


def read_waits() -> None:
    """Ask the kernel until when threads wait. Just before the fork: a copy has no other threads to ask about."""
    global _waits_left_s
    _waits_left_s = _frames.waits_left()


def blocked_record(ref: FrameRef, code: CodeMap, ident: int) -> FrameRecord | None:
    """The record of a frame that waits in a call which can be made again; None if it waits in none.

    `ident` is its thread's: the call is made with the time that was left. Raises NotNow for a frame that is within
    other C code.
    """
    at, depth = call_site(code, ref.position)
    if at.name in ("BEFORE_WITH", "BEFORE_ASYNC_WITH"):
        return _blocked_with(ref, code, depth)
    if not is_under_way(ref, code, ref.position):
        return None
    found = landing_of(code, ref.position)
    assert found is not None
    site = Site(ref, code, *found, Inner(ref))
    keep, fn = site.landing.keep, called(site)
    # In doubt the call is over, and its arguments are gone: they are looked at for the calls of the table only.
    if not _may_be_made_again(fn):
        raise NotNow(f"it is within {name_of(fn)}")
    stack = ref.stack(0, depth) if at.name != "CALL_FUNCTION_EX" else _with_packed(site)
    owner = stack[keep + 1] if type(fn) is types.MethodDescriptorType else fn.__self__
    if not any(fn is known for known in _FUNCTIONS) and fn.__name__ not in _METHODS.get(type(owner), ()):
        raise NotNow(f"it is within {name_of(fn)}")
    left_s = _waits_left_s.get(ident)
    if left_s is not None:
        _set_time_left(stack, code, at, keep, fn, left_s)
    return to_call_again(ref, code, stack)


def _may_be_made_again(fn: Any) -> bool:
    """Whether a callable is in the table, by itself."""
    if any(fn is known for known in _FUNCTIONS):
        return True
    is_method = type(fn) in (types.BuiltinFunctionType, types.MethodDescriptorType)
    return is_method and any(fn.__name__ in names for names in _METHODS.values())


def _with_packed(site: Site) -> list[Any]:
    """The stack before `fn(*arguments)`. Of arguments that are no tuple CPython makes one, and lets go of them."""
    fn, args, kwargs = callee(site)
    if type(args) is Unknown:
        raise NotNow(f"it is within {name_of(fn)}, whose arguments are not kept")
    has_kwargs = site.at.argument & 1
    below = site.ref.stack(0, site.landing.operands - 1 - has_kwargs)
    return [*below, tuple(args), *([kwargs] if has_kwargs else [])]


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


# ---- The time that was left -----------------------------------------------------------------------------

_TIMEOUTS = {"sleep": 0, "acquire": 1, "acquire_lock": 1, "get": 1, "join": 0}
"""By the name of a call of the table: which of its arguments is the longest time to wait, in seconds."""


def _set_time_left(
    stack: list[Any], code: CodeMap, at: Instruction, keep: int, fn: Any, left_s: float
) -> None:
    """Put what is left of its timeout in the place of a call's argument, if it has one."""
    position = _TIMEOUTS.get(fn.__name__)
    if position is None:
        return
    if at.name == "CALL_FUNCTION_EX":
        _set_in_packed(stack, keep, position, left_s)
        return
    names = _names_of_keywords(stack, code, at)
    first = keep + 2
    end = len(stack) - (at.name == "CALL_KW")
    if "timeout" in names:
        index = end - len(names) + names.index("timeout")
    else:
        index = first + position
        if index >= end - len(names):
            return
    if _is_timeout(stack[index], left_s):
        stack[index] = left_s


def _names_of_keywords(stack: list[Any], code: CodeMap, at: Instruction) -> tuple[str, ...]:
    if at.name == "CALL_KW":
        names: tuple[str, ...] = stack[-1]
        return names
    before = code.instruction_at(at.start - 1) if at.start else None
    if before is not None and before.name == "KW_NAMES":
        found: tuple[str, ...] = code.code.co_consts[before.argument]
        return found
    return ()


def _set_in_packed(stack: list[Any], keep: int, position: int, left_s: float) -> None:
    """The same for `fn(*args, **kwargs)`: the callable, NULL, a tuple, and perhaps a dict."""
    for index in range(keep + 1, len(stack)):
        given = stack[index]
        if type(given) is tuple and len(given) > position and _is_timeout(given[position], left_s):
            stack[index] = (*given[:position], left_s, *given[position + 1 :])
        elif type(given) is dict and _is_timeout(given.get("timeout"), left_s):
            stack[index] = {**given, "timeout": left_s}


def _is_timeout(given: Any, left_s: float) -> bool:
    """Whether `given` is a time of which `left_s` may be left. The thread may have gone on since that was read."""
    return type(given) in (int, float) and left_s <= given

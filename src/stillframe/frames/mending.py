"""A thread that goes on from where something was raised, in the process in which it was raised.

Invariants:
  * The frames that were there are put down: they hold nothing any more, and never run again. What is below them on
    the C stack stays there for as long as the process lives, and is never returned to.
  * What was raised is forgotten: none of the handlers between the frames was run, nor will be.
"""

from __future__ import annotations

import types
from collections.abc import Iterable
from types import CellType
from typing import Any

from stillframe.errors import CannotCapture
from stillframe.frames import _frames
from stillframe.frames._frames import NULL, FrameRef
from stillframe.frames.code import code_map
from stillframe.frames.continuation import Continuation, FrameRecord, capture
from stillframe.frames.statements import handled_before, to_execute_again

_CO_OPTIMIZED = 1


def to_begin_again(
    dropped: list[FrameRef], frames: list[FrameRef], handled: Iterable[BaseException | None]
) -> Continuation:
    """The continuation of `frames`, the innermost first, which executes the statement again that is under way in that.
    `dropped` are the frames further in, which that had called.

    Raises NativeCallInTheWay, CannotCapture.
    """
    continuation = capture(frames, handled, stopped=to_execute_again)
    code, record = code_map(frames[0].code), continuation.records[-1]
    if code.instruction_at(record.next).name == "FOR_ITER" and any(
        ref.generator is not None for ref in dropped
    ):
        raise CannotCapture(
            f"{code.code.co_filename}, line {record.line}, in {code.code.co_qualname}: the loop cannot go on, as the "
            "generator that it goes over has failed and would be let go of.",
            "Choose the generator's frame, or one further out.",
        )
    for ref in dropped:
        if ref.generator is None and type(ref.function) is types.FunctionType:
            for error in handled_before(ref, code_map(ref.code)):
                continuation.handled = error
    return continuation


def mend(record: FrameRecord, source: types.CodeType) -> None:
    """Execute code in a frame at rest. What it assigns to a variable of the frame is that variable's value then, and
    what it assigns to a global that the frame knows is that global's."""
    function = record.function
    if record.locals is not None or not function.__code__.co_flags & _CO_OPTIMIZED:
        exec(source, function.__globals__, record.locals)
        return
    slots = _slots_of(function.__code__)
    before = {name: _value(record.fast[slot]) for name, slot in slots.items()}
    before = {name: value for name, value in before.items() if value is not NULL}
    now = dict(before)
    exec(source, function.__globals__, now)
    for name, slot in slots.items():
        value = now.pop(name, NULL)
        if value is not before.get(name, NULL):
            _assign(record.fast, slot, value)
    for name, value in now.items():
        if name in function.__globals__ or name in function.__code__.co_names:
            function.__globals__[name] = value


def _slots_of(code: types.CodeType) -> dict[str, int]:
    others = [name for name in code.co_cellvars if name not in code.co_varnames]
    names = (*code.co_varnames, *others, *code.co_freevars)
    return {name: slot for slot, name in enumerate(names) if not name.startswith(".")}


def _value(slot: Any) -> Any:
    if type(slot) is not CellType:
        return slot
    try:
        return slot.cell_contents
    except ValueError:
        return NULL


def _assign(fast: list[Any], slot: int, value: Any) -> None:
    if type(fast[slot]) is not CellType:
        fast[slot] = value
    elif value is NULL:
        del fast[slot].cell_contents
    else:
        fast[slot].cell_contents = value


def put_down(dropped: list[FrameRef], frames: list[FrameRef], continuation: Continuation) -> None:
    """Let go of the frames that the continuation was captured from, the innermost first, for it to be resumed here; and
    of those further in, which are not part of it."""
    dropped = [ref for ref in dropped if type(ref.function) is types.FunctionType]
    frames = [ref for ref in frames if type(ref.function) is types.FunctionType]
    for ref in dropped:
        ref.drop()
    # What was raised has the object of the innermost frame, and C code has that still: it would keep all that is there.
    continuation.records[-1].frame_object = None
    for ref, record in zip(frames, reversed(continuation.records), strict=True):
        if record.generator is not None:
            for slot, value in enumerate(record.fast):
                ref.put(slot, value)
            record.frame_object = None  # it is the generator's still
        ref.put_down(len(record.stack))
    _frames.handle_exception(None)
    _frames.count_calls(-len(dropped) - len(frames))

"""What pickles call to make frames again: records of frames, continuations, generators.

Invariants:
  * The names of these functions are part of the format.
  * A frame is made only for the very code that it was captured from: positions and depths mean nothing else.
  * A generator is made empty, then filled; none of its code runs.
"""

from __future__ import annotations

import zlib
from types import CodeType
from typing import Any

from stillframe.errors import IncompatibleSnapshot
from stillframe.frames import _frames
from stillframe.frames.continuation import Continuation, FrameRecord

_NO_CODE = (lambda: None).__code__


def fingerprint(code: CodeType) -> int:
    """Tells code objects apart that a frame could not be moved between."""
    shape = (
        code.co_nlocals,
        code.co_stacksize,
        code.co_varnames,
        code.co_cellvars,
        code.co_freevars,
        code.co_names,
    )
    return zlib.crc32(code.co_code + code.co_exceptiontable + repr(shape).encode())


def _check(function: Any, expected: int) -> None:
    code = function.__code__
    if fingerprint(code) != expected:
        raise IncompatibleSnapshot(
            f"{function.__module__}.{code.co_qualname} was running when the snapshot was made, "
            "and has another code here.",
            "Install the same version of the package, or of Python, as the snapshot's header names.",
        )


def frame_record(expected: int, function: Any, *rest: Any) -> FrameRecord:
    """A frame at rest."""
    _check(function, expected)
    return FrameRecord(function, *rest)


def frame_object(function: Any) -> Any:
    """The object of a frame that is yet to be made."""
    return _frames.new_frame(function.__code__, function.__globals__, None)


def continuation(records: list[FrameRecord], handled: Any) -> Continuation:
    """The rest of a thread's computation."""
    return Continuation(records, handled)


def new_generator(cls: type, slots: int, name: str, qualname: str) -> Any:
    """A generator, coroutine or asynchronous generator that has ended, with room for a frame."""
    return _frames.new_generator(cls, slots, _NO_CODE, name, qualname)


def ended_generator(cls: type, code: CodeType, name: str, qualname: str) -> Any:
    """One that has ended."""
    return _frames.new_generator(cls, 0, code, name, qualname)


def fill_generator(generator: Any, image: tuple[Any, ...]) -> None:
    """Put a frame into it: it is suspended from now on."""
    expected, *filling = image
    _check(filling[0], expected)
    _frames.fill_generator(generator, *filling)


def async_step(make: Any, argument: Any, state: int) -> Any:
    """What `agen.asend(value)` and `agen.athrow(error)` return, as far as it had come."""
    step = make(argument) if not isinstance(argument, tuple) else make(*argument)
    _frames.set_async_step(step, state)
    return step


def awaited(coroutine: Any) -> Any:
    """What `coroutine.__await__()` returns."""
    return coroutine.__await__()

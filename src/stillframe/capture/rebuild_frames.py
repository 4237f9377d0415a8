"""What pickles call to make frames again: records of frames, continuations, generators.

Invariants:
  * The names of these functions are part of the format.
  * A frame is made only for the very code that it was captured from: positions and depths mean nothing else.
  * A generator is made empty, then filled; none of its code runs.
"""

from __future__ import annotations

import _imp
import importlib
from types import CellType, CodeType
from weakref import WeakKeyDictionary

from stillframe.frames import _frames
from stillframe.frames.resumption import Continuation, FrameRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NO_CODE = (lambda: None).__code__
_CO_OPTIMIZED = 1
"""As in `inspect`, which is large."""
_STAND_INS = "stillframe.frames.stand_in"
_fingerprints: WeakKeyDictionary[CodeType, int] = WeakKeyDictionary()


def fingerprint(code: CodeType) -> int:
    """Tells code objects apart that a frame could not be moved between."""
    known = _fingerprints.get(code)
    if known is None:
        known = _fingerprints[code] = _fingerprint(code)
    return known


def _fingerprint(code: CodeType) -> int:
    shape = (
        code.co_nlocals,
        code.co_stacksize,
        code.co_varnames,
        code.co_cellvars,
        code.co_freevars,
        code.co_names,
    )
    text = code.co_code + code.co_exceptiontable + repr(shape).encode()
    return int.from_bytes(_imp.source_hash(0, text))


def _check(function: Any, expected: int) -> None:
    if str(function.__module__).startswith(_STAND_INS):
        importlib.import_module("stillframe.frames.diversions")  # it hides their frames, by another code
    code = function.__code__
    if fingerprint(code) != expected:
        from stillframe.errors import IncompatibleSnapshot

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


def ended_frame(code: CodeType, namespace: dict[str, Any], at: int) -> Any:
    """The object of a frame that has ended, at the instruction `at`: for tracebacks, and variables that hold one."""
    local: dict[str, Any] | None = None if code.co_flags & _CO_OPTIMIZED else {}
    frame = _frames.new_frame(code, namespace, local)
    fast = _frames.frame_ref(frame).fast
    # Without cells for its free variables, to look at them would crash.
    bound = len(fast) - len(code.co_freevars)
    _frames.fill_frame(frame, [*fast[:bound], *(CellType() for _ in code.co_freevars)], at)
    return frame


def set_ended_frame(frame: Any, state: tuple[list[Any], dict[str, Any], int]) -> None:
    """Its variables, of which it may be one."""
    fast, local, at = state
    _frames.fill_frame(frame, fast, at)
    if local:
        frame.f_locals.update(local)


def frame_locals(frame: Any) -> Any:
    """The view of a frame's variables, from 3.13 on."""
    return frame.f_locals


def belongs_to(_frame: Any, _generator: Any) -> None:
    """Nothing: a generator that holds its own frame takes it when it is filled."""


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
    expected, frame_object, *filling = image
    _check(filling[0], expected)
    _frames.fill_generator(generator, *filling)
    if frame_object is not None:
        ref = _frames.generator_facts(generator)[7]
        assert ref is not None
        _frames.adopt(ref, frame_object)


def async_step(make: Any, argument: Any, state: int) -> Any:
    """What `agen.asend(value)` and `agen.athrow(error)` return, as far as it had come."""
    step = make(argument) if not isinstance(argument, tuple) else make(*argument)
    _frames.set_async_step(step, state)
    return step


def awaited(coroutine: Any) -> Any:
    """What `coroutine.__await__()` returns."""
    return coroutine.__await__()

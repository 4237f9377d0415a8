"""Exceptions with all that hangs on them, tracebacks, and frames that ended or are only looked at."""

from __future__ import annotations

import gc
import sys
from types import FrameType, FunctionType, GetSetDescriptorType, MemberDescriptorType, TracebackType

from stillframe.capture import rebuild, rebuild_frames
from stillframe.capture.modules import globals_of
from stillframe.capture.pickler import Pickler, reducer
from stillframe.frames import _frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CO_OPTIMIZED = 1
"""As in `inspect`, which is large."""
FIELDS_OF_ALL = ("args", "__traceback__", "__context__", "__cause__", "__suppress_context__", "__dict__")


@reducer(BaseException, subclasses=True)
def _reduce_exception(pickler: Pickler, error: BaseException) -> Any:
    cls = type(error)
    get = BaseException.__dict__
    links = tuple(get[name].__get__(error) for name in FIELDS_OF_ALL[1:5])
    for name in ("__reduce__", "__reduce_ex__"):
        if isinstance(_in_mro(cls, name), FunctionType):
            # Its class knows better how to make it; pickle leaves out what we add.
            return _by_own_reduce(error, links)
    made: tuple[Any, ...] = (cls, _builtin(cls))
    if isinstance(error, BaseExceptionGroup):
        made = (
            *made,
            BaseExceptionGroup.message.__get__(error),
            list(BaseExceptionGroup.exceptions.__get__(error)),
        )
    custom = (
        cls.__getstate__ if isinstance(_in_mro(cls, "__getstate__"), FunctionType) else object.__getstate__
    )
    state = (get["args"].__get__(error), custom(error), _fields(error), links)
    return rebuild.bare, made, state, None, None, rebuild.set_exception


def _in_mro(cls: type, name: str) -> Any:
    return next((base.__dict__[name] for base in cls.__mro__ if name in base.__dict__), None)


def _by_own_reduce(error: BaseException, links: tuple[Any, ...]) -> tuple[Any, ...]:
    reduced: Any = error.__reduce_ex__(5)
    make, arguments, *rest = reduced
    state = rest[0] if rest else None
    return make, arguments, (state, links), None, None, rebuild.set_links


def _builtin(cls: type) -> type:
    """The built-in exception from which `cls` is derived and whose `__new__` makes it."""
    for base in cls.__mro__:
        made = base.__dict__.get("__new__")
        if made is not None and not isinstance(made, staticmethod | FunctionType):
            return base
    return BaseException


def _fields(error: BaseException) -> dict[str, Any] | None:
    """What its built-in class keeps in C: `errno`, `start`, `value`, …"""
    fields = {}
    for base in type(error).__mro__:
        if base is BaseException:
            break
        if base.__flags__ & (1 << 9) or base is BaseExceptionGroup:
            continue
        for name, descriptor in base.__dict__.items():
            if isinstance(descriptor, MemberDescriptorType | GetSetDescriptorType) and name != "__weakref__":
                try:
                    fields[name] = descriptor.__get__(error)
                except (AttributeError, TypeError):
                    # Not set: it stays so.
                    continue
    return fields or None


@reducer(TracebackType)
def _reduce_traceback(pickler: Pickler, traceback: TracebackType) -> tuple[Any, ...]:
    rows = []
    own: set[int] = pickler.state.seen.setdefault("traceback_frames", set())
    entry: TracebackType | None = traceback
    while entry is not None:
        rows.append((entry.tb_frame, entry.tb_lasti, entry.tb_lineno))
        own.add(id(entry.tb_frame))
        entry = entry.tb_next
    pickler.state.keep.append(rows)
    return rebuild.traceback, (rows,)


@reducer(FrameType)
def _reduce_frame(pickler: Pickler, frame: FrameType) -> tuple[Any, ...]:
    """A frame that will not run again. One that will is known to the pickler, with its image, or is a generator's.

    The locals of a traceback's frames come only with a whole program, and only if they can be captured.
    """
    image = pickler.running.get(id(frame))
    if image is not None:
        return rebuild.itself, (image,)
    ref = _frames.frame_ref(frame)
    if ref.generator is not None:
        # It is empty until the generator takes it.
        return (
            rebuild_frames.frame_object,
            (ref.function,),
            ref.generator,
            None,
            None,
            rebuild_frames.belongs_to,
        )
    at = frame.f_lasti // 2
    is_failed = id(frame) in pickler.state.seen.get("traceback_frames", ())
    state = None
    if frame.f_locals is not frame.f_globals and (not is_failed or pickler.options.has_failed_locals):
        local = {} if frame.f_code.co_flags & _CO_OPTIMIZED else dict(frame.f_locals)
        state = (ref.fast, local, at)
    made = (frame.f_code, globals_of(pickler, frame.f_globals), at)
    return rebuild_frames.ended_frame, made, state, None, None, rebuild_frames.set_ended_frame


def _locals_of_a_frame() -> Any:
    return sys._getframe().f_locals


@reducer(type(_locals_of_a_frame()) if sys.version_info >= (3, 13) else None)
def _reduce_frame_locals(_pickler: Pickler, local: Any) -> tuple[Any, ...]:
    """From 3.13 on, `f_locals` of a function's frame is a view of them."""
    return rebuild_frames.frame_locals, (gc.get_referents(local)[0],)

"""Where a program stands: the frames of a cell that is in a call, or of the exception that has ended one.

Invariants:
  * Frames of IPython and of stillframe are left out: they are not the program's.
  * Looking at frames changes nothing in them.
"""

from __future__ import annotations

import contextlib
import sys
from types import CellType, FrameType, SimpleNamespace
from typing import Any, NamedTuple

from stillframe.engine.shell import is_own_code


class Place(NamedTuple):
    """A frame, and the line at which it stands or has failed."""

    frame: Any
    """With f_code, f_globals and f_locals, as a frame has them."""
    line: int


def of_call(namespace: dict[str, Any]) -> list[Place]:
    """Those of the cell that runs, the outermost first: it is the first that has `namespace` for its globals."""
    found = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        found.append(Place(frame, frame.f_lineno))
        frame = frame.f_back
    outermost = max((at for at, place in enumerate(found) if place.frame.f_globals is namespace), default=-1)
    return _programs(found[outermost::-1])


def of_failure(error: BaseException | None) -> list[Place]:
    """Those that an exception has passed, the outermost first. Their local variables are as they were then."""
    found = []
    trace = error.__traceback__ if error is not None else None
    while trace is not None:
        found.append(Place(trace.tb_frame, trace.tb_lineno))
        trace = trace.tb_next
    return _programs(found)


def of_records(records: list[Any]) -> list[Place]:
    """Those of frame records: the frames that a restored cell goes on with."""
    return _programs([Place(_frame_of(record), record.line) for record in records])


def _frame_of(record: Any) -> SimpleNamespace:
    from stillframe.frames._frames import NULL  # what has made the record has loaded it

    code = record.function.__code__
    others = [name for name in code.co_cellvars if name not in code.co_varnames]
    names = (*code.co_varnames, *others, *code.co_freevars)
    found = {}
    for name, value in zip(names, record.fast, strict=False):
        with contextlib.suppress(ValueError):  # an empty cell
            value = value.cell_contents if type(value) is CellType else value
            if value is not NULL:
                found[name] = value
    namespace = found if record.locals is None else record.locals
    return SimpleNamespace(f_code=code, f_globals=record.function.__globals__, f_locals=namespace)


def _programs(places: list[Place]) -> list[Place]:
    return [place for place in places if not is_own_code(place.frame.f_code)]

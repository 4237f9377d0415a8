"""The frames of a running program, for the pickler; and those of a cell that a state rests in the middle of.

    capture_call(…)   in a fork that looks at a state inside a call: the rest of its cell
    prepare(…)        tells a pickler of frames that it will meet the objects of

Invariants:
  * A cell ends at its module frame: what lies below is the kernel's, and is there in every state process.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from types import CellType, CodeType

from stillframe.capture import rebuild_frames, sharing
from stillframe.capture.pickler import Pickler, Standin
from stillframe.frames import _frames
from stillframe.frames.continuation import Continuation, FrameRecord, capture, resume, running
from stillframe.frames.landing import RAISED, RETURNED
from stillframe.frames.outermost import frames_of_cell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def capture_call(
    frames: list[_frames.FrameRef],
    namespace: dict[str, Any],
    runner: str,
    is_shells: Callable[[CodeType], bool],
) -> Continuation:
    """The rest of a cell from a call in it: `frames` begin with the callee. The cell's globals are `namespace`, and
    the file `runner` runs its module frame. What `is_shells` is of the process, not of the program.

    Raises NativeCallInTheWay, CannotCapture. Cost: some 10 µs a frame.
    """
    frames = frames_of_cell(frames, namespace, runner, is_shells)
    ident = threading.get_ident()
    return capture(frames, _frames.handled_exceptions(ident), within=_frames.within(ident))


def go_on(continuation: Continuation, value: Any) -> Any:
    """Run the rest of a cell: the call returns `value`. Returns what the module frame does, or raises it."""
    kind, came = resume(continuation, (RETURNED, value))
    if kind == RAISED:
        raise came
    return came


def prepare(pickler: Pickler, records: Iterable[FrameRecord]) -> None:
    """Tell the pickler what runs in these frames: generators, cached calls, namespaces of objects."""
    for record in records:
        if record.generator is not None:
            pickler.running[id(record.generator)] = running(record)
        sharing.note(pickler, record)
        for step in record.steps:
            if step[0] == "cache":
                calls = pickler.state.seen.setdefault("cached calls", Counter())
                calls[id(step[1])] += 1
        if record.frame_object is not None:
            pickler.running[id(record.frame_object)] = Standin(rebuild_frames.frame_object, record.function)


def locals_by_name(continuations: Iterable[Continuation]) -> dict[str, Any]:
    """The local variables of all frames, those of the innermost first: what an obstacle's path begins with."""
    found: dict[str, Any] = {}
    for continuation in continuations:
        for record in reversed(continuation.records):
            for name, value in local_variables(record).items():
                found.setdefault(name, value)
    return found


def local_variables(record: FrameRecord) -> dict[str, Any]:
    """The local variables of a frame that are bound, without those that it shares with other functions."""
    names = record.function.__code__.co_varnames
    pairs = zip(names, record.fast, strict=False)
    return {name: value for name, value in pairs if value is not _frames.NULL and type(value) is not CellType}

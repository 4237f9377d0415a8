"""The threads of a program: captured while they stand still, started again where they were.

Invariants:
  * The first image is the main thread's. One image is the asker's: of the thread that called for the capture.
  * A thread is captured from its own start on, `Thread.run` or the function it was started with; what lies below
    is made by starting it again.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from stillframe.capture.pickler import Pickler
from stillframe.frames import _frames
from stillframe.frames.continuation import Continuation, capture, resume
from stillframe.frames.landing import RAISED, Outcome

T = TypeVar("T")


class ThreadImage(NamedTuple):
    """One thread at rest."""

    thread: threading.Thread | None
    """None for the main thread, and for one that was started without a Thread object."""
    is_asker: bool
    continuation: Continuation


def _base(frames: list[_frames.FrameRef]) -> int:
    """How many frames belong to the program: those from the innermost to the outermost of `__main__`."""
    main = vars(sys.modules["__main__"])
    for index in range(len(frames) - 1, -1, -1):
        if frames[index].code.co_name == "<module>" and frames[index].globals is main:
            return index + 1
    return len(frames)


def capture_all(frames: list[_frames.FrameRef]) -> list[ThreadImage]:
    """The images of all threads; `frames` are those of the asking one, from our callee on."""
    own = capture(frames[: _base(frames)], _frames.handled_exceptions())
    return [ThreadImage(None, True, own)]


def prepare(pickler: Pickler, images: list[ThreadImage]) -> None:
    """Tell the pickler which threads will go on."""


def with_still_copy(use: Callable[[], T]) -> T:
    raise NotImplementedError


def run_all(context: Any, images: list[ThreadImage], outcome: Outcome) -> int:
    """Start all threads but the main one, and go on in that; the asker's call comes to `outcome`."""
    return _ended(resume(images[0].continuation, outcome))


def _ended(outcome: Outcome) -> int:
    kind, value = outcome
    if kind != RAISED:
        return 0
    if isinstance(value, SystemExit):
        raise value
    sys.excepthook(type(value), value, value.__traceback__)
    return 1

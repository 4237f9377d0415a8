"""The threads of a program, started where they were: the half of `threads` that a process needs into which it comes.

Invariants:
  * No thread goes on before all are made.
  * It is on the way of every teleport, and imports nothing that only a capture needs.
"""

from __future__ import annotations

import _thread
import functools
import sys
import threading
from collections.abc import Iterable

from stillframe.capture import rebuild_contexts
from stillframe.capture.ending import ended
from stillframe.frames import _frames
from stillframe.frames.landing import RETURNED, Outcome
from stillframe.frames.resumption import Continuation, FrameRecord, resume

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple
else:
    from stillframe.light import NamedTuple

BOOTSTRAP = threading.Thread._bootstrap_inner.__code__  # type: ignore[attr-defined]
"""The code of the frame below a thread's own work."""


class ThreadImage(NamedTuple):
    """One thread at rest."""

    ident: int
    thread: threading.Thread | None
    """None for the main thread, and for one that was started without a Thread object."""
    is_asker: bool
    continuation: Continuation
    variables: list[tuple[Any, Any]]
    """The context variables outside of all `Context.run`."""
    context_id: int
    ended_lock: Any
    """Up to 3.12: what others wait for who join it."""


def run_all(context: Any, images: list[ThreadImage], outcome: Outcome) -> int:
    """Start all threads but the main one, and go on in that; the asker's call comes to `outcome`."""
    main, *others = images
    ready, begin = threading.Semaphore(0), threading.Event()
    for image in others:
        work = functools.partial(
            _frames.deliver, functools.partial(_work, context, image, outcome, ready, begin)
        )
        if image.thread is None:
            _thread.start_new_thread(work, ())
        else:
            vars(image.thread)["run"] = work
            image.thread.start()
    _take_share(context, main)
    for _ in others:
        ready.acquire()
    begin.set()
    # A program that was captured in its excepthook has failed already.
    has_failed = main.continuation.records[0].function is sys.excepthook
    return ended(_go_on(main, outcome)) or int(has_failed)


def _go_on(image: ThreadImage, outcome: Outcome, previous: _frames.FrameRef | None = None) -> Outcome:
    came = outcome if image.is_asker else (RETURNED, None)
    rebuild_contexts.set_variables(image.variables)
    return resume(image.continuation, came, previous)


def _work(
    context: Any, image: ThreadImage, outcome: Outcome, ready: threading.Semaphore, begin: threading.Event
) -> Outcome:
    """The life of a thread from where it was."""
    try:
        _take_share(context, image)
    finally:
        # A lock must be its owner's before anybody else goes on, who might want it.
        ready.release()
    begin.wait()
    previous = None
    if image.thread is not None:
        del vars(image.thread)["run"]
        previous = next(frame for frame in _frames.walk() if frame.code is BOOTSTRAP)
    if image.ended_lock is not None:
        image.thread._tstate_lock = image.ended_lock  # type: ignore[union-attr]
    try:
        return _go_on(image, outcome, previous)
    finally:
        if image.ended_lock is not None:
            image.ended_lock.release()


def _take_share(context: Any, image: ThreadImage) -> None:
    """Take what belonged to the thread of the image: the reentrant locks it held, its thread-local data."""
    ident = image.ident
    _own_saved_states(image)
    for lock, owner, count in context.rlocks:
        if owner == ident:
            for _ in range(count):
                lock.acquire()
    for lock, owner in context.facts.get("module locks", ()):
        if owner == ident:
            lock.owner = threading.get_ident()
    if "loops" in context.facts:
        from stillframe.capture import rebuild_aio

        rebuild_aio.take_loops(context, ident)
    for local, owner, attributes in context.facts.get("locals", ()):
        if owner == ident:
            vars(local).update(attributes)


_WAIT = threading.Condition.wait


def _own_saved_states(image: ThreadImage) -> None:
    """A thread that waits for a condition keeps what `RLock._release_save` gave it: how often it held the lock, and
    its own ident, which is another one now."""
    was, now = (image.ident,), (threading.get_ident(),)
    for record in image.continuation.records:
        if record.function.__code__ is _WAIT.__code__:
            for slots in (record.fast, record.stack):
                for index, held in enumerate(slots):
                    if type(held) is tuple and len(held) == 2 and held[1:] == was:
                        slots[index] = held[:1] + now


_DEADLINES = frozenset({"endtime", "end_time", "deadline", "_endtime"})
_MODULES_WITH_DEADLINES = (
    "threading",
    "queue",
    "subprocess",
    "concurrent.futures._base",
    "multiprocessing.connection",
)


def shift_deadlines(records: Iterable[FrameRecord], by_s: float) -> None:
    """Move the times at which functions of the standard library will give up waiting: they are counted by a clock
    that has another origin, or has gone on meanwhile."""
    for record in records:
        if record.function.__module__ not in _MODULES_WITH_DEADLINES:
            continue
        for index, name in enumerate(record.function.__code__.co_varnames):
            if name in _DEADLINES and type(record.fast[index]) is float:
                record.fast[index] += by_s

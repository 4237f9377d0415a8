"""The threads of a program, captured while they stand still. `starting` has them go on.

A thread that stands still is in one of three places. At an eval breaker: it waits for the interpreter's lock
between two instructions, and goes on there. In a call that blocks and may be made again (`sleep`, `acquire`,
`get`): it makes the call once more, with the time that was left. Anywhere else in C: not now; the capture is
tried again a moment later.

Invariants:
  * The first image is the main thread's. One image is the asker's: of the thread that called for the capture.
  * A thread is captured from its own start on, `Thread.run` or the function it was started with; what lies below
    is made by starting it again.
"""

from __future__ import annotations

import functools
import gc
import sys
import threading
import weakref
from collections.abc import Iterator

from stillframe.capture import rebuild, rebuild_threads
from stillframe.capture.pickler import Pickler, Standin
from stillframe.capture.starting import BOOTSTRAP
from stillframe.capture.starting import ThreadImage as ThreadImage
from stillframe.errors import CannotCapture, NativeCallInTheWay
from stillframe.frames import _frames
from stillframe.frames.continuation import calls_from_c, capture, stopped_at_breaker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HIDDEN: set[int] = set()
"""The idents of threads that are stillframe's own, not the program's."""


class NotNow(Exception):
    """A thread stands where it cannot be captured; in a moment it will stand elsewhere. `ident` is that thread's, and
    where it can be captured no more than `most_calls` calls from C into Python are under way in it."""

    ident = 0
    most_calls = (1 << 31) - 1


def _program_base(frames: list[_frames.FrameRef]) -> int:
    """How many frames belong to the program: those from the innermost to the outermost of `__main__`."""
    main = vars(sys.modules["__main__"])
    for index in range(len(frames) - 1, -1, -1):
        if frames[index].code.co_name == "<module>" and frames[index].globals is main:
            return index + 1
    return len(frames)


def _thread_base(frames: list[_frames.FrameRef]) -> int:
    """How many frames belong to a thread's own work."""
    for index, frame in enumerate(frames):
        if frame.code is BOOTSTRAP:
            if index == 0 or frames[index - 1].code.co_name != "run":
                raise NotNow("a thread is just starting or ending")
            return index
    return len(frames)


def _stopped(ident: int, ref: _frames.FrameRef, code: Any) -> Any:
    from stillframe.capture.blocking import blocked_record  # what makes copies has it

    return blocked_record(ref, code, ident) or stopped_at_breaker(ref, code)


def capture_all(own: list[_frames.FrameRef]) -> list[ThreadImage]:
    """The images of all threads; `own` are the frames of the asking one, from our callee on, or none of them
    if it is not part of the program."""
    main = threading.main_thread().ident
    here = threading.get_ident()
    images = []
    for ident in _frames.thread_ids():
        if ident in HIDDEN or (ident == here and not own):
            continue
        frames = own if ident == here else _frames.walk(ident)
        if frames:
            images.append(_image(ident, frames, is_main=ident == main, is_asker=ident == here))
    images.sort(key=lambda image: image.ident != main)
    _check_starts(images)
    return images


_START = threading.Thread.start


def _check_starts(images: list[ThreadImage]) -> None:
    """Raise NotNow if one thread has another started that has no frame yet: nobody would start it again. Or if one has
    no frame any more, and others could still wait for its end."""
    known = {id(image.thread) for image in images}
    for image in images:
        for record in image.continuation.records:
            if record.function.__code__ is not _START.__code__ or id(record.fast[0]) in known:
                continue
            if not record.fast[0]._started.is_set():
                raise NotNow("a thread is just starting")
    for thread in list(threading._dangling):  # type: ignore[attr-defined]
        # Threads of C code have no Thread object, or one that is a dummy.
        is_own = thread is not threading.main_thread() and not isinstance(thread, threading._DummyThread)
        if is_own and id(thread) not in known and thread.is_alive():
            raise NotNow("a thread is just starting or ending")


def _image(ident: int, frames: list[_frames.FrameRef], *, is_main: bool, is_asker: bool) -> ThreadImage:
    thread = threading._active.get(ident)  # type: ignore[attr-defined]
    base = _program_base(frames) if is_main else _thread_base(frames)
    frames, below = frames[:base], frames[base:]
    stopped = None if is_asker else functools.partial(_stopped, ident)
    try:
        handled, within = _frames.handled_exceptions(ident), _frames.within(ident)
        continuation = capture(frames, handled, stopped=stopped, within=within)
    except CannotCapture as error:
        if is_asker:
            raise
        reason = NotNow(f"{thread.name if thread else ident}: {error}")
        reason.ident = ident
        if isinstance(error, NativeCallInTheWay):
            reason.most_calls = error.calls_below + calls_from_c(below)
        raise reason from error
    except NotNow as reason:
        reason.ident = ident
        raise
    contexts = _frames.thread_facts(ident)[1]
    lock = None if thread is None or is_main else getattr(thread, "_tstate_lock", None)
    outer = contexts[-1] if contexts else None
    variables = []
    if outer is not None:
        from stillframe.capture.reducers.contexts import items_of

        variables = items_of(outer)
    return ThreadImage(ident, None if is_main else thread, is_asker, continuation, variables, id(outer), lock)


# ---- What the pickler is told ---------------------------------------------------------------------------


def prepare(pickler: Pickler, images: list[ThreadImage]) -> None:
    """Tell the pickler which threads will go on."""
    handle = vars(threading.main_thread()).get("_handle")
    if handle is not None:
        pickler.running_threads[id(handle)] = (rebuild_threads.main_handle, ())
    pickler.state.seen["contexts of threads"] = {image.context_id for image in images}
    for image in images:
        thread = image.thread
        if thread is None:
            continue
        kept = {key: value for key, value in vars(thread).items() if key not in _OF_THE_RUN}
        pickler.running_threads[id(thread)] = (
            rebuild.bare, (type(thread), threading.Thread), kept, None, None, set_running_thread
        )  # fmt: skip
        handle = vars(thread).get("_handle")
        if handle is not None:
            pickler.running_threads[id(handle)] = (getattr, (Standin(rebuild.itself, thread), "_handle"))
        pickler.state.keep.append(kept)
    if len(images) > 1:
        pickler.local_dicts = lambda local: dict(_local_dicts(local, [image.ident for image in images]))


_OF_THE_RUN = rebuild_threads.THREAD_MADE_ANEW | {
    "_started",
    "_ident",
    "_native_id",
    "_tstate_lock",
    "_handle",
}
"""What a Thread object has only while it runs."""


def set_running_thread(made: threading.Thread, attributes: dict[str, Any]) -> None:
    """A thread that will be started again."""
    threading.Thread.__init__(made)
    rebuild_threads.set_thread(made, attributes)


def _local_dicts(local: Any, idents: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """What each thread has in thread-local data: CPython keeps a key in the thread, and the values here."""
    tables = [held for held in gc.get_referents(local) if type(held) is dict]
    for ident in idents:
        keys = _frames.thread_facts(ident)[0]
        for table in tables:
            for found, values in table.items():
                # Up to 3.12 by a weak reference to the key.
                found = found() if type(found) is weakref.ref else found
                if type(values) is dict and any(found is key for key in keys):
                    yield ident, values

"""A whole program as a value: the frames of its threads, its modules, the state of its process.

    with_captured(use)     captures the program that calls it, and gives `use` a header and contents

`resuming` has it go on in another process.

Invariants:
  * Frames of stillframe's own above the caller are not part of the program: their call is what returns when
    the program is resumed.
  * A program with several threads is captured in a forked copy, in which all of them stand still.
"""

from __future__ import annotations

import _imp
import os
import sys
import threading
from collections.abc import Callable, Sequence

from stillframe.capture import capturing, endings, inside, process_state, threads
from stillframe.capture.capturing import Contents
from stillframe.capture.exclusions import excluded
from stillframe.capture.loading import gc_paused
from stillframe.capture.pickler import Options, Pickler, load_reducers
from stillframe.capture.resuming import Program
from stillframe.errors import CannotCapture
from stillframe.frames import _frames
from stillframe.frames.inner import diversions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias, TypeVar

    from stillframe.capture.snapshot import Header

    T = TypeVar("T")
MakeHeader: TypeAlias = "Callable[[str], Any]"
"""Takes where the program was; returns what has its `facts`, and is handed to those who capture."""

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def _is_ours(frame: _frames.FrameRef) -> bool:
    file = str(frame.code.co_filename)
    stand_ins = diversions()
    return file.startswith(_PACKAGE) and (stand_ins is None or file not in stand_ins.FILES)


def calling_frames() -> list[_frames.FrameRef]:
    """The frames of the calling thread, from the one of ours that the program called."""
    frames = _frames.walk()
    first = next((index for index, frame in enumerate(frames) if not _is_ours(frame)), None)
    if first is None or first == 0:
        raise CannotCapture("there is no program to capture: stillframe was not called from one.")
    return frames[first - 1 :]


def _where(images: list[threads.ThreadImage]) -> str:
    """Where the asker was, or else the main thread."""
    image = next((image for image in images if image.is_asker), images[0])
    record = image.continuation.records[-1]
    code = record.function.__code__
    return f"{code.co_filename}:{record.line} in {code.co_qualname}"


def with_captured(
    use: Callable[[Any, Contents], T],
    *,
    options: Options | None = None,
    then: Sequence[str] | None = None,
    make_header: MakeHeader | None = None,
) -> T:
    """Capture the calling program, call `use` with it, return what `use` returns.

    With `then`, the process becomes that command if `use` returns None, and until then none of its threads runs.

    With other threads than the calling one, both happens in a copy of the process, and what `use` returns must
    be picklable. Raises CannotCapture before anything was changed. Cost: some 30 µs, 10 µs a frame, and the
    pickling; with threads a fork too.

    The header is a snapshot's, unless `make_header` makes another.
    """
    options = options or Options(whole_program=True, excluded=excluded())
    make_header = make_header or _snapshots_header
    is_alone = all(ident in threads.HIDDEN or ident == threading.get_ident() for ident in _frames.thread_ids())
    with gc_paused():
        load_reducers(late=not is_alone)  # once, not in each copy
    frames = calling_frames()
    if is_alone:
        process_state.flush_standard_streams()  # what was printed before belongs to this program alone
        result = _captured(use, frames, options, make_header)
        if then is not None and result is None:
            os.execv(then[0], list(then))
        return result
    from stillframe.capture import copies

    forked = options._replace(forked=True)
    return copies.in_copy(lambda: _captured(use, calling_frames(), forked, make_header), then)


def with_captured_from_outside(
    use: Callable[[Header, Contents], T], amend: Callable[[process_state.State], None]
) -> T:
    """As with_captured(), by a thread that is not part of the program, in a copy in which all others stand still.

    `amend` is called when it is sure that all of them can be captured, and may add to the state of the process.
    Raises NotNow where one of them cannot be captured just then.
    """
    options = Options(whole_program=True, forked=True, excluded=excluded())
    return _captured(use, [], options, _snapshots_header, amend)


def _snapshots_header(where: str) -> Header:
    """That of a snapshot's file."""
    from stillframe.capture import snapshot

    return snapshot.new_header("program", where=where, packages=snapshot.packages_needed())


def _captured(
    use: Callable[[Any, Contents], T],
    frames: list[_frames.FrameRef],
    options: Options,
    make_header: MakeHeader,
    amend: Callable[[process_state.State], None] | None = None,
) -> T:
    process = process_state.capture_process_state()
    aio = _asyncio_support()
    images = threads.capture_all(frames)
    if aio is not None:
        aio.check_loops(images)
    process["atexit"] = endings.calls_at_exit(images[0].continuation.records[0].function)
    process["import lock"] = _imp.lock_held()
    process["finders"] = endings.own_finders()
    if amend is not None:
        amend(process)
    facts: dict[str, str] = {"path": os.pathsep.join(str(folder) for folder in sys.path)}

    states = []

    def prepare(pickler: Pickler) -> None:
        for image in images:
            inside.prepare(pickler, image.continuation.records)
        threads.prepare(pickler, images)
        if aio is not None:
            states.append(pickler.state)
            for image in images:
                aio.find_running_loops(pickler, image.continuation.records)

    roots = inside.locals_by_name(image.continuation for image in images)
    contents = capturing.capture(Program(images, process), options, prepare, roots=roots)
    header = make_header(_where(images))
    if any("asyncio" in state.seen for state in states):
        facts["asyncio"] = "in Python"
    header.facts.update(facts)
    return use(header, contents)


def _asyncio_support() -> Any:
    """What knows asyncio, if the program does."""
    if "asyncio" not in sys.modules:
        return None
    from stillframe.capture import aio

    aio.register()
    return aio

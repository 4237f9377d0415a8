"""A cell that is watched for what it raises: where nothing is seen to catch that, its kernel keeps the process.

    cell ── 1 / 0 ──► on_raise ── Raised ──► supervisor
                                 ◄─ Freeze ──         forks: the frozen copy rests where it was raised
                                 ◄─ Proceed ─         the cell goes on failing
    a fork of the copy:          ◄─ Resume ──         goes on with the statement that has failed, or with its caller's

Invariants:
  * What is raised is never changed, nor whether it is caught.
  * A fork that goes on never comes back to the failure: what lies below on its C stack is never returned to.
  * Nothing is watched while no cell runs, nor where nobody has asked for it.
"""

from __future__ import annotations

import functools
import sys
from types import FunctionType, TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from stillframe.engine import plain, symbols
from stillframe.engine.protocol import Resume
from stillframe.engine.shell import is_ipythons, is_own_code
from stillframe.errors import BadRequest, CannotCapture

if TYPE_CHECKING:
    from stillframe.engine.state_process import StateProcess
    from stillframe.frames._frames import FrameRef

_MOST_UNSURE = 20
"""How often a cell is kept where C code has called what raises, and may catch it unseen."""
_UNSAID = (StopIteration, StopAsyncIteration, GeneratorExit, RecursionError)
"""What iteration is made of; and what leaves no room for a call."""
_TOOLS = (4, 3, 2, 1, 0)
"""The tools of sys.monitoring, those first that are nobody's by convention."""


class Failing:
    """Watches the cells of one process."""

    def __init__(self, process: StateProcess) -> None:
        self._process = process
        self._tool: int | None = None
        self._is_watching = False
        self._kept: tuple[int, ...] | None = None
        """Which exception was said last: it ends the cell, or is gone by then."""
        self._unsure = 0

    def watch(self, is_on: bool) -> None:
        """From now on, or no more. A program with a tracer of its own (3.11), or that uses every tool, is not watched.
        Cost: nothing, until something is raised."""
        if not is_on and not self._is_watching:
            return
        if is_on:
            self._process.load(
                "stillframe.frames.mending", "stillframe.frames.handlers", "stillframe.frames.outermost"
            )
        self._kept, self._unsure = None, 0
        if sys.version_info >= (3, 12):
            self._is_watching = self._monitor(is_on)
        else:
            from stillframe.frames import _frames

            self._is_watching = _frames.watch_raises(self._on_raise if is_on else None)

    if sys.version_info >= (3, 12):

        def _monitor(self, is_on: bool) -> bool:
            monitoring = sys.monitoring
            raised = monitoring.events.RAISE
            if self._tool is None:
                self._tool = next((tool for tool in _TOOLS if monitoring.get_tool(tool) is None), None)
                if self._tool is None or not is_on:
                    return False
                monitoring.use_tool_id(self._tool, "stillframe")
                monitoring.register_callback(
                    self._tool, raised, lambda code, unit, error: self._on_raise(error, error.__traceback__)
                )
            monitoring.set_events(self._tool, raised if is_on else 0)
            if not is_on:
                monitoring.register_callback(self._tool, raised, None)
                monitoring.free_tool_id(self._tool)
                self._tool = None
            return is_on

    def was_raised(self, error: BaseException) -> bool:
        """Whether the frozen copy rests where this was raised."""
        trace = error.__traceback__
        return trace is not None and _mark(error, trace) == self._kept

    def _on_raise(self, error: BaseException, trace: TracebackType) -> None:
        """Something is raised in the frame of `trace`, or leaves a frame that this one has called."""
        if not self._process.calls.is_callable() or is_own_code(trace.tb_frame.f_code):
            return
        frames = self._frames(trace)
        if not frames or not _is_new(frames[0], trace):
            return
        if isinstance(error, _UNSAID) or self._is_caught(frames, error):
            return
        self._kept = _mark(error, trace)
        del error, trace
        answer = self._process.calls.say_raised()
        if answer is not None:
            self._go_on(answer, frames)

    def _frames(self, trace: TracebackType) -> list[FrameRef]:
        """Those of the cell, the innermost first; none where it could not be gone on with."""
        from stillframe.frames import _frames
        from stillframe.frames.outermost import frames_of_cell

        frames = _frames.walk()
        while frames and frames[0].code is not trace.tb_frame.f_code:
            del frames[0]
        try:
            return frames_of_cell(frames, self._process.shell.user_ns, plain.__file__, is_ipythons)
        except CannotCapture:
            return []

    def _is_caught(self, frames: list[FrameRef], error: BaseException) -> bool:
        """Whether a handler is seen that will catch it, or there may be one in C and that was so too often."""
        from stillframe.frames.code import code_map
        from stillframe.frames.handlers import catches

        programs = [ref for ref in frames if type(ref.function) is FunctionType]
        if any(catches(ref, code_map(ref.code), error) for ref in programs):
            return True
        self._unsure += any(ref.entered_from_c for ref in programs[:-1])
        return self._unsure > _MOST_UNSURE

    def _go_on(self, order: Resume, frames: list[FrameRef]) -> NoReturn:
        """In a fork of the frozen copy: the frame executes its statement again. What comes of it ends the cell."""
        from stillframe.frames import _frames

        process = self._process
        shell, before = process.shell, process.execution.before
        _frames.leave_watch()
        self.watch(order.is_watched)
        unchanged = symbols.unchanged(before, shell.user_ns)
        name = frames[-1].code.co_filename
        run = functools.partial(_run_again, order, frames)
        done = process.execution.go_on(name, shell.piece, unchanged, shell.executed, run)
        process.end_cell(done)
        process.obey()


def _mark(error: BaseException, trace: TracebackType) -> tuple[int, ...]:
    """Tells an exception from later ones, also from one that takes its place in memory."""
    while trace.tb_next is not None:
        trace = trace.tb_next
    return id(error), id(trace.tb_frame.f_code), trace.tb_lasti


def _is_new(ref: FrameRef, trace: TracebackType) -> bool:
    """Whether it is raised here, and does not only leave a frame that was called here."""
    from stillframe.frames.code import code_map

    return trace.tb_next is None or code_map(ref.code).instruction_at(ref.position).name == "RAISE_VARARGS"


def _run_again(order: Resume, frames: list[FrameRef]) -> Any:
    """What the module frame returns, or raises."""
    from stillframe.frames import _frames, mending
    from stillframe.frames.continuation import resume
    from stillframe.frames.landing import RAISED, RETURNED

    source = compile(order.mend, "<mend>", "exec")
    chosen = _chosen(order.frame, frames)
    continuation = mending.to_begin_again(frames[:chosen], frames[chosen:], _frames.handled_exceptions())
    mending.mend(continuation.records[-1], source)
    mending.put_down(frames[:chosen], frames[chosen:], continuation)
    frames.clear()
    kind, came = resume(continuation, (RETURNED, None))
    if kind == RAISED:
        raise came
    return came


def _chosen(index: int | None, frames: list[FrameRef]) -> int:
    """The place among `frames` of the frame with this index, of those that GET .../frames lists."""
    listed = [
        place
        for place, ref in enumerate(frames)
        if type(ref.function) is FunctionType and not is_own_code(ref.code)
    ][::-1]
    index = -1 if index is None else index
    if not -len(listed) <= index < len(listed):
        raise BadRequest(f"there is no frame {index}: there are {len(listed)}.")
    return listed[index]

"""The rest of a thread's computation goes on: the half of `continuation` that a process needs into which it comes.

resume() makes the frames again and runs the innermost first; what it returns lands in its caller, which runs
next, and so on: no frame runs below another on the C stack, so any depth will do.

Invariants:
  * While a frame waits here, `waiting` holds its record, so that it can be captured again.
  * What knows code and native functions is imported only for a continuation that needs it, and before its first
    frame runs: what is on the way of every teleport is small.
"""

from __future__ import annotations

import importlib
import types

from stillframe.frames import _frames
from stillframe.frames.landing import RAISED, YIELDED, Outcome, land, raised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from stillframe.frames._frames import FrameRef
    from stillframe.frames.inner import Step

if _frames.POINTS_AT_NEXT:
    from stillframe.frames.code import code_map


class FrameRecord:
    """One frame at rest. `generator` embeds it, or is None; `locals` is the namespace of a module or class
    body, or None; `handled` is the exception that the generator handles; `frame_object` is what
    `sys._getframe()` gave out for it, or None."""

    __slots__ = (
        "at",
        "call",
        "fast",
        "frame_object",
        "function",
        "generator",
        "handled",
        "how",
        "line",
        "locals",
        "next",
        "stack",
        "steps",
    )

    def __init__(
        self,
        function: Any,
        locals: Any,
        fast: list[Any],
        stack: list[Any],
        next: int,
        at: int,
        how: tuple[Any, ...],
        steps: list[Step],
        line: int,
        generator: Any = None,
        handled: BaseException | None = None,
        frame_object: types.FrameType | None = None,
    ) -> None:
        self.function = function
        self.locals = locals
        self.fast = fast
        self.stack = stack
        self.next = next
        self.at = at
        self.how = how
        self.steps = steps
        self.line = line
        self.generator = generator
        self.handled = handled
        self.frame_object = frame_object
        self.call: tuple[Any, list[Any], dict[str, Any]] | None = None
        """While a step of it makes another call: that call."""

    def __repr__(self) -> str:
        return f"<frame record: {self.function.__qualname__}, line {self.line}, {self.how[0]}>"


class Continuation:
    """Frame records, the outermost first, and the exception that the thread handles outside of generators."""

    __slots__ = ("handled", "records")

    def __init__(self, records: list[FrameRecord], handled: BaseException | None) -> None:
        self.records = records
        self.handled = handled


waiting: dict[int, FrameRecord] = {}
"""By the address of a frame that was made here and has not run yet."""


def resume(continuation: Continuation, outcome: Outcome, previous: FrameRef | None = None) -> Outcome:
    """Go on: the innermost frame's call comes to `outcome`. Returns what the outermost frame comes to.

    Generators among the records must be suspended, as running() has them filled. `previous` is the frame that
    is to be seen as the caller of the outermost.
    """
    made: list[tuple[FrameRecord, FrameRef]] = []
    native: Any = None
    if any(record.steps for record in continuation.records):
        native = importlib.import_module("stillframe.frames.steps")
    before = _frames.handle_exception(continuation.handled)
    continuation.handled = None  # or the exception would outlive its handler
    for record in continuation.records:
        if record.generator is not None:
            ref = _frames.enter_generator(previous, record.generator)
        else:
            ref = _frames.push(
                previous,
                record.function,
                record.locals,
                record.fast,
                list(record.stack),
                record.next,
                record.at,
            )
        if record.frame_object is not None:
            _frames.adopt(ref, record.frame_object)
            record.frame_object = None  # or the frame would outlive its run
        waiting[ref.address] = record
        made.append((record, ref))
        previous = ref
        for step in record.steps:
            native.enter(step)
    record = previous = ref = step = None  # type: ignore[assignment]  # nothing may live longer for having been here
    _frames.count_calls(len(made))
    while made:
        record, ref = made.pop()
        answer = _land(record, ref, outcome, native)
        del record, outcome
        # Called from here and from nowhere deeper: the frame's place is that of the data stack's top.
        outcome = _frames.run(ref) if answer is None else answer
        _frames.count_calls(-1)
    _frames.handle_exception(before)
    return outcome


def _land(record: FrameRecord, ref: FrameRef, outcome: Outcome, native: Any) -> Outcome | None:
    """Have the outcome land in the frame, which is ready to run then. If it need not run, return its outcome.

    `native` is the module `steps`, if there are any.
    """
    stack = list(record.stack)
    steps = list(record.steps)
    while steps:
        step = steps.pop()
        if step[0] == "advance":
            fn, *args = step[1]
            stack[-1] = fn(*args)
            record.stack = stack
            continue
        came = native.leave(step, outcome)
        while isinstance(came, native.Again):
            steps += came.steps
            came = _call(record, ref, came.fn, came.args, came.kwargs, steps)
        outcome = came
    if record.how[0] in _ASK_FOR_TRUTH and outcome[0] != RAISED and type(outcome[1]) is not bool:
        outcome = _call(record, ref, bool, [outcome[1]], {}, [])
    del waiting[ref.address]
    if record.how[0] == "delegate" and outcome[0] == YIELDED:
        # What the delegate yields, its delegator yields, without running.
        _frames.suspend(ref)
        return outcome
    error, elsewhere = land(record.how, stack, outcome)
    if error is not None and outcome[0] != RAISED:
        error = raised(error)[1]
    next = record.next if elsewhere is None else elsewhere
    at = next
    if error is not None:
        at = code_map(ref.code).raising_unit(record.at) if _frames.POINTS_AT_NEXT else record.at
    ref.set(stack, next, at)
    ref.raises(error)
    # Nothing of the frame may live longer for having been captured.
    record.stack, record.fast, record.steps = [], [], []
    record.locals = record.generator = record.handled = None
    return None


_ASK_FOR_TRUTH = ("bool", "branch", "branch_or_pop")


def _call(
    record: FrameRecord, ref: FrameRef, fn: Any, args: list[Any], kwargs: dict[str, Any], steps: list[Step]
) -> Outcome:
    """Make a call in the frame's name, so that it can be captured meanwhile; `steps` are left behind it."""
    record.steps = list(steps)
    record.call = fn, args, kwargs
    outcome: Outcome = _frames.call(ref, fn, tuple(args), kwargs)
    record.call = None
    return outcome

"""The rest of a thread's computation, as a value: captured from its live frames, and resumed.

capture() reads the frames of a thread from the innermost to a base, and works out for each what becomes of
the result that it waits for. resume() makes the same frames again and runs the innermost first; what it
returns lands in its caller, which runs next, and so on: no frame runs below another on the C stack, so any
depth will do.

Invariants:
  * Capturing changes nothing. What cannot be captured is refused before anything of it is used.
  * Where the interpreter knows a stack's depth itself, it is compared with ours, and the capture is
    refused where they differ: a wrong depth would be a corrupt process, not an exception.
  * A frame that waits in a resumed program has no callee on its stack any more. `_waiting` holds how its
    result will land, so that it can be captured again.
"""

from __future__ import annotations

import itertools
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, NoReturn

from stillframe.errors import CannotCapture, NativeCallInTheWay
from stillframe.frames import _frames
from stillframe.frames._frames import NULL, FrameRef
from stillframe.frames.code import CodeMap, code_map
from stillframe.frames.diversions import would_help
from stillframe.frames.inner import Inner, Step, Steps, name_of
from stillframe.frames.instructions import breaker_landing, first_unit_of, landing_of
from stillframe.frames.interruptions import SIGNAL, interruption, is_under_way
from stillframe.frames.landing import RAISED, RETURNED, YIELDED, Outcome, land
from stillframe.frames.natives import leads_to
from stillframe.frames.sites import Site, called, native_at, steps_at, unknown_at
from stillframe.frames.steps import Again, enter, leave, raised

_ADVICE = "Capture outside of that call, or write the call as a loop in Python."
_STAND_INS = (
    "Run the program with `still run --stand-ins`, or call stillframe.use_stand_ins() before: then Python does what "
    "this function does. Or capture outside of that call."
)


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


_waiting: dict[int, FrameRecord] = {}
"""By the address of a frame that was made here and has not run yet."""


# ---- Capture ------------------------------------------------------------------------------------------


def refuse(site_code: CodeMap, unit: int, native: str, inner: Any) -> NoReturn:
    """Raise the error that says which native function is in the way, and where."""
    code = site_code.code
    line = site_code.line_of(unit)
    raise NativeCallInTheWay(
        f"cannot capture: {code.co_filename}, line {line}, in {code.co_qualname}: {native} is running in C and "
        f"has called back into {inner}.",
        _STAND_INS if would_help(native) else _ADVICE,
        filename=code.co_filename,
        line=line,
        caller=code.co_qualname,
        native=native,
    )


def _is_shim(ref: FrameRef) -> bool:
    return type(ref.function) is not types.FunctionType


def capture(
    frames: list[FrameRef],
    handled: Iterable[BaseException | None],
    *,
    stopped: Callable[[FrameRef, CodeMap], FrameRecord] | None = None,
    within: str | None = None,
) -> Continuation:
    """The continuation of `frames`, the innermost first.

    The first of `frames` is the callee whose result will be handed in at resume, and is not part of the
    continuation; or else `stopped` makes the record of it, and it is. `within` says what native code the thread is
    in for certain that nothing can be captured in, as _frames.within() tells: where exactly is looked for here.
    Raises NativeCallInTheWay, CannotCapture. Cost: some 5 µs a frame whose code was seen before.
    """
    if within is not None:
        _refuse_within(frames, within)
    records = []
    inner = frames[0]
    if stopped is not None:
        records.append(_with_generator(stopped(inner, code_map(inner.code)), inner))
    made: Any = NULL
    for ref in itertools.islice(frames, 1, None):
        if _is_shim(ref):
            made = ref.stack(0, 1)[0]  # 3.13 keeps what `C()` makes in a frame of its own
            continue
        record = _waiting.get(ref.address)
        record = _record(ref, inner, made) if record is None else _again(record, ref, inner)
        made = NULL
        records.append(_with_generator(record, ref))
        inner = ref
    records.reverse()
    return Continuation(records, list(handled)[-1])


def _refuse_within(frames: list[FrameRef], native: str) -> NoReturn:
    """Refuse what is called by a trace function or in a collection, without a look at any operand."""
    pairs = list(itertools.pairwise(frames))
    for inner_ref, ref in pairs:
        if inner_ref.entered_from_c and not _is_shim(ref):
            why = interruption(Inner(inner_ref), code_map(ref.code), ref.position)
            if why is not None and why != SIGNAL:
                refuse(code_map(ref.code), ref.position, why, Inner(inner_ref))
    inner_ref, ref = pairs[0]
    refuse(code_map(ref.code), ref.position, native, Inner(inner_ref))


def _again(record: FrameRecord, ref: FrameRef, inner_ref: FrameRef) -> FrameRecord:
    """A copy of the record of a frame that waits for the second time."""
    steps = list(record.steps)
    if record.call is not None:
        inner = Inner(inner_ref)
        fn, args, kwargs = record.call
        further = leads_to(fn, args, kwargs, inner)
        if further is None:
            refuse(code_map(ref.code), record.at, name_of(fn), inner)
        steps += further
    return FrameRecord(
        ref.function, ref.locals, ref.fast, list(record.stack), record.next, record.at, record.how, steps,
        record.line,
    )  # fmt: skip


def _with_generator(record: FrameRecord, ref: FrameRef) -> FrameRecord:
    record.generator = ref.generator
    record.frame_object = ref.frame_object
    if ref.generator is not None:
        record.handled = _frames.generator_facts(ref.generator)[3]
    return record


def new_record(
    ref: FrameRef, code: CodeMap, keep: int, next: int, at: int, how: Any, steps: list[Step]
) -> FrameRecord:
    """A record of a live frame, of whose stack `keep` slots stay."""
    stack = ref.stack(0, keep)
    return FrameRecord(ref.function, ref.locals, ref.fast, stack, next, at, how, steps, code.line_of(at))


def _record(ref: FrameRef, inner_ref: FrameRef, made: Any) -> FrameRecord:
    code = code_map(ref.code)
    unit = ref.position
    delegate = _delegating(ref, code, unit)
    if delegate is not None:
        return delegate
    inner = Inner(inner_ref)
    found = landing_of(code, unit)
    from_c = inner_ref.entered_from_c
    why = interruption(inner, code, unit) if from_c else None
    if why == SIGNAL:
        landing = breaker_landing(code, unit)
        if found is not None and is_under_way(ref, code, unit):
            native = name_of(called(Site(ref, code, *found, inner)))
            refuse(code, unit, f"{native}, interrupted by a signal,", inner)
        if landing is None:
            refuse(code, unit, f"{code.instruction_at(unit).name}, interrupted by a signal,", inner)
        return new_record(ref, code, landing.keep, landing.next, unit, landing.how, [])
    if found is None or why is not None:
        refuse(code, unit, why or unknown_at(ref, code, unit), inner)
    at, landing = found
    steps: Steps = []
    if made is not NULL:
        steps = [("init", made)]
    elif from_c:
        site = Site(ref, code, at, landing, inner)
        steps = steps_at(site)
        if steps is None:
            refuse(code, unit, native_at(site), inner)
    elif at.name == "FOR_ITER":
        steps = [("next",)]
    if not from_c:
        _cross_check(ref, code, at.name, landing.keep)
    assert steps is not None
    return new_record(ref, code, landing.keep, landing.next, at.at, landing.how, steps)


def _cross_check(ref: FrameRef, code: CodeMap, name: str, keep: int) -> None:
    if ref.depth >= 0 and ref.depth != keep:
        raise CannotCapture(
            f"cannot capture {code.code.co_qualname} ({code.code.co_filename}): at {name} its evaluation stack is "
            f"{ref.depth} deep, where {keep} was worked out.",
            "Please report this, with the version of Python.",
        )


def _delegating(ref: FrameRef, code: CodeMap, unit: int) -> FrameRecord | None:
    """The record of a generator that was thrown into while it waits in a `yield from`: the exception went
    on to what it waits for, and what comes back is yielded."""
    if ref.generator is None:
        return None
    at = code.instruction_at(unit)
    resume = at if at.name == "RESUME" else code.instruction_at(at.next) if at.name == "YIELD_VALUE" else None
    if resume is None or resume.name != "RESUME" or resume.argument & 3 < 2:
        return None
    send = max(unit for unit, found in code.instructions.items() if unit < resume.at and found.name == "SEND")
    how = ("delegate", code.instructions[send].target)
    return new_record(ref, code, code.depths[send] - 1, resume.at, resume.at, how, [])


def stopped_at_breaker(ref: FrameRef, code: CodeMap) -> FrameRecord:
    """The record of a frame that waits for the interpreter's lock between two instructions."""
    landing = breaker_landing(code, ref.position)
    if landing is None:
        name = code.instruction_at(ref.position).name
        raise CannotCapture(
            f"{code.code.co_qualname} cannot be captured just now: it is in the middle of {name}."
        )
    return new_record(ref, code, landing.keep, landing.next, ref.position, landing.how, [])


def to_call_again(ref: FrameRef, code: CodeMap, stack: list[Any]) -> FrameRecord:
    """The record of a frame that makes its call once more, with `stack` as it is before it."""
    first = first_unit_of(code, ref.position)
    line = code.line_of(ref.position)
    return FrameRecord(ref.function, ref.locals, ref.fast, stack, first, first, ("drop",), [], line)


# ---- Generators ---------------------------------------------------------------------------------------


class GeneratorImage(NamedTuple):
    """What a generator that has not ended is filled with. `state` is the interpreter's own number."""

    function: Any
    fast: list[Any]
    stack: list[Any]
    next: int
    at: int
    state: int
    handled: BaseException | None
    flags: tuple[int, int, int]
    """Whether its hooks were called, it is closed, and one of its steps runs: of an asynchronous generator."""
    finalizer: Any


def suspended(generator: Any) -> GeneratorImage | None:
    """The image of a suspended generator; None if it has ended.

    Raises CannotCapture for one that runs: its frame is part of a continuation.
    """
    state, _, _, handled, flags, finalizer, _, ref = _frames.generator_facts(generator)
    if ref is None:
        return None
    if state == _frames.EXECUTING:
        raise CannotCapture(
            f"{generator.__qualname__} is running.", "Capture it together with the frames that run it."
        )
    next = ref.position + (0 if _frames.POINTS_AT_NEXT else 1)
    finalizer = finalizer if type(generator) is types.AsyncGeneratorType else None
    return GeneratorImage(
        ref.function, ref.fast, ref.stack(0, ref.depth), next, next, state, handled, flags, finalizer
    )


def running(record: FrameRecord) -> GeneratorImage:
    """As suspended(), for a generator that runs in a frame of a continuation."""
    _, _, _, _, flags, finalizer, _, _ = _frames.generator_facts(record.generator)
    at = record.at if _frames.POINTS_AT_NEXT else record.next
    finalizer = finalizer if type(record.generator) is types.AsyncGeneratorType else None
    return GeneratorImage(
        record.function, record.fast, list(record.stack), record.next, at, _frames.SUSPENDED, record.handled, flags,
        finalizer,
    )  # fmt: skip


# ---- Resume -------------------------------------------------------------------------------------------


def resume(continuation: Continuation, outcome: Outcome, previous: FrameRef | None = None) -> Outcome:
    """Go on: the innermost frame's call comes to `outcome`. Returns what the outermost frame comes to.

    Generators among the records must be suspended, as running() has them filled. `previous` is the frame that
    is to be seen as the caller of the outermost.
    """
    made: list[tuple[FrameRecord, FrameRef]] = []
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
        _waiting[ref.address] = record
        made.append((record, ref))
        previous = ref
        for step in record.steps:
            enter(step)
    record = previous = ref = step = None  # type: ignore[assignment]  # nothing may live longer for having been here
    _frames.count_calls(len(made))
    while made:
        record, ref = made.pop()
        answer = _land(record, ref, outcome)
        del record, outcome
        # Called from here and from nowhere deeper: the frame's place is that of the data stack's top.
        outcome = _frames.run(ref) if answer is None else answer
        _frames.count_calls(-1)
    _frames.handle_exception(before)
    return outcome


def _land(record: FrameRecord, ref: FrameRef, outcome: Outcome) -> Outcome | None:
    """Have the outcome land in the frame, which is ready to run then. If it need not run, return its outcome."""
    stack = list(record.stack)
    steps = list(record.steps)
    while steps:
        step = steps.pop()
        if step[0] == "advance":
            fn, *args = step[1]
            stack[-1] = fn(*args)
            record.stack = stack
            continue
        came = leave(step, outcome)
        while isinstance(came, Again):
            steps += came.steps
            came = _call(record, ref, came.fn, came.args, came.kwargs, steps)
        outcome = came
    if record.how[0] in _ASK_FOR_TRUTH and outcome[0] != RAISED and type(outcome[1]) is not bool:
        outcome = _call(record, ref, bool, [outcome[1]], {}, [])
    del _waiting[ref.address]
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


def self_test() -> None:
    """Capture a small chain of frames and resume it. Raises ImportError where that does not give what it
    should: this CPython is not one that is known."""

    def leaf() -> Any:
        return capture(_frames.walk()[:2], _frames.handled_exceptions())

    def caller(first: int) -> Any:
        found = [first, leaf(), -first]
        return found

    found = caller(7)
    if not isinstance(found[1], Continuation):
        raise ImportError("frames cannot be captured on this CPython")
    status, value = resume(found[1], (RETURNED, "landed"))
    if (status, value) != (RETURNED, [7, "landed", -7]):
        raise ImportError(f"frames are not resumed rightly on CPython {sys.version.split()[0]}")


self_test()

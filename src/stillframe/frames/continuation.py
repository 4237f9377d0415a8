"""The rest of a thread's computation, as a value: captured from its live frames, and resumed.

capture() reads the frames of a thread from the innermost to a base, and works out for each what becomes of
the result that it waits for. resume(), in `resumption`, makes the same frames again.

Invariants:
  * Capturing changes nothing. What cannot be captured is refused before anything of it is used.
  * Where the interpreter knows a stack's depth itself, it is compared with ours, and the capture is
    refused where they differ: a wrong depth would be a corrupt process, not an exception.
  * A frame that waits in a resumed program has no callee on its stack any more. `waiting` holds how its
    result will land, so that it can be captured again.
"""

from __future__ import annotations

import itertools
import sys
import types
from collections.abc import Callable, Iterable

from stillframe.errors import CannotCapture, NativeCallInTheWay
from stillframe.frames import _frames
from stillframe.frames._frames import NULL, FrameRef
from stillframe.frames.code import CodeMap, code_map
from stillframe.frames.inner import Inner, Step, Steps, name_of
from stillframe.frames.instructions import breaker_landing, first_unit_of, landing_of
from stillframe.frames.interruptions import SIGNAL, interruption, is_under_way
from stillframe.frames.landing import RETURNED
from stillframe.frames.natives import leads_to
from stillframe.frames.resumption import Continuation as Continuation
from stillframe.frames.resumption import FrameRecord as FrameRecord
from stillframe.frames.resumption import resume as resume
from stillframe.frames.resumption import waiting
from stillframe.frames.sites import Site, called, native_at, steps_at, unknown_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple, NoReturn
else:
    from stillframe.light import NamedTuple

_ADVICE = "Capture outside of that call, or write the call as a loop in Python."
_STAND_INS = (
    "Run the program with `still run --stand-ins`, or call stillframe.use_stand_ins() before: then Python does what "
    "this function does. Or capture outside of that call."
)


# ---- Capture ------------------------------------------------------------------------------------------


def refuse(site_code: CodeMap, unit: int, native: str, inner: Any) -> NoReturn:
    """Raise the error that says which native function is in the way, and where."""
    from stillframe.frames.diversions import would_help  # mostly nothing is refused

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
    for index, ref in enumerate(itertools.islice(frames, 1, None), 1):
        if _is_shim(ref):
            made = ref.stack(0, 1)[0]  # 3.13 keeps what `C()` makes in a frame of its own
            continue
        record = waiting.get(ref.address)
        try:
            record = _record(ref, inner, made) if record is None else _again(record, ref, inner)
        except NativeCallInTheWay as error:
            error.calls_below = calls_from_c(frames[index:])
            raise
        made = NULL
        records.append(_with_generator(record, ref))
        inner = ref
    records.reverse()
    return Continuation(records, list(handled)[-1])


def calls_from_c(frames: list[FrameRef]) -> int:
    """How many of the frames C code has called. The outermost of a thread is one of them."""
    return sum(ref.entered_from_c for ref in frames)


def _refuse_within(frames: list[FrameRef], native: str) -> NoReturn:
    """Refuse what is called by a trace function or in a collection, without a look at any operand."""
    place = 1
    for index, (inner_ref, ref) in enumerate(itertools.pairwise(frames), 1):
        if inner_ref.entered_from_c and not _is_shim(ref):
            why = interruption(Inner(inner_ref), code_map(ref.code), ref.position)
            if why is not None and why != SIGNAL:
                place, native = index, why
                break
    try:
        refuse(code_map(frames[place].code), frames[place].position, native, Inner(frames[place - 1]))
    except NativeCallInTheWay as error:
        error.calls_below = calls_from_c(frames[place:])
        raise


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

"""Frames at rest, and what has one inside: generators, coroutines, asynchronous generators and their steps.

`Pickler.running` says, by the id of a generator that runs, what it is filled with: the frames of a
continuation are captured together with the generators that embed them.
"""

from __future__ import annotations

import gc
import types

from stillframe.capture import rebuild_frames as rebuild
from stillframe.capture.pickler import CannotReduce, Pickler, reducer
from stillframe.frames import _frames
from stillframe.frames.continuation import Continuation, FrameRecord, GeneratorImage, suspended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@reducer(FrameRecord)
def _reduce_frame_record(_pickler: Pickler, record: FrameRecord) -> tuple[Any, ...]:
    code = record.function.__code__
    # The frame of a generator lies in the generator.
    fast = record.fast if record.generator is None else []
    return rebuild.frame_record, (
        rebuild.fingerprint(code), record.function, record.locals, fast, record.stack, record.next, record.at,
        record.how, record.steps, record.line, record.generator, None, record.frame_object,
    )  # fmt: skip


@reducer(Continuation)
def _reduce_continuation(_pickler: Pickler, continuation: Continuation) -> tuple[Any, ...]:
    return rebuild.continuation, (continuation.records, continuation.handled)


@reducer(types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)
def _reduce_generator(pickler: Pickler, generator: Any) -> tuple[Any, ...]:
    cls, name, qualname = type(generator), generator.__name__, generator.__qualname__
    state, *_, code, ref = _frames.generator_facts(generator)
    if ref is None:
        return rebuild.ended_generator, (cls, code, name, qualname)
    image: GeneratorImage | None = pickler.running.get(id(generator))
    if image is None:
        if state == _frames.EXECUTING:
            raise CannotReduce(
                generator,
                "it is running, in frames that are not captured with it",
                "Capture it while it is suspended.",
            )
        image = suspended(generator)
    assert image is not None
    slots = _frames.generator_slots(code)
    frame_object = ref.frame_object if id(generator) not in pickler.running else None
    filling = (rebuild.fingerprint(code), frame_object, *image)
    made = (cls, slots, name, qualname)
    reduced = rebuild.new_generator, made, filling, None, None, rebuild.fill_generator
    if pickler.options.is_flat:
        # Each may wait in a `yield from` for the next.
        pickler.state.deferred.append((generator, reduced))
        return reduced[:2]
    return reduced


async def _example() -> Any:
    yield


def _step_types() -> tuple[type, type, type]:
    """The types of what `asend()`, `athrow()` and `__await__()` give: they have no other names."""
    generator: Any = _example()
    coroutine = anext(generator, None)
    steps = generator.asend(None), generator.athrow(GeneratorExit), _nothing()
    wrapper = steps[2].__await__()
    for step in (*steps, coroutine, wrapper):
        if hasattr(step, "close"):
            step.close()
    return type(steps[0]), type(steps[1]), type(wrapper)


async def _nothing() -> None:
    pass


_ASEND, _ATHROW, _WRAPPER = _step_types()


@reducer(_ASEND)
def _reduce_asend(_pickler: Pickler, step: Any) -> tuple[Any, ...]:
    generator, value, state = _frames.async_step_facts(step)
    return rebuild.async_step, (generator.asend, value, state)


@reducer(_ATHROW)
def _reduce_athrow(_pickler: Pickler, step: Any) -> tuple[Any, ...]:
    generator, arguments, state = _frames.async_step_facts(step)
    make = generator.aclose if arguments is None else generator.athrow
    return rebuild.async_step, (make, arguments or (), state)


@reducer(_WRAPPER)
def _reduce_coroutine_wrapper(_pickler: Pickler, wrapper: Any) -> tuple[Any, ...]:
    return rebuild.awaited, (gc.get_referents(wrapper)[0],)

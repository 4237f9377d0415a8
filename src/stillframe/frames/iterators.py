"""Iterators written in C: which of them a capture can see through, as `natives` says for calls.

Invariant: behind the steps between `next(iterator)` and the frame, an item is returned, or StopIteration raised.
"""

from __future__ import annotations

import gc
import itertools
import types

from stillframe.frames._frames import NULL
from stillframe.frames.inner import Inner, Steps, in_types
from stillframe.frames.natives import (
    BUILTINS,
    GENERATORS,
    NATIVES,
    generator_leads_to,
    is_method_of,
    leads_to,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def iterator_leads_to(iterator: Any, inner: Inner) -> Steps:
    """The steps between `next(iterator)` and the frame. Behind them an item is returned, or StopIteration."""
    kind = type(iterator)
    if kind in GENERATORS:
        return generator_leads_to(iterator, inner)
    walk = _ITERATORS.get(kind)
    if walk is not None:
        steps: Steps = walk(iterator, inner)
        return steps
    for method in in_types(kind, "__next__"):
        return (
            leads_to(method, [iterator], {}, inner)
            if type(method) is not types.WrapperDescriptorType
            else None
        )
    return None


def _parts(iterator: Any) -> tuple[Any, ...]:
    """What an iterator of `builtins` or `itertools` is made of."""
    made: tuple[Any, ...] = iterator.__reduce__()[1]
    return made


def _map_leads_to(iterator: Any, inner: Inner) -> Steps:
    function, *sources = _parts(iterator)
    steps = leads_to(function, [], {}, inner)
    ways = [iterator_leads_to(source, inner) for source in sources]
    if steps is not None:
        # The same function may be at work further in; which of the two runs, nothing tells.
        return steps if not any(way is not None for way in ways) else None
    if len(ways) != 1 or ways[0] is None:
        return None
    return [("call_with", function), *ways[0]]


def _filter_leads_to(iterator: Any, inner: Inner) -> Steps:
    predicate, source = _parts(iterator)
    steps = leads_to(predicate, [], {}, inner) if predicate is not None and predicate is not bool else None
    further = iterator_leads_to(source, inner)
    if steps is not None:
        item = inner.argument(0)
        return None if item is NULL or further is not None else [("filter", iterator, item), *steps]
    return None if further is None else [("filter_item", iterator, predicate), *further]


def _sentinel_leads_to(iterator: Any, inner: Inner) -> Steps:
    made = _parts(iterator)
    if len(made) != 2:
        return None
    steps = leads_to(made[0], [], {}, inner)
    return None if steps is None else [("until", made[1]), *steps]


def _chain_leads_to(iterator: Any, inner: Inner) -> Steps:
    state = iterator.__reduce__()
    active = state[2][1] if len(state) > 2 and len(state[2]) > 1 else None
    if active is None:
        return None
    steps = iterator_leads_to(active, inner)
    return None if steps is None else [("again_at_end", iterator), *steps]


def _starmap_leads_to(iterator: Any, inner: Inner) -> Steps:
    function, source = _parts(iterator)
    steps = leads_to(function, [], {}, inner)
    further = iterator_leads_to(source, inner)
    if steps is not None:
        return steps if further is None else None
    return None if further is None else [("star_call_with", function), *further]


def _sequence_leads_to(iterator: Any, inner: Inner) -> Steps:
    """`iter()` and `reversed()` of what has only `__getitem__`: their index goes on behind the call."""
    made = iterator.__reduce__()
    if len(made) < 3 or not is_method_of(made[1][0], ["__getitem__"], inner):
        return None
    return [("item_at", iterator, made[2] + (1 if type(iterator) is _SEQUENCE_ITERATOR else -1))]


def _async_step_leads_to(step: Any, inner: Inner) -> Steps:
    """`asend()`, `athrow()` of an asynchronous generator, and `__await__()` of a coroutine, driven by hand."""
    if inner.generator is None or not any(part is inner.generator for part in gc.get_referents(step)):
        return None
    is_wrapper = type(step).__name__ == "coroutine_wrapper"
    return [("next",)] if is_wrapper else [("next",), ("async_step", step)]


class _Sequence:
    def __getitem__(self, index: int) -> None:
        raise IndexError


def _async_step_types() -> list[type]:
    async def example() -> Any:
        yield

    async def nothing() -> None:
        pass

    generator, coroutine = example(), nothing()
    steps = [generator.asend(None), generator.athrow(GeneratorExit), coroutine.__await__()]
    for step in (*steps, coroutine):
        step.close()
    return [type(step) for step in steps]


_SEQUENCE_ITERATOR: Any = type(iter(_Sequence()))
ASYNC_STEP_TYPES = _async_step_types()
_ITERATORS: dict[type, Any] = {
    **dict.fromkeys(ASYNC_STEP_TYPES, _async_step_leads_to),
    _SEQUENCE_ITERATOR: _sequence_leads_to,
    reversed: _sequence_leads_to,
    map: _map_leads_to,
    filter: _filter_leads_to,
    type(iter(int, 1)): _sentinel_leads_to,
    itertools.chain: _chain_leads_to,
    itertools.starmap: _starmap_leads_to,
}


def advancing(iterator: Any, inner: Inner) -> tuple[Steps, tuple[Any, ...]] | None:
    """For iterators that count in C (`enumerate`): the steps to the frame, and how to make the iterator
    that is one further. Only for one that nobody but the loop has."""
    kind = type(iterator)
    if kind is enumerate:
        source, index = _parts(iterator)
        steps = iterator_leads_to(source, inner)
        return None if steps is None else ([("pair", index), *steps], (enumerate, source, index + 1))
    if kind is zip:
        sources = _parts(iterator)
        if len(sources) == 0 or len(iterator.__reduce__()) > 2:
            return None
        steps = iterator_leads_to(sources[0], inner)
        return None if steps is None else ([("zip_rest", sources[1:]), *steps], ())
    if kind is itertools.islice:
        made = iterator.__reduce__()
        if len(made[1]) != 4:
            return None
        source, start, stop, step = made[1]
        done = made[2] if len(made) > 2 else 0
        steps = iterator_leads_to(source, inner)
        if steps is None or done != start:  # items before the first wanted one are still being dropped
            return None
        rest = None if stop is None else max(stop - done - 1, 0)
        return steps, (itertools.islice, source, step - 1, rest, step)
    return None


def _next_leads_to(args: list[Any], kwargs: dict[str, Any], inner: Inner) -> Steps:
    steps = iterator_leads_to(args[0], inner) if args else None
    if steps is None:
        return None
    return [("default", StopIteration, args[1]), *steps] if len(args) == 2 else steps


BUILTINS[id(next)] = _next_leads_to
for _kind in ASYNC_STEP_TYPES:
    NATIVES[_kind] = lambda step, args, kwargs, inner: _async_step_leads_to(step, inner)

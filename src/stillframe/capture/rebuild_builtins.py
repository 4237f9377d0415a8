"""What pickles call to make views, iterators, memory views, matches and annotations again.

Invariants:
  * An iterator goes on over the very container that it was iterating over, at the place where it was.
  * None of these functions runs code of the user's, but for what a container's own methods may be.
"""

from __future__ import annotations

import itertools
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def scanner(pattern: Any, text: Any, start: int, end: int, given: int) -> Any:
    """A search in progress, which has given so many matches; -1: all of them."""
    made = pattern.scanner(text, start, end)
    while given and (made.search() is not None or given > 0):
        given -= 1
    return made


def bound_search(scanner: Any, name: str) -> Any:
    """A method of a search in progress."""
    return getattr(scanner, name)


def view(cls: type, name: str, mapping: Any) -> Any:
    """The keys, values or items of a dict."""
    return getattr(cls, name)(mapping)


def class_dict(cls: type) -> Any:
    """The read-only namespace of a class."""
    return cls.__dict__


def dict_iterator(
    name: str, is_reversed: bool, mapping: dict[Any, Any], consumed: int, is_valid: bool
) -> Any:
    """An iterator over a dict, some steps on. One whose dict had changed under it says so at its next step."""
    over = getattr(dict, name)(mapping)
    turn = reversed if is_reversed else iter
    if not is_valid:
        key = object()
        mapping[key] = None
        made = turn(over)
        del mapping[key]
        return made
    made = turn(over)
    for _ in range(consumed):
        next(made)
    return made


def ordered_iterator(name: str, is_reversed: bool, mapping: OrderedDict[Any, Any], consumed: int) -> Any:
    """The same over an ordered dict."""
    made = (reversed if is_reversed else iter)(getattr(OrderedDict, name)(mapping))
    for _ in range(consumed):
        next(made)
    return made


_REMOVED = "Pickle, copy, and deepcopy support will be removed from itertools in Python 3.14."
QUIET = ("ignore", _REMOVED, DeprecationWarning, None, 0)
"""A warning filter for what `itertools` says in 3.12 and 3.13. Where C code warns, a text is compared as it is.

It goes into the list by hand: `warnings.filterwarnings` would make the interpreter forget what it has shown.
"""


def quietly(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the function without that warning; no other is lost."""
    filters: Any = warnings.filters
    if sys.version_info < (3, 12):
        return function(*arguments)
    filters.insert(0, QUIET)
    try:
        return function(*arguments)
    finally:
        filters.remove(QUIET)


def itertool(make: Callable[..., Any], *arguments: Any) -> Any:
    """An iterator of `itertools`."""
    return quietly(make, *arguments)


def set_itertool(made: Any, state: Any) -> None:
    """Where such an iterator was."""
    quietly(made.__setstate__, state)


def pairwise(source: Any, old: tuple[Any, ...]) -> Any:
    """Pairs of neighbours; `old` has the first half of the next pair, if there is one."""
    if source is None:
        return itertools.pairwise(())
    return itertools.pairwise(itertools.chain(old, source) if old else source)


def batched(source: Any, size: int, strict: bool) -> Any:
    """Tuples of `size` items."""
    keywords = {"strict": True} if strict else {}
    return itertools.batched(source, size, **keywords)  # type: ignore[attr-defined]


def match(pattern: Any, how: str, string: Any, start: int, end: int) -> Any:
    """A match, found again."""
    return getattr(pattern, how)(string, start, end)


def released_view() -> memoryview:
    """A memory view that was released."""
    made = memoryview(b"")
    made.release()
    return made


def memory(
    base: Any, format: str, shape: tuple[int, ...], part: tuple[int, int, int, int] | None, readonly: bool
) -> memoryview:
    """A view of the memory of `base`, or of a part of it: (offset, step, length, size of an item), in bytes."""
    made = memoryview(base)
    if made.format != "B" or made.ndim != 1:
        made = made.cast("B")
    if part is None:
        if made.nbytes:
            made = made.cast("B").cast(format, shape)  # type: ignore[call-overload]
    else:
        offset, step, length, item = part
        if step < 0:
            first = offset + step * (length - 1)
            made = made[first : offset + item].cast(format)[:: step // item]  # type: ignore[call-overload]
        else:
            made = made[offset : offset + step * (length - 1) + item if length else offset]
            made = _stepped(made, format, step, item)
    return made.toreadonly() if readonly and not made.readonly else made


def memory_iterator(view: memoryview | None = None, index: int = 0) -> Any:
    """An iterator over a memory view, some items on; without a view one that has ended."""
    made = iter(memoryview(b"") if view is None else view)
    for _ in range(index):
        next(made)
    if view is None:
        next(made, None)
    return made


def _stepped(made: memoryview, format: str, step: int, item: int) -> memoryview:
    whole = -(-made.nbytes // item) * item
    assert whole == made.nbytes or step == item, "a view of items that overlap"
    return made.cast(format)[:: max(step // item, 1)]  # type: ignore[call-overload,no-any-return]


def typed_array(code: str, data: Any) -> Any:
    """An `array.array` with the contents of a buffer, which are copied."""
    import array

    made = array.array(code)
    made.frombytes(data)
    return made


# --- annotations


def type_variable(
    cls: type, name: str, constraints: tuple[Any, ...], keywords: dict[str, Any], module: str | None
) -> Any:
    """A type variable of its own: two of one name are two."""
    made = cls(name, *constraints, **keywords)
    if module is not None:
        made.__module__ = module
    return made


def new_type(name: str, supertype: Any) -> Any:
    """A distinct name for a type."""
    import typing

    return typing.NewType(name, supertype)


def type_alias(name: str) -> Any:
    """A type alias, as the `type` statement makes it, without its value."""
    import typing

    return typing.TypeAliasType(name, None)  # type: ignore[attr-defined]


_FIELDS = {
    "TypeVar": (8, {12: 5, 13: 7}),
    "ParamSpec": (8, {12: 2, 13: 4}),
    "TypeVarTuple": (0, {12: 1, 13: 3}),
    "TypeAliasType": (0, {12: 5, 13: 5}),
}
"""By type: how many bytes of flags end its struct, and how many objects it holds before them, by minor version. From
3.12 on: name, values, and for each value that is not evaluated yet the function that does it."""


def _fields(made: Any) -> Any:
    import ctypes

    flags_bytes, counts = _FIELDS[type(made).__name__]
    fields = ctypes.c_void_p * counts[sys.version_info.minor]
    size = object.__basicsize__ + ctypes.sizeof(fields) + flags_bytes
    assert type(made).__basicsize__ == size, f"{type(made).__qualname__} of this CPython has other fields"
    return fields.from_address(id(made) + object.__basicsize__)


def fields_of(made: Any) -> list[Any]:
    """What a type variable or alias holds, one after the other: a tuple of it, or nothing. Nothing is evaluated."""
    import ctypes

    return [() if at is None else (ctypes.cast(at, ctypes.py_object).value,) for at in _fields(made)]


def set_fields(made: Any, held: list[Any]) -> None:
    """Have it hold that."""
    import ctypes

    fields = _fields(made)
    for index, field in enumerate(held):
        old = fields[index]
        if field:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(field[0]))
        fields[index] = id(field[0]) if field else None
        if old is not None:
            ctypes.pythonapi.Py_DecRef(ctypes.c_void_p(old))

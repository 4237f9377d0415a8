"""Functions written in Python that do what builtin functions do: their frames can be captured, C's cannot.

Calls come here from C (`diversions`), which has seen that they are well-formed: what is wrong with their
arguments was CPython's to say, and is never seen here.

Invariants:
  * Results, errors, their messages, the order of calls into the program's code, and what is left of a list or a
    generator when one of those fails, are those of the builtin function in this version of CPython.
  * Nothing here calls a diverted function, and nothing makes a frame that is not hidden: no comprehensions.
  * What a local variable holds can be pickled, and be compared by `is` afterwards.
"""

from __future__ import annotations

import builtins
import itertools
import math
import operator
import re
import sys
import types
from collections.abc import Callable
from typing import Any

from stillframe.frames._diversions import fit, freeze, native
from stillframe.frames.stand_in_sort import sort

_LONGEST = sys.maxsize
_IS_COMPENSATED = sys.version_info >= (3, 12)
"""Whether sum() keeps account of what floats lose."""


class Nothing:
    """Stands for a value that is not there: a class, because those are pickled by name."""


_max, _min, _sum = native(builtins.max), native(builtins.min), native(builtins.sum)
_join = native(str.join)
_dict_update, _set_update = native(dict.update), native(set.update)
_sub, _subn = native(re.Pattern.sub), native(re.Pattern.subn)
_AT_ONCE: frozenset[type] = frozenset(
    {types.GeneratorType, map, filter, zip, enumerate, reversed, itertools.chain, itertools.islice}
)
"""Iterators that are their own iter(), and whose guess of their length asks none of the program's code."""


def extend(self: list[Any], iterable: Any, /) -> None:
    """As `list.extend`."""
    append = native_append
    if type(iterable) in _AT_ONCE:
        for item in iterable:
            append(self, item)
        return
    iterator = iter(iterable)
    operator.length_hint(iterable, 8)
    while True:
        item = next(iterator, Nothing)
        if item is Nothing:
            return
        append(self, item)


native_append: Callable[[list[Any], Any], None] = list.append


def list_of(iterable: Any, /) -> list[Any]:
    """As `list`."""
    result: list[Any] = []
    extend(result, iterable)
    return result


def tuple_of(iterable: Any, /) -> tuple[Any, ...]:
    """As `tuple`."""
    result: list[Any] = []
    extend(result, iterable)
    return (*result,)


def set_of(iterable: Any, /) -> set[Any]:
    """As `set`."""
    result: set[Any] = set()
    for item in iterable:
        result.add(item)
    return result


def frozenset_of(iterable: Any, /) -> frozenset[Any]:
    """As `frozenset`."""
    result: set[Any] = set()
    for item in iterable:
        result.add(item)
    frozen: frozenset[Any] = freeze(result)
    return frozen


def update_set(self: set[Any], /, *others: Any) -> None:
    """As `set.update`."""
    add = set.add
    for other in others:
        if issubclass(type(other), (set, frozenset)) or type(other) is dict:
            _set_update(self, other)
        else:
            for item in other:
                add(self, item)


def _sequence(iterable: Any, message: str) -> Any:
    """As C's PySequence_Fast: a list or tuple as it is, anything else as a list; `message` if it is none of all."""
    if type(iterable) is list or type(iterable) is tuple:
        return iterable
    iterator: Any = Nothing
    try:
        iterator = iter(iterable)
    except TypeError:
        pass
    if iterator is Nothing:
        raise TypeError(message)
    return list_of(iterator)


def join(self: str, iterable: Any, /) -> str:
    """As `str.join`."""
    parts = _sequence(iterable, "can only join an iterable")
    joined: str = _join(self, parts)  # not around the other call: nobody can pickle `_join`
    return joined


def dict_of(given: Any, /, **more: Any) -> dict[Any, Any]:
    """As `dict`."""
    result: dict[Any, Any] = {}
    _merge(result, given)
    result.update(more)
    return result


def update_dict(self: dict[Any, Any], given: Any, /, **more: Any) -> None:
    """As `dict.update`."""
    _merge(self, given)
    dict.update(self, more)


def _merge(result: dict[Any, Any], given: Any) -> None:
    store = dict.__setitem__
    if type(given) not in _AT_ONCE and hasattr(given, "keys"):
        if issubclass(type(given), dict) and type(given).__iter__ is dict.__iter__:
            _dict_update(result, given)
            return
        for key in _keys(given):
            store(result, key, given[key])
        return
    index = 0
    for item in given:
        pair: Any = item if type(item) is tuple or type(item) is list else Nothing
        try:
            pair = _sequence(item, "") if pair is Nothing else pair
        except TypeError:
            pass
        if pair is Nothing:
            raise TypeError(f"cannot convert dictionary update sequence element #{index} to a sequence")
        if len(pair) != 2:
            text = f"dictionary update sequence element #{index} has length {len(pair)}; 2 is required"
            raise ValueError(text)
        store(result, pair[0], pair[1])
        index += 1  # noqa: SIM113  (an enumerate() would be one more iterator in C)


def _keys(mapping: Any) -> list[Any]:
    keys = mapping.keys()
    name, kind = type(mapping).__name__, type(keys).__name__
    return [*_sequence(keys, f"{name}.keys() returned a non-iterable (type {kind})")]


def all_of(iterable: Any, /) -> bool:
    """As `all`."""
    for item in iterable:  # noqa: SIM110  (it would be a generator, and a call of what is diverted)
        if not item:
            return False
    return True


def any_of(iterable: Any, /) -> bool:
    """As `any`."""
    for item in iterable:  # noqa: SIM110
        if item:
            return True
    return False


def max_of(first: Any, /, *others: Any, key: Any = None, default: Any = Nothing) -> Any:
    """As `max`."""
    if others and default is not Nothing:
        return _max(first, *others, default=default)
    best = best_value = Nothing
    for item in (first, *others) if others else first:
        value = item if key is None else key(item)
        if best_value is Nothing or value > best_value:
            best, best_value = item, value
    if best_value is not Nothing:
        return best
    return _max(()) if default is Nothing else default


def min_of(first: Any, /, *others: Any, key: Any = None, default: Any = Nothing) -> Any:
    """As `min`."""
    if others and default is not Nothing:
        return _min(first, *others, default=default)
    best = best_value = Nothing
    for item in (first, *others) if others else first:
        value = item if key is None else key(item)
        if best_value is Nothing or value < best_value:
            best, best_value = item, value
    if best_value is not Nothing:
        return best
    return _min(()) if default is Nothing else default


_GENERAL, _WHOLE, _FLOAT = 0, 1, 2


def sum_of(iterable: Any, /, start: Any = 0) -> Any:
    """As `sum`: ints as far as they fit into a machine's, then floats, then whatever has `+`."""
    total, lost, is_compensated = start, 0.0, _IS_COMPENSATED
    if issubclass(type(start), (str, bytes, bytearray)):
        return _sum(iterable, start)
    way = _way_of(total)
    for item in iterable:
        kind = type(item)
        if way == _WHOLE:
            total = total + item
            if kind is int or kind is bool:
                if not fit(total, item):
                    way = _GENERAL
            else:
                way = _FLOAT if type(total) is float else _GENERAL
        elif way == _GENERAL:
            total = total + item
        elif kind is float:
            after = total + item
            if is_compensated:
                lost += (total - after) + item if abs(total) >= abs(item) else (item - after) + total
            total = after
        elif issubclass(kind, int) and fit(item, 0):
            total = float.__add__(total, item)
        else:
            total = _with(total, lost) + item
            way = _GENERAL
    return _with(total, lost) if way == _FLOAT else total


def _way_of(start: Any) -> int:
    if type(start) is int and fit(start, 0):
        return _WHOLE
    return _FLOAT if type(start) is float else _GENERAL


def _with(total: float, lost: float) -> float:
    return total + lost if lost and math.isfinite(lost) else total


def reduce(function: Any, sequence: Any, initial: Any = Nothing, /) -> Any:
    """As `functools.reduce`."""
    result = initial
    if type(sequence) in _AT_ONCE:
        for item in sequence:
            result = item if result is Nothing else function(result, item)
    else:
        iterator: Any = Nothing
        try:
            iterator = iter(sequence)
        except TypeError:
            pass
        if iterator is Nothing:
            raise TypeError("reduce() arg 2 must support iteration")
        while (item := next(iterator, Nothing)) is not Nothing:
            result = item if result is Nothing else function(result, item)
    if result is Nothing:
        raise TypeError("reduce() of empty iterable with no initial value")
    return result


def sorted_of(iterable: Any, /, *, key: Any = None, reverse: bool = False) -> list[Any]:
    """As `sorted`."""
    result: list[Any] = []
    extend(result, iterable)
    sort(result, key=key, reverse=reverse)
    return result


def substitute(self: re.Pattern[Any], /, repl: Any, string: Any, count: Any = 0) -> Any:
    """As `re.Pattern.sub`."""
    if _is_for_c(repl, string, count):
        return _sub(self, repl, string, count)
    return _replaced(self, repl, string, int.__index__(count))[0]


def substitute_and_count(self: re.Pattern[Any], /, repl: Any, string: Any, count: Any = 0) -> Any:
    """As `re.Pattern.subn`."""
    if _is_for_c(repl, string, count):
        return _subn(self, repl, string, count)
    return _replaced(self, repl, string, int.__index__(count))


def _is_for_c(repl: Any, string: Any, count: Any) -> bool:
    """Whether nothing is called, or what is searched may change meanwhile, or an argument is out of the usual."""
    if not callable(repl) or type(string) not in (str, bytes) or not issubclass(type(count), int):
        return True
    return not 0 <= int.__index__(count) <= _LONGEST


def _replaced(pattern: re.Pattern[Any], repl: Any, string: Any, count: int) -> tuple[Any, int]:
    # All matches before the first call: a search under way is an object of C that nobody can read. The text cannot
    # change meanwhile, so they are the same.
    matches = [*itertools.islice(pattern.finditer(string), count or None)]
    pieces, at = [], 0
    for match in matches:
        start, end = match.span()
        if at < start:
            pieces.append(string[at:start])
        piece = repl(match)
        if piece is not None:
            pieces.append(piece)
        at = end
    if at < len(string):
        pieces.append(string[at:])
    return string[:0].join(pieces), len(matches)

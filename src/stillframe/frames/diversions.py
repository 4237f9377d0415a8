"""Stand-ins in use: calls of builtin functions that may call back into Python are done by Python.

`sorted`, `list` and the others stay the objects that they are. While stand-ins are in use, C sends a call to a
function of `stand_ins` if the call may run the program's code; all other calls are CPython's as before. The
frames of those functions are hidden: a program sees them neither in tracebacks nor by `sys._getframe()`. A
capture sees them, and can go on in the middle of them.

Invariants:
  * What a diverted call comes to is what the builtin function would have come to.
  * To turn them off changes nothing for calls that are under way.
"""

from __future__ import annotations

import builtins
import functools
import opcode
import re
import types
from typing import Any, NamedTuple

from stillframe.frames import _diversions, stand_in_merge, stand_in_sort, stand_ins
from stillframe.frames._diversions import ITEMS, METHOD, SECOND, SPREAD
from stillframe.frames.code import VERSION
from stillframe.frames.inner import Inner, is_a, name_of


class _Diversion(NamedTuple):
    """A builtin function, and what stands in for it: for calls with so many positional arguments (-1: any
    number), and no keywords but these (None: any)."""

    target: Any
    stand_in: types.FunctionType
    least: int
    most: int
    keywords: tuple[str, ...] | None = ()
    what: int = 0


def _diversions_of() -> list[_Diversion]:
    members = vars(list), vars(set), vars(dict), vars(str), vars(re.Pattern)
    of_list, of_set, of_dict, of_str, of_pattern = members
    found: list[tuple[Any, ...]] = [
        (builtins.all, stand_ins.all_of, 1, 1, (), ITEMS),
        (builtins.any, stand_ins.any_of, 1, 1, (), ITEMS),
        (builtins.max, stand_ins.max_of, 1, -1, ("key", "default"), ITEMS | SPREAD),
        (builtins.min, stand_ins.min_of, 1, -1, ("key", "default"), ITEMS | SPREAD),
        (builtins.sorted, stand_ins.sorted_of, 1, 1, ("key", "reverse"), ITEMS),
        (builtins.sum, stand_ins.sum_of, 1, 2, ("start",), ITEMS),
        (functools.reduce, stand_ins.reduce, 2, 3, (), SECOND),
        (dict, stand_ins.dict_of, 1, 1, None),
        (frozenset, stand_ins.frozenset_of, 1, 1),
        (list, stand_ins.list_of, 1, 1),
        (set, stand_ins.set_of, 1, 1),
        (tuple, stand_ins.tuple_of, 1, 1),
        (of_dict["update"], stand_ins.update_dict, 1, 1, None, METHOD),
        (of_list["extend"], stand_ins.extend, 1, 1, (), METHOD),
        (of_list["sort"], stand_in_sort.sort, 0, 0, ("key", "reverse"), METHOD | ITEMS),
        (of_pattern["sub"], stand_ins.substitute, 2, 3, ("count",), METHOD | SECOND),
        (of_pattern["subn"], stand_ins.substitute_and_count, 2, 3, ("count",), METHOD | SECOND),
        (of_set["update"], stand_ins.update_set, 1, -1, (), METHOD),
        (of_str["join"], stand_ins.join, 1, 1, (), METHOD),
    ]
    return [_Diversion(*row) for row in found]


_MODULES = (stand_ins, stand_in_sort, stand_in_merge)


def _hide_all() -> None:
    for module in _MODULES:
        for thing in vars(module).values():
            if getattr(thing, "__module__", None) != module.__name__:
                continue
            for function in [thing, *vars(thing).values()] if is_a(thing, type) else [thing]:
                if type(function) is types.FunctionType:
                    _hide(function)


def _hide(function: types.FunctionType) -> None:
    """Have CPython take the function's frames for some that have not begun."""
    if VERSION >= (3, 12):
        raw = bytearray(function.__code__.co_code)
        begins = next(at for at in range(0, len(raw), 2) if raw[at] == opcode.opmap["RESUME"])
        raw[begins : begins + 2] = opcode.opmap["NOP"], 0
        function.__code__ = function.__code__.replace(co_code=bytes(raw))
    _diversions.hide(function.__code__)


_hide_all()
_DIVERSIONS = _diversions_of()
_BY_CODE = {id(row.stand_in.__code__): row for row in _DIVERSIONS}
FILES = frozenset(str(module.__file__) for module in _MODULES)
"""Where the code of stand-ins comes from: their frames are part of the program, not of stillframe."""
_NAMES = frozenset(name_of(row.target) for row in _DIVERSIONS)
_in_use = False


def use_stand_ins(is_on: bool = True) -> None:
    """From now on have Python do what builtin functions written in C do while they call back into Python.

    A program can then be captured in the middle of the `key` of a `sorted()`, of a generator that `list()` or
    `sum()` goes over, of what `re.sub()` or `functools.reduce()` calls. It applies to the whole process, to calls
    that begin from now on; a resumed program goes on with it. Results, errors and tracebacks stay the same. Cost:
    of calls that may call back, beside the program's own work in them, from nothing to twice the time, and ten times
    and more for sum() and for sorting by `__lt__`; of others some nanoseconds. docs/frames.md has the figures.
    """
    global _in_use
    if is_on and not _in_use:
        for row in _DIVERSIONS:
            _diversions.divert(*row)
    elif not is_on:
        _diversions.restore()
    _in_use = is_on


def are_in_use() -> bool:
    """Whether calls that begin now are diverted."""
    return _in_use


def diverts(fn: Any, inner: Inner) -> bool:
    """Whether the frame is that of a stand-in which a call of `fn` was diverted to."""
    row = _BY_CODE.get(id(inner.code))
    return row is not None and _is_target(fn, row.target)


def would_help(native: str) -> bool:
    """Whether stand-ins are not in use, and there is one for what is called so in messages."""
    return not _in_use and native in _NAMES


def _is_target(fn: Any, target: Any) -> bool:
    if fn is target:
        return True
    # A bound method.
    if type(fn) is not types.BuiltinFunctionType or type(target) is not types.MethodDescriptorType:
        return False
    owner = fn.__self__
    return fn.__name__ == target.__name__ and is_a(owner, target.__objclass__)

"""Which variables a cell read, bound and removed.

Bound and removed are seen: the namespace before and after, and the names that the cell's code stores.
Read is computed from the code that can run: what the cell loads, and what the functions, classes and
instances that it thereby reaches load, through closures and containers. That is never less than what is
read in these ways, sometimes more (a branch not taken), costs nothing while the cell runs, and leaves the
namespace a plain dict, so that the cell runs at full speed (docs/decisions/0005).
"""

from __future__ import annotations

import dis
import functools
import re
import types
from collections.abc import Collection, Iterable, Mapping
from types import CodeType
from typing import Any, NamedTuple

from stillframe.engine import _fork

_REACH = 10_000
"""Objects looked at for one cell."""
_CONTAINER = 1_000
"""Items looked at in one container."""
_OWN_SCOPE = frozenset({"<lambda>", "<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"})
_CO_OPTIMIZED = 1
_IDENTIFIER = re.compile(r"[^\W\d]\w*")

_OPS = dis.opmap
_EXTENDED = _OPS["EXTENDED_ARG"]
_LOAD_GLOBAL = _OPS["LOAD_GLOBAL"]
_LOADS = {_OPS[name] for name in ("LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS") if name in _OPS}
_STORES = {_OPS["STORE_NAME"], _OPS["STORE_GLOBAL"]}
_DELETES = {_OPS["DELETE_NAME"], _OPS["DELETE_GLOBAL"]}


class Names(NamedTuple):
    """The global names that one code object loads and stores itself."""

    loaded: frozenset[str]
    stored: frozenset[str]


_cache: dict[int, tuple[CodeType, Names]] = {}


def names_of(code: CodeType) -> Names:
    """Cost: 0.1 µs a byte of code, once for each code object, until it is forgotten."""
    cached = _cache.get(id(code))
    if cached is not None and cached[0] is code:
        return cached[1]
    loaded, stored = set(), set()
    raw, names, extended = code.co_code, code.co_names, 0
    for i in range(0, len(raw), 2):
        op, argument = raw[i], raw[i + 1] | extended
        extended = argument << 8 if op == _EXTENDED else 0
        if op == _LOAD_GLOBAL:
            loaded.add(names[argument >> 1])
        elif op in _LOADS:
            loaded.add(names[argument])
        elif op in _STORES or op in _DELETES:
            stored.add(names[argument])
    found = Names(frozenset(loaded), frozenset(stored))
    _cache[id(code)] = (code, found)
    return found


def forget(executed: Iterable[CodeType]) -> None:
    """The code of a cell itself does not run again."""
    for code in executed:
        _cache.pop(id(code), None)


def identities(namespace: Mapping[str, Any]) -> dict[str, int]:
    """The namespace as names and identities; it keeps no object alive."""
    return dict(zip(namespace, map(id, namespace.values()), strict=True))


class Changes(NamedTuple):
    """Of a namespace, since its names had the identities of some moment."""

    bound: dict[str, int]
    """The names that are bound to another object, with its identity."""
    gone: Collection[str]

    def apply(self, identities: dict[str, int]) -> None:
        """Make of the identities of that moment those of now."""
        identities.update(self.bound)
        for name in self.gone:
            del identities[name]


def changes(before: dict[str, int], namespace: dict[str, Any]) -> Changes:
    """What has changed since `before`. Where names are plain text it writes to no object that has not."""
    found = _fork.differences(before, namespace)
    if found is not None:
        return Changes(*found)
    after = identities(namespace)
    bound = {name: now for name, now in after.items() if before.get(name) != now}
    return Changes(bound, before.keys() - after.keys())


def unchanged(before: dict[str, int], namespace: dict[str, Any]) -> dict[str, bool]:
    """For each name in `before`, whether it is bound to what it was."""
    found = changes(before, namespace)
    return {name: name not in found.bound and name not in found.gone for name in before}


def stored_by(executed: Iterable[CodeType], namespace: Mapping[str, Any]) -> set[str]:
    """The names in the namespace that the executed code itself binds."""
    return {name for code in executed for name in names_of(code).stored if name in namespace}


def accessed(before: Mapping[str, int], namespace: dict[str, Any], executed: list[CodeType]) -> set[str]:
    """Names in `before` that the executed code, or what it reaches, loads."""
    if len(executed) == 1 and (found := _direct(before, namespace, executed[0])) is not None:
        return found
    reach = _Reach(namespace)
    for code in executed:
        reach.top_level(code)
    return {name for name in reach.loaded if name in before}


def _direct(before: Mapping[str, int], namespace: dict[str, Any], code: CodeType) -> set[str] | None:
    """The same, where nothing that the code loads leads to other code, as mostly. None: something may."""
    loaded = names_of(code).loaded
    for name in loaded:
        if type(namespace.get(name)) not in _LEAVES or name == "get_ipython":
            return None
    for item in code.co_consts:
        if type(item) is CodeType:
            return None
    return {name for name in loaded if name in before}


class _Reach:
    """Follows names to values and values to code."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.namespace = namespace
        self.loaded: set[str] = set()
        self._seen: set[int] = set()

    def top_level(self, code: CodeType) -> None:
        """A cell's own code. A function that it defines counts when its name is loaded."""
        names = names_of(code)
        self._load(names.loaded)
        if "get_ipython" in names.loaded:  # a magic's argument is code as text
            texts = " ".join(item for item in code.co_consts if isinstance(item, str))
            self._load(_IDENTIFIER.findall(texts))
        for item in code.co_consts:
            if isinstance(item, CodeType):
                if item.co_name in _OWN_SCOPE:
                    self._code(item)
                elif not item.co_flags & _CO_OPTIMIZED:  # a class body runs at once
                    self.top_level(item)

    def _load(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self.loaded:
                self.loaded.add(name)
                if name in self.namespace:
                    self._value(self.namespace[name])

    def _code(self, code: CodeType) -> None:
        self._load(names_of(code).loaded)
        for item in code.co_consts:
            if isinstance(item, CodeType):
                self._code(item)

    def _value(self, value: Any) -> None:
        waiting = [value]
        while waiting and len(self._seen) < _REACH:
            item = waiting.pop()
            kind = type(item)
            if kind in _LEAVES or id(item) in self._seen:
                continue
            self._seen.add(id(item))
            waiting += self._parts(item, kind)

    def _parts(self, item: Any, kind: type) -> Iterable[Any]:
        """What may hold code that runs when `item` is used."""
        if kind is types.FunctionType:
            if item.__globals__ is self.namespace:
                self._code(item.__code__)
            return [*_cells(item), *(item.__defaults__ or ()), *vars(item).values()]
        if kind in (list, tuple, set, frozenset):
            return [part for part, _ in zip(item, range(_CONTAINER), strict=False)]
        if kind is dict:
            return [part for part, _ in zip(item.values(), range(_CONTAINER), strict=False)]
        if kind is functools.partial:
            return [item.func, *item.args, *item.keywords.values()]
        if kind is types.MethodType:
            return [item.__func__, item.__self__]
        if kind in (staticmethod, classmethod):
            return [item.__func__]
        if kind is property:
            return [item.fget, item.fset, item.fdel]
        if isinstance(item, type):
            return self._class_parts(item)
        if kind.__module__ == "__main__":
            return [kind, *getattr(item, "__dict__", {}).values()]
        return [vars(item)["__wrapped__"]] if "__wrapped__" in getattr(item, "__dict__", ()) else []

    def _class_parts(self, item: type) -> Iterable[Any]:
        return [
            part for base in item.__mro__ if base.__module__ == "__main__" for part in vars(base).values()
        ]


_LEAVES = frozenset(
    {int, float, complex, bool, str, bytes, type(None), types.ModuleType, types.BuiltinFunctionType}
)


def _cells(function: types.FunctionType) -> list[Any]:
    values = []
    for cell in function.__closure__ or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:  # an empty cell
            continue
    return values

"""A walk over everything that a capture would reach, without capturing: what holds what, and under which name.

It asks the same reducers as the pickler, so that both see the same; and it is no recursion, so that depth is no matter.
"""

from __future__ import annotations

import copyreg
from collections.abc import Iterator
from pickle import PickleBuffer
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any

from stillframe.capture.modules import ANEW, is_excluded
from stillframe.capture.pickler import Pickler, Standin

ATOMS = frozenset(
    {int, float, bool, complex, str, bytes, bytearray, type(None), type(...), type(NotImplemented)}
)
CONTAINERS = (list, tuple, dict, set, frozenset)

Child = tuple[str, Any]


def children(pickler: Pickler, obj: Any) -> Iterator[Child]:
    """What `obj` holds, each with the step from the path of `obj` to it. Raises what its reducer raises."""
    cls = type(obj)
    if cls in ATOMS:
        return
    if cls in CONTAINERS:
        yield from _items(obj)
        return
    reduced = pickler.reducer_override(obj)
    if reduced is NotImplemented:
        if isinstance(obj, type | FunctionType):
            return
        special = copyreg.dispatch_table.get(cls)
        reduced = special(obj) if special is not None else obj.__reduce_ex__(5)
    if isinstance(reduced, str):
        return
    names = _names(obj)
    make, arguments, *rest = reduced
    if getattr(make, "__name__", "") != "__newobj__":
        yield "", make
    own = pickler.state.dicts
    for place, part in enumerate((arguments, *rest)):
        if part is not None:
            # Items come from an iterator made for that; one that is the state itself is the program's.
            yield from _unnamed(list(part) if place in (2, 3) else part, names, own, 0)


def _items(container: Any) -> Iterator[Child]:
    if isinstance(container, dict):
        for key, value in container.items():
            if type(key) not in ATOMS:
                yield "<key>", key
            yield f"[{short(key)}]", value
    elif isinstance(container, list | tuple):
        for index, value in enumerate(container):
            yield f"[{index}]", value
    else:
        for value in container:
            yield "<item>", value


def short(key: Any) -> str:
    """A key as it stands in a path."""
    return repr(key) if type(key) in ATOMS or type(key) is tuple else f"<{type(key).__qualname__}>"


def _names(obj: Any) -> dict[int, str]:
    """By id: the steps to what has a name in `obj`."""
    names: dict[int, str] = {}
    if isinstance(obj, FunctionType):
        for name, cell in zip(obj.__code__.co_freevars, obj.__closure__ or (), strict=True):
            names[id(cell)] = f".<locals>.{name}"
    elif isinstance(obj, MethodType):
        names[id(obj.__self__)] = ".__self__"
    if not isinstance(obj, ModuleType | CellType):
        try:
            attributes = (
                object.__getattribute__(obj, "__dict__") if not isinstance(obj, type) else obj.__dict__
            )
        except AttributeError:
            attributes = {}
        for key, value in attributes.items():
            if type(value) not in ATOMS:
                names.setdefault(id(value), f".{key}")
    return names


def _unnamed(part: Any, names: dict[int, str], own: dict[int, str], depth: int) -> Iterator[Child]:
    """What a part of a reduction holds: containers in it are not the program's, unless the object has them by name."""
    # A view of memory holds nothing; and while it lives, what it views cannot be resized.
    if id(part) in own or type(part) is PickleBuffer:
        return
    name = names.get(id(part))
    if name is not None or type(part) not in (tuple, list, dict) or depth > 4:
        yield name or "", part
        return
    if isinstance(part, dict):
        for key, value in part.items():
            if type(key) not in ATOMS:
                yield "<key>", key
            step = names.get(id(value)) or (f".{key}" if isinstance(key, str) else f"[{short(key)}]")
            yield step, value
    else:
        for value in part:
            yield from _unnamed(value, names, own, depth + 1)


def roots_of_modules(pickler: Pickler, users: list[tuple[str, ModuleType]]) -> Iterator[Child]:
    """The variables of the modules that travel by value; those of `__main__` by their bare names."""
    seen: set[int] = set()
    for name, module in users:
        if id(module) in seen:
            continue
        seen.add(id(module))
        for key, value in list(vars(module).items()):
            if key not in ANEW and not is_excluded(name, key, pickler.options):
                yield key if name == "__main__" else f"{name or module.__name__}.{key}", value


class Walk:
    """Visits everything once, nearest first; what it has visited stays alive until it ends."""

    def __init__(self, pickler: Pickler) -> None:
        self.pickler = pickler
        self._objects: list[Any] = []
        self._parents: list[int] = []
        self._steps: list[str] = []
        self._seen: set[int] = {*pickler.state.dicts, *pickler.state.landmarks}

    def start(self, roots: Iterator[Child]) -> None:
        """Visit these, too."""
        for path, obj in roots:
            self._add(-1, path, obj)

    def _add(self, parent: int, step: str, obj: Any) -> None:
        if type(obj) in ATOMS or type(obj) is Standin or id(obj) in self._seen:
            return
        self._seen.add(id(obj))
        self._objects.append(obj)
        self._parents.append(parent)
        self._steps.append(step)

    def run(self) -> Iterator[tuple[str, Any, Exception]]:
        """Path, object and exception of each that cannot be captured."""
        at = 0
        while at < len(self._objects):
            obj = self._objects[at]
            try:
                for step, child in children(self.pickler, obj):
                    self._add(at, step, child)
            except Exception as error:  # noqa: BLE001 - a reducer of the user's may raise anything
                yield self._path(at), obj, error
            at += 1

    def _path(self, at: int) -> str:
        steps = []
        while at >= 0:
            steps.append(self._steps[at])
            at = self._parents[at]
        return "".join(reversed(steps))

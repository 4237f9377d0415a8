"""What the user wants to leave behind: variables, and attributes of objects, by their paths.

`exclude("cache", "app.settings", "job.pool._sock")`: a variable of `__main__`, one of a module of the user's, an
attribute. What is excluded is not there after a resume; everything else is.
"""

from __future__ import annotations

import sys
from types import ModuleType

from stillframe.capture.pickler import Pickler, Reducer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PATHS: set[str] = set()


def exclude(*paths: str) -> None:
    """Leave these behind in all captures from now on."""
    for path in paths:
        if not isinstance(path, str) or not all(part.isidentifier() for part in path.split(".")):
            raise ValueError(f"{path!r} is no path of names joined by dots")
    _PATHS.update(paths)


def include(*paths: str) -> None:
    """Take these back."""
    _PATHS.difference_update(paths)


def excluded() -> frozenset[str]:
    """All that is excluded now."""
    return frozenset(_PATHS)


def apply_to(pickler: Pickler) -> None:
    """Let the pickler leave out the attributes that are excluded. Variables are left out where modules are dumped."""
    left_out: dict[int, set[str]] = {}
    for path in pickler.options.excluded:
        parent = _parent_of(path)
        if parent is None or isinstance(parent, ModuleType):
            continue
        left_out.setdefault(id(parent), set()).add(path.rpartition(".")[2])
        cls = type(parent)
        if id(cls) not in (wrapped := pickler.state.seen.setdefault("excluding types", set())):
            wrapped.add(id(cls))
            pickler.plans[cls] = _without(pickler.plans[cls], left_out)


def _parent_of(path: str) -> Any:
    """The object whose attribute is meant, or None if the path leads nowhere now."""
    parts = path.split(".")[:-1]
    for length in range(len(parts), 0, -1):
        module = sys.modules.get(".".join(parts[:length]))
        if module is not None and length == len(parts):
            return module
        if module is not None:
            found: Any = module
            break
    else:
        length, found = 0, sys.modules["__main__"]
    for part in parts[length:]:
        found = getattr(found, "__dict__", {}).get(part)
    return found


def _without(plan: Reducer | None, left_out: dict[int, set[str]]) -> Reducer:
    def reduce(pickler: Pickler, obj: Any) -> Any:
        reduced = NotImplemented if plan is None else plan(pickler, obj)
        names = left_out.get(id(obj))
        if names is None:
            return reduced
        if reduced is NotImplemented:
            reduced = obj.__reduce_ex__(5)
        if not isinstance(reduced, tuple) or len(reduced) < 3:
            return reduced
        return (*reduced[:2], _filtered(reduced[2], names), *reduced[3:])

    return reduce


def _filtered(state: Any, names: set[str]) -> Any:
    if type(state) is dict:
        return {key: value for key, value in state.items() if key not in names}
    if type(state) is tuple:
        return tuple(_filtered(part, names) for part in state)
    return state

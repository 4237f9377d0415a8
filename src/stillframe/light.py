"""`NamedTuple` for modules that are on the way of every teleport, where `typing` would take longer than any of them.

    TYPE_CHECKING = False
    if TYPE_CHECKING:
        from typing import Any, NamedTuple
    else:
        from stillframe.light import NamedTuple

Invariant: what a class made with it can do, and how its objects are pickled, is as with that of `typing`.
"""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Maker(type):
    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> type:
        """The class of a statement `class name(NamedTuple)`: a tuple, no subclass of it."""
        if not bases:
            return super().__new__(cls, name, bases, namespace)
        fields = list(namespace["__annotations__"])
        defaults = [namespace[field] for field in fields if field in namespace]
        made = namedtuple(name, fields, defaults=defaults)  # type: ignore[misc]
        for key, value in namespace.items():
            if key not in fields:
                setattr(made, key, value)
        return made


class NamedTuple(metaclass=_Maker):
    """The base in a class statement that says the fields."""

"""The Python frame that was called, as its caller sees it, and looks at types that ask nothing of the user's code."""

from __future__ import annotations

import builtins
import sys
import types
from collections.abc import Iterable, Iterator

from stillframe.frames._frames import NULL, FrameRef
from stillframe.frames.code import code_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

Step: TypeAlias = "tuple[Any, ...]"
"""What a native function still has to do with a result: a word of `steps`, and what it needs."""
Steps: TypeAlias = "list[Step] | None"
WRAPPERS = (types.WrapperDescriptorType, types.MethodWrapperType)


def diversions() -> Any:
    """The module `diversions`, if the program has ever asked for stand-ins; None says that no frame is one's."""
    return sys.modules.get("stillframe.frames.diversions")


class Unknown(list["Any"]):
    """Arguments of which not all are known: those that are, come first."""


def in_front(first: Iterable[Any], args: list[Any]) -> list[Any]:
    """`args` with others in front of them."""
    return type(args)([*first, *args])


def is_a(thing: Any, *classes: type) -> bool:
    """isinstance() by the type alone: neither `__class__` nor a metaclass of the user's is asked."""
    mro = type.__dict__["__mro__"].__get__(type(thing))
    return any(base is cls for base in mro for cls in classes)


class Inner:
    """The Python frame that was called, as seen from its caller."""

    def __init__(self, ref: FrameRef) -> None:
        self.ref = ref
        self.code: types.CodeType = ref.code
        self.generator: Any = ref.generator

    def argument(self, index: int) -> Any:
        """The positional argument `index`, or NULL where the code may have assigned to it since."""
        code, fast = self.code, self.ref.fast
        if index < code.co_argcount:
            slot = index
            value = NULL if slot in code_map(code).stored else fast[slot]
        elif code.co_flags & 4:
            slot = code.co_argcount + code.co_kwonlyargcount
            more = NULL if slot in code_map(code).stored else fast[slot]
            value = more[index - slot] if type(more) is tuple and index - slot < len(more) else NULL
        else:
            return NULL
        return self._uncelled(slot, value)

    def given(self) -> list[Any]:
        """What lies in the places of the positional arguments: the code may have assigned to some of them."""
        code, fast = self.code, self.ref.fast
        found = [self._uncelled(slot, fast[slot]) for slot in range(code.co_argcount)]
        if code.co_flags & 4:
            slot = code.co_argcount + code.co_kwonlyargcount
            more = self._uncelled(slot, fast[slot])
            found += more if type(more) is tuple else ()
        return found

    def _uncelled(self, slot: int, value: Any) -> Any:
        if type(value) is types.CellType and self.code.co_varnames[slot] in self.code.co_cellvars:
            try:
                return value.cell_contents
            except ValueError:
                return NULL
        return value

    def __repr__(self) -> str:
        return str(self.code.co_qualname)


def in_types(owner: type, name: str) -> Iterator[Any]:
    """What the classes of `owner` have under `name`, each of them."""
    for cls in type.__dict__["__mro__"].__get__(owner):
        found = type.__dict__["__dict__"].__get__(cls).get(name, NULL)
        if found is not NULL:
            yield found


def attributes(thing: Any) -> dict[str, Any]:
    """What an object has in its `__dict__`, whatever its class says of that."""
    try:
        found: Any = object.__getattribute__(thing, "__dict__")
    except AttributeError:
        return {}
    return found if type(found) is dict else {}


def name_of(fn: Any) -> str:
    """A callable, as a reader would name it."""
    if type(fn) in (types.FunctionType, types.MethodType):
        return str(fn.__qualname__)
    if type(fn) in (types.BuiltinFunctionType, types.MethodDescriptorType, *WRAPPERS):
        owner: Any = getattr(fn, "__self__", None)
        is_elsewhere = type(owner) is types.ModuleType and owner is not builtins
        return f"{owner.__name__}.{fn.__name__}" if is_elsewhere else str(fn.__qualname__)
    return type_name(fn if is_a(fn, type) else type(fn))


def type_name(cls: type) -> str:
    """The name of a class, whatever its metaclass says."""
    return str(type.__dict__["__qualname__"].__get__(cls))

"""Classes: the user's own by value, as a skeleton that is filled afterwards; all others by reference."""

from __future__ import annotations

import _abc
import importlib
import sys
from collections.abc import Callable
from types import BuiltinFunctionType, GetSetDescriptorType, MemberDescriptorType

from stillframe.capture import rebuild, rebuild_classes
from stillframe.capture.modules import goes_by_value, named
from stillframe.capture.pickler import PLANNERS, CannotReduce, Pickler, Reducer, reducer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NOT_CARRIED = frozenset({"__slotnames__", "__abc_tpflags__"})
"""Attributes of a class that the interpreter or `copyreg` made for themselves."""
ABSTRACT_IN = ("collections.abc", "numbers", "os", "io")
"""Modules whose abstract base classes the user's classes may be registered with, if they are imported."""
TYPES_WITHOUT_HOME = (
    "types",
    "_collections_abc",
    "_thread",
    "typing",
    "re",
    "contextvars",
    "weakref",
    "functools",
)
"""Where to look for types in C whose own name leads nowhere."""

WITHOUT_NAME: dict[type, Callable[[], Any]] = {}
"""Types in C that no name leads to at all: what makes an object of each."""


@reducer(type)
def _reduce_class(pickler: Pickler, cls: type) -> Any:
    module = getattr(cls, "__module__", None)
    if module in TYPES_WITHOUT_HOME and module not in sys.modules:
        importlib.import_module(module)  # some are made in C before it is imported
    if isinstance(module, str) and not goes_by_value(pickler, module):
        if named(sys.modules[module], cls.__qualname__) is cls:
            return NotImplemented
        home = _home_of(cls)
        if home is not None:
            return rebuild.by_name, home
    if cls in WITHOUT_NAME:
        return rebuild.type_of, (WITHOUT_NAME[cls],)
    if not cls.__flags__ & _HEAP:
        raise CannotReduce(cls, "it is a type in C that no name leads to", "Make it again after the capture.")
    return _by_value(pickler, cls)


_HEAP = 1 << 9


def _home_of(cls: type) -> tuple[str, str] | None:
    """Module and name of a class whose own `__qualname__` does not lead to it."""
    for module in (cls.__module__, *TYPES_WITHOUT_HOME):
        for name, value in list(vars(sys.modules[module]).items()) if module in sys.modules else ():
            if value is cls:
                return module, name
    return None


def _by_value(pickler: Pickler, cls: type) -> tuple[Any, ...]:
    if type(cls).__module__ == "_ctypes":
        return _ctypes_class(cls)
    if _maker(type(cls)) is not type:
        reason = f"only its metaclass {type(cls).__qualname__}, which is in C, can make such a class"
        raise CannotReduce(cls, reason, "Define it in an installed module: then it is imported again.")
    token = None if pickler.options.whole_program else rebuild.token_of(cls)
    order, attributes = [], {}
    for name, value in cls.__dict__.items():
        if name in NOT_CARRIED:
            continue
        order.append(name)
        if not _made_with_skeleton(cls, name, value) and name != "_abc_impl":
            attributes[name] = value
    registered = _registered(cls) if "_abc_impl" in order else []
    state = (cls.__qualname__, order, attributes, registered, _abstract_bases(pickler).get(cls, []), token)
    pickler.state.keep.append(state)
    made = (type(cls), cls.__name__, cls.__bases__, _slots(cls), token)
    return rebuild_classes.skeleton, made, state, None, None, rebuild_classes.set_class


def _maker(metaclass: type) -> type:
    """The metaclass in C whose `__new__` makes its classes in the end."""
    return next(
        base for base in metaclass.__mro__ if isinstance(base.__dict__.get("__new__"), BuiltinFunctionType)
    )


def _made_with_skeleton(cls: type, name: str, value: Any) -> bool:
    if isinstance(value, MemberDescriptorType):
        return value.__objclass__ is cls
    return (
        name in ("__dict__", "__weakref__")
        and isinstance(value, GetSetDescriptorType)
        and value.__objclass__ is cls
    )


def _slots(cls: type) -> list[str] | None:
    """The slots that lead to the same layout; None for a class without `__slots__`."""
    own = cls.__dict__
    members = [name for name, value in own.items() if isinstance(value, MemberDescriptorType)]
    if not members and "__slots__" not in own:
        return None
    members = [name for name in members if own[name].__objclass__ is cls]
    for name in ("__dict__", "__weakref__"):
        if isinstance(own.get(name), GetSetDescriptorType) and own[name].__objclass__ is cls:
            members.append(name)
    return members


def _registered(cls: type) -> list[type]:
    registry = _abc._get_dump(cls)[0]
    return [found for found in (reference() for reference in registry) if found is not None]


def _abstract_bases(pickler: Pickler) -> dict[type, list[type]]:
    """The user's classes that are registered with an abstract base class of the standard library."""
    found: dict[type, list[type]] | None = pickler.state.seen.get("abstract_bases")
    if found is None:
        found = pickler.state.seen["abstract_bases"] = {}
        abstracts = {
            cls
            for name in ABSTRACT_IN
            if name in sys.modules
            for cls in vars(sys.modules[name]).values()
            if isinstance(cls, type) and "_abc_impl" in cls.__dict__
        }
        for abstract in abstracts:
            for cls in _registered(abstract):
                if goes_by_value(pickler, cls.__module__):
                    found.setdefault(cls, []).append(abstract)
    return found


def _ctypes_class(cls: Any) -> tuple[Any, ...]:
    kind = type(cls).__name__
    if kind == "PyCArrayType" and hasattr(cls, "_length_"):
        return rebuild_classes.ctypes_array, (cls._type_, cls._length_)
    if kind == "PyCPointerType" and hasattr(cls, "_type_"):
        return rebuild_classes.ctypes_pointer, (cls._type_,)
    skipped = (*NOT_CARRIED, "__dict__", "__weakref__")
    namespace = {
        name: value
        for name, value in cls.__dict__.items()
        if name not in skipped and type(value).__name__ not in ("CField", "getset_descriptor")
    }
    return rebuild_classes.ctypes_class, (cls.__name__, cls.__bases__, namespace)


def _plan_class(_pickler: Pickler, _metaclass: type) -> Reducer:
    return _reduce_class


PLANNERS["class"] = _plan_class

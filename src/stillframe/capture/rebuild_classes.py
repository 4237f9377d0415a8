"""What pickles call to make classes and their instances again.

Invariants:
  * No code of the user's runs: not the metaclass, not `__init_subclass__`, `__set_name__`, `__new__`, `__init__`,
    `__setattr__`, `__setitem__`. Their effect is in the attributes and items, which travel.
  * The attributes of a class are set in their old order, so that `vars(cls)` lists them so.
"""

from __future__ import annotations

import _abc
import gc
from collections import OrderedDict, defaultdict, deque

from stillframe.capture.rebuild import _KNOWN, _TOKENS, is_known, known

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_IMMUTABLE = 1 << 8


def skeleton(
    metaclass: type[type], name: str, bases: tuple[type, ...], slots: list[str] | None, token: str | None
) -> type:
    """A class without attributes; or the one of this process that `token` names."""
    here: type | None = known(token)
    if here is not None:
        return here
    namespace = {} if slots is None else {"__slots__": slots}
    with _quiet(bases):
        return type.__new__(metaclass, name, bases, namespace)


class _quiet:
    """Lets a class be derived from `bases` without a call of their `__init_subclass__`.

    The first base hides the others; where it is a type in C, each class that has one must be silent.
    """

    def __init__(self, bases: tuple[type, ...]) -> None:
        loud = {
            cls
            for base in bases
            for cls in base.__mro__
            if "__init_subclass__" in cls.__dict__ and cls is not object
        }
        if loud and not bases[0].__flags__ & _IMMUTABLE:
            loud = {bases[0]}
        silenced = [cls for cls in loud if not cls.__flags__ & _IMMUTABLE]
        self._before = [(cls, cls.__dict__.get("__init_subclass__")) for cls in silenced]

    def __enter__(self) -> None:
        for cls, _ in self._before:
            type.__setattr__(cls, "__init_subclass__", _SILENT)

    def __exit__(self, *_raised: object) -> None:
        for cls, old in self._before:
            if old is None:
                type.__delattr__(cls, "__init_subclass__")
            else:
                type.__setattr__(cls, "__init_subclass__", old)


_SILENT = classmethod(lambda cls, **_: None)


def set_class(made: type, state: tuple[Any, ...]) -> None:
    """The attributes of a class, in their order; its registrations as an abstract base class."""
    qualname, order, attributes, registered, abstract_bases, token = state
    if is_known(made):
        return
    if token is not None:
        remember(token, made)
    if "_abc_impl" in order:
        _abc._abc_init(made)
    namespace = _namespace(made)
    wanted = set(order)
    for name in [name for name in namespace if name not in wanted]:
        del namespace[name]
    for name, value in attributes.items():
        if _is_special(name) and name not in _RAW and not _hides(type(made), name):
            type.__setattr__(made, name, value)
        else:
            namespace[name] = value
    ordered = {name: namespace[name] for name in order if name in namespace}
    namespace.clear()
    namespace.update(ordered)
    # Tells the interpreter that the class has changed: what was written to its dict is seen from here on.
    type.__setattr__(made, "__qualname__", qualname)
    for cls in registered:
        _abc._abc_register(made, cls)
    for cls in abstract_bases:
        _abc._abc_register(cls, made)


_RAW = frozenset({"__name__", "__qualname__", "__bases__", "__mro__", "__dict__", "__class__", "__base__"})
"""As attributes in a class, these are not those of the type: setting them would mean the type's."""


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _hides(metaclass: type, name: str) -> bool:
    """Whether setting the attribute would call a descriptor of the metaclass."""
    for cls in metaclass.__mro__:
        if cls is type:
            return False
        if name in cls.__dict__:
            return hasattr(type(cls.__dict__[name]), "__set__")
    return False


def _namespace(cls: type) -> dict[str, Any]:
    """The dict behind `cls.__dict__`, to write to."""
    found: dict[str, Any] = gc.get_referents(cls.__dict__)[0]
    return found


def remember(token: str, thing: Any) -> Any:
    """Let a later load in this process find what this one made."""
    _KNOWN[token] = thing
    _TOKENS[id(thing)] = token
    return thing


# --- instances


def hashable(cls: type, base: Any, early: dict[str, Any], *arguments: Any) -> Any:
    """An object of a class with a hash of its own, with what that may need: it may be a key of what it holds."""
    made = base.__new__(cls, *arguments)
    for name, value in early.items():
        object.__setattr__(made, name, value)
    return made


def set_hashable(made: Any, state: tuple[Any, Any]) -> None:
    """All attributes of such an object, in their order."""
    namespace = getattr(type(made), "__dictoffset__", 0) and object.__getattribute__(made, "__dict__")
    if namespace:
        namespace.clear()
    set_state(made, state[1])


def set_instance(made: Any, state: tuple[Any, Any]) -> None:
    """Items and attributes of an instance."""
    content, attributes = state
    if content is not None:
        _fill(made, *content)
    set_state(made, attributes)


def set_state(made: Any, state: Any) -> None:
    """The attributes of an instance; its class's own `__setstate__` is asked, as it is by pickle."""
    custom = getattr(type(made), "__setstate__", None)
    if custom is not None and not isinstance(made, BaseException):
        if state is not None:
            custom(made, state)
        return
    slots = None
    if type(state) is tuple and len(state) == 2:
        state, slots = state
    if state:
        object.__getattribute__(made, "__dict__").update(state)
    if slots:
        for name, value in slots.items():
            object.__setattr__(made, name, value)


def _fill(made: Any, kind: str, items: Any, extra: Any) -> None:
    if kind == "list":
        list.extend(made, items)
    elif kind == "dict":
        dict.update(made, items)
    elif kind == "set":
        set.update(made, items)
    elif kind == "ordered":
        for key, value in items:
            OrderedDict.__setitem__(made, key, value)
    elif kind == "default":
        defaultdict.__init__(made, extra)
        dict.update(made, items)
    elif kind == "deque":
        deque.__init__(made, items, extra)
    else:
        assert kind == "bytearray", kind
        bytearray.extend(made, items)


def ctypes_class(name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
    """A structure, union or function of ctypes: only its metaclass can lay it out."""
    metaclass: Any = type(bases[0])
    return metaclass(name, bases, namespace)


def ctypes_array(cls: Any, length: int) -> Any:
    """An array type of ctypes."""
    return cls * length


def ctypes_pointer(cls: Any) -> Any:
    """A pointer type of ctypes."""
    import ctypes

    return ctypes.POINTER(cls)


def set_member(made: Any, state: tuple[None, Any]) -> None:
    """The attributes of a member of an enumeration, which forbids setting them in the usual ways."""
    attributes = state[1]
    slots = None
    if type(attributes) is tuple:
        attributes, slots = attributes
    namespace = object.__getattribute__(made, "__dict__")
    namespace.clear()
    namespace.update(attributes or {})
    for name, value in (slots or {}).items():
        object.__setattr__(made, name, value)


def finish(made: Any, state: Any, listed: list[Any] | None, items: list[tuple[Any, Any]] | None) -> None:
    """What pickle does itself in the end, for an object that was pickled without it."""
    if listed:
        made.extend(listed)
    for key, value in items or ():
        made[key] = value
    if state is not None:
        set_state(made, state)

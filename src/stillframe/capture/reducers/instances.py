"""Instances of the user's classes, where pickle by itself would run their code at load or lose a part.

Most go the plain way, in C. Those that need another: classes with a `__new__`, `__setattr__`, `__getattribute__` or
`__class__` of their own, and those derived from built-in containers. A class that says how it is pickled
(`__reduce__`, `__reduce_ex__`, `__getnewargs__`, `copyreg`) is asked.
"""

from __future__ import annotations

import sys
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType, MemberDescriptorType, ModuleType

from stillframe.capture import rebuild, rebuild_classes
from stillframe.capture.modules import goes_by_value
from stillframe.capture.pickler import PLANNERS, Pickler, Reducer, reducer, reducer_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

Content: TypeAlias = "tuple[str, Any, Any] | None"

VALUES: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    object: lambda obj: (),
    int: lambda obj: (int.__int__(obj),),
    float: lambda obj: (float.__float__(obj),),
    complex: lambda obj: (complex.__pos__(obj),),
    str: lambda obj: (str.__str__(obj),),
    bytes: lambda obj: (bytes(memoryview(obj)),),
    tuple: lambda obj: (tuple.__getitem__(obj, slice(None)),),
    frozenset: lambda obj: (frozenset(frozenset.__iter__(obj)),),
}
"""By built-in base: the arguments of its `__new__`. These cannot change, so they are made whole."""
_DEFAULT_FACTORY: Any = vars(defaultdict)["default_factory"]
_MAXLEN: Any = vars(deque)["maxlen"]

CONTENTS: dict[type, Callable[[Any], Content]] = {
    list: lambda obj: ("list", list.__getitem__(obj, slice(None)), None),
    dict: lambda obj: ("dict", dict.copy(obj), None),
    set: lambda obj: ("set", list(set.__iter__(obj)), None),
    bytearray: lambda obj: ("bytearray", bytes(memoryview(obj)), None),
    OrderedDict: lambda obj: ("ordered", list(OrderedDict.items(obj)), None),
    defaultdict: lambda obj: ("default", dict.copy(obj), _DEFAULT_FACTORY.__get__(obj)),
    deque: lambda obj: ("deque", list(deque.__iter__(obj)), _MAXLEN.__get__(obj)),
}
"""By built-in base: what it holds. These may contain themselves, so they are made empty and filled."""


def builtin_base(cls: type) -> type:
    """The class in C whose `__new__` makes instances of `cls` in the end."""
    for base in cls.__mro__:
        # Some have no `__new__` of their own, but more to them than their own base.
        if base in CONTENTS or isinstance(base.__dict__.get("__new__"), BuiltinFunctionType):
            return base
    return object


def _plan_instance(pickler: Pickler, cls: type) -> Reducer | None:
    plan = _plan_in_general(pickler, cls)
    plain: Any = object
    if plan is None and pickler.options.is_flat and cls.__hash__ is plain.__hash__:
        return _reduce_flat
    return plan


def _reduce_flat(pickler: Pickler, obj: Any) -> Any:
    """Without attributes: they come later. What is put into sets by its own hash must be complete, so never those."""
    reduced = obj.__reduce_ex__(5)
    if not isinstance(reduced, tuple) or len(reduced) < 3 or (len(reduced) == 6 and reduced[5] is not None):
        return reduced
    pickler.state.deferred.append((obj, reduced))
    return reduced[:2]


def _plan_in_general(pickler: Pickler, cls: type) -> Reducer | None:
    if not goes_by_value(pickler, getattr(cls, "__module__", None)):
        return _plan_installed(cls)
    base = builtin_base(cls)
    if _is_own(cls, "__reduce__") or _is_own(cls, "__reduce_ex__"):
        return None
    is_special = (
        any(_is_own(cls, name) for name in OWN_WAYS) or _lies(cls) or _is_own(type(cls), "__setattr__")
    )
    # Attributes go straight into the namespace; only slots are set by name.
    is_special = is_special or (_is_own(cls, "__setattr__") and bool(_slots_of(cls)))
    if base in CONTENTS:
        ways = FILLING_WAYS.get(base)
        if ways is None or is_special or any(_is_own(cls, name) for name in ways):
            return _with_content(base, cls)
        return None
    if base not in VALUES or _is_own(cls, "__getnewargs__") or _is_own(cls, "__getnewargs_ex__"):
        return None
    if _is_own(cls, "__hash__") and not _is_own(cls, "__setstate__"):
        return _with_hash(base, cls, is_special)
    return _with_values(base, cls) if is_special else None


OWN_WAYS = ("__new__", "__getattribute__", "__getattr__")
"""Methods that pickle would call, here or at load. It also sets an attribute of the class: its metaclass may mind."""
FILLING_WAYS: dict[Any, tuple[str, ...]] = {
    list: ("append", "extend", "__iter__", "__hash__"),
    dict: ("__setitem__", "items", "__iter__", "__hash__"),
}
"""By built-in base: what pickle would call to read or fill it. It calls those of other bases like functions."""


def _is_own(cls: type, name: str) -> bool:
    """Whether the method is written in Python."""
    for base in cls.__mro__:
        if name in base.__dict__:
            found = base.__dict__[name]
            return isinstance(found.__func__ if isinstance(found, staticmethod) else found, FunctionType)
    return False


def _lies(cls: type) -> bool:
    """Whether instances may say that they are of another class."""
    return any("__class__" in base.__dict__ for base in cls.__mro__ if base is not object)


def _with_content(base: type, cls: type) -> Reducer:
    content_of, state_of = CONTENTS[base], _state_getter(cls)

    def reduce(_pickler: Pickler, obj: Any) -> tuple[Any, ...]:
        state = (content_of(obj), state_of(obj))
        return rebuild.bare, (cls, base), state, None, None, rebuild_classes.set_instance

    return reduce


def _with_values(base: type, cls: type) -> Reducer:
    values_of, state_of = VALUES[base], _state_getter(cls)

    def reduce(_pickler: Pickler, obj: Any) -> tuple[Any, ...]:
        made = (cls, base, *values_of(obj))
        return rebuild.bare, made, (None, state_of(obj)), None, None, rebuild_classes.set_instance

    return reduce


def _with_hash(base: type, cls: type, is_special: bool) -> Reducer:
    """For classes with a hash of their own: such an object may be a key in a dict that it holds itself.

    What is plain of its attributes, and so may be what the hash is made of, is there before all else.
    """
    values_of, state_of = VALUES[base], _state_getter(cls)
    otherwise = _with_values(base, cls) if is_special else None

    def reduce(pickler: Pickler, obj: Any) -> Any:
        state = state_of(obj)
        attributes, slots = state if type(state) is tuple else (state, None)
        everything = (attributes or {}) if not slots else {**(attributes or {}), **slots}
        if all(type(value) in PLAIN for value in everything.values()):
            return NotImplemented if otherwise is None else otherwise(pickler, obj)
        early = {name: value for name, value in everything.items() if _is_plain(value)}
        made = (cls, base, early, *values_of(obj))
        return rebuild_classes.hashable, made, (None, state), None, None, rebuild_classes.set_hashable

    return reduce


def _is_plain(value: Any) -> bool:
    if type(value) in (tuple, frozenset):
        return all(_is_plain(part) for part in value)
    return type(value) in PLAIN


PLAIN = frozenset({int, float, bool, complex, str, bytes, type(None)})


def _state_getter(cls: type) -> Callable[[Any], Any]:
    """What tells the state: the class itself (`__getstate__`), or attributes and slots as pickle would tell them."""
    custom: Any = cls.__getstate__
    if isinstance(custom, FunctionType):
        return custom
    slots, has_namespace = _slots_of(cls), getattr(cls, "__dictoffset__", 0) != 0

    def state(obj: Any) -> Any:
        attributes = object.__getattribute__(obj, "__dict__") if has_namespace else None
        if not slots:
            return attributes or None
        values = {}
        for name, descriptor in slots.items():
            try:
                values[name] = descriptor.__get__(obj)
            except AttributeError:
                # It has no value: it stays so.
                continue
        return (attributes or None, values) if values else attributes or None

    return state


def _slots_of(cls: type) -> dict[str, Any]:
    return {
        name: descriptor
        for base in cls.__mro__
        if base.__flags__ & _HEAP
        for name, descriptor in base.__dict__.items()
        if isinstance(descriptor, MemberDescriptorType)
    }


_HEAP = 1 << 9


@reducer_in("enum", "Enum", subclasses=True)
def _reduce_member(pickler: Pickler, member: Any) -> Any:
    cls = type(member)
    if not goes_by_value(pickler, cls.__module__):
        return NotImplemented
    base = builtin_base(cls)
    if base not in VALUES:
        return NotImplemented
    early = {name: value for name, value in vars(member).items() if name == "_name_" or _is_plain(value)}
    made = (cls, base, early, *VALUES[base](member))
    return (
        rebuild_classes.hashable,
        made,
        (None, _state_getter(cls)(member)),
        None,
        None,
        rebuild_classes.set_member,
    )


def _plan_installed(cls: type) -> Reducer | None:
    """Objects of installed packages are pickled as their classes say, but those that are unique are found again."""
    module = sys.modules.get(getattr(cls, "__module__", ""))
    if not isinstance(module, ModuleType) or _is_own(cls, "__reduce__") or _is_own(cls, "__reduce_ex__"):
        return None
    plain: Any = object
    if cls.__reduce_ex__ is not plain.__reduce_ex__ or cls.__reduce__ is not plain.__reduce__:
        return None
    way = _way_around(cls)
    unique = {id(value): name for name, value in list(vars(module).items()) if type(value) is cls}
    if not unique:
        return way
    where = module.__name__

    def reduce(pickler: Pickler, obj: Any) -> Any:
        name = unique.get(id(obj))
        if name is not None:
            return rebuild.by_name, (where, name)
        return NotImplemented if way is None else way(pickler, obj)

    return reduce


def _way_around(cls: type) -> Reducer | None:
    """For classes of packages whose own `__new__` wants arguments, or whose `__getattr__` cannot do without attributes.

    Pickle calls the one without any, and asks the other for `__setstate__` when there are none yet.
    """
    base = builtin_base(cls)
    if _is_own(cls, "__getnewargs__") or _is_own(cls, "__getnewargs_ex__"):
        return None
    if not _wants_arguments(cls) and not any(
        _is_own(cls, name) for name in ("__getattr__", "__getattribute__")
    ):
        return None
    if base in CONTENTS:
        return _with_content(base, cls)
    return _with_values(base, cls) if base in VALUES else None


def _wants_arguments(cls: type) -> bool:
    """Whether the `__new__` of the class, written in Python, cannot be called with the class alone."""
    made: Any = cls.__new__
    if not isinstance(made, FunctionType):
        return False
    keywords = made.__kwdefaults__ or {}
    names = made.__code__.co_varnames[made.__code__.co_argcount :][: made.__code__.co_kwonlyargcount]
    missing = made.__code__.co_argcount - len(made.__defaults__ or ())
    return missing > 1 or any(name not in keywords for name in names)


@reducer(object)
def _reduce_sentinel(pickler: Pickler, obj: object) -> Any:
    """A bare `object()` stands for itself: one that an installed module has made must be that one again."""
    sentinels: dict[int, tuple[str, str]] | None = pickler.state.seen.get("sentinels")
    if sentinels is None:
        sentinels = pickler.state.seen["sentinels"] = _sentinels(pickler)
    home = sentinels.get(id(obj))
    return NotImplemented if home is None else (rebuild.by_name, home)


def _sentinels(pickler: Pickler) -> dict[int, tuple[str, str]]:
    found: dict[int, tuple[str, str]] = {}
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and not goes_by_value(pickler, name):
            for key, value in list(vars(module).items()):
                if type(value) is object:
                    found.setdefault(id(value), (name, key))
                elif type(value) is type or isinstance(value, type):
                    for inner, attribute in list(value.__dict__.items()):
                        if type(attribute) is object:
                            found.setdefault(id(attribute), (name, f"{key}.{inner}"))
    return found


PLANNERS["instance"] = _plan_instance

"""What pickles call to make objects again: modules, functions, code, cells, methods, frames, tracebacks.

Invariants:
  * The names of these functions are part of the format: they stay, or the format's version rises.
  * None of them runs code of the user's.
  * What may contain itself is made empty first and filled afterwards.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import itertools
import marshal
import os
import sys
from collections.abc import Callable
from importlib.machinery import (
    BuiltinImporter,
    FrozenImporter,
    ModuleSpec,
    SourceFileLoader,
    SourcelessFileLoader,
)
from operator import itemgetter
from types import (
    CellType,
    ClassMethodDescriptorType,
    CodeType,
    FrameType,
    FunctionType,
    MethodType,
    ModuleType,
    TracebackType,
)
from weakref import WeakValueDictionary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PROCESS = os.urandom(8).hex()
_COUNTER = itertools.count()
_KNOWN: WeakValueDictionary[str, Any] = WeakValueDictionary()
"""Modules and classes of this process that were captured here, by token: a value loaded here finds the originals."""
_TOKENS: dict[int, str] = {}
"""By the id of such a thing. An id that was used again is seen by a look into `_KNOWN`."""


class Context:
    """What is known during one load, and what remains to be done at its end."""

    def __init__(self) -> None:
        self.modules: dict[str, Any] = {}
        """The modules that came by value, by name."""
        self.rlocks: list[tuple[Any, int, int]] = []
        """Locks that a thread owned: (lock, ident of that thread then, count). Its new thread must acquire them."""
        self.ranked: list[tuple[int, Callable[..., Any], tuple[Any, ...]]] = []
        """What to call when everything is loaded: lower ranks first, equal ones in this order."""
        self.last: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        """What to call after that, in this order."""
        self.facts: dict[str, Any] = {}
        """For those who restore whole programs."""

    def finish(self) -> None:
        """Do what had to wait until all was loaded."""
        while self.ranked:
            first = min(self.ranked, key=itemgetter(0))
            self.ranked.remove(first)
            first[1](*first[2])
        while self.last:
            function, arguments = self.last.pop(0)
            function(*arguments)


def later(context: Context, rank: int, function: Callable[..., Any], *arguments: Any) -> None:
    """Call `function` at the end of the load."""
    context.ranked.append((rank, function, arguments))


def token_of(thing: Any) -> str:
    """A name for a module or class of this process; loading it here leads back to the thing itself."""
    found = _TOKENS.get(id(thing))
    if found is not None and _KNOWN.get(found) is thing:
        return found
    token = _TOKENS[id(thing)] = f"{_PROCESS}:{next(_COUNTER)}"
    _KNOWN[token] = thing
    if len(_TOKENS) > 2 * len(_KNOWN) + 64:
        # Of things that are gone.
        for key in [key for key, text in _TOKENS.items() if text not in _KNOWN]:
            del _TOKENS[key]
    return token


def known(token: str | None) -> Any:
    """The thing of this process that has this token, or None."""
    return None if token is None else _KNOWN.get(token)


def is_known(thing: Any) -> bool:
    """Whether the thing was captured in this process, and so is complete."""
    found = _TOKENS.get(id(thing))
    return found is not None and _KNOWN.get(found) is thing


def itself(thing: Any) -> Any:
    """The argument."""
    return thing


def by_name(module: str, qualname: str) -> Any:
    """What `qualname` means in the module, which is imported if need be; parts are looked up plainly."""
    found: Any = importlib.import_module(module)
    for part in qualname.split("."):
        found = found.__dict__[part] if isinstance(found, ModuleType | type) else getattr(found, part)
    return found


def type_of(make: Callable[[], Any]) -> type:
    """A type that no name leads to, from an object of it."""
    return type(make())


def landmark(module: str, attribute: str) -> Any:
    """A dict or list of the interpreter's own."""
    return getattr(sys.modules.get(module) or importlib.import_module(module), attribute)


# --- modules


def new_module(
    name: Any, spec: tuple[Any, ...] | None, loader: str, file: str | None, kind: str, token: str | None
) -> ModuleType:
    """An empty module; or the one of this process that `token` names."""
    here: ModuleType | None = known(token)
    if here is not None:
        return here
    module = ModuleType("module")
    namespace = vars(module)
    namespace.clear()
    module.__name__ = name
    namespace["__spec__"] = None
    namespace["__loader__"] = made_loader = _loader(loader, name, file)
    if spec is not None:
        spec_name, origin, has_location, locations, cached = spec
        made = ModuleSpec(spec_name, made_loader, origin=origin, is_package=locations is not None)
        if locations is not None:
            made.submodule_search_locations = locations
        made.has_location = has_location
        made.cached = cached
        namespace["__spec__"] = made
    if kind != "none":
        namespace["__builtins__"] = builtins if kind == "module" else builtins.__dict__
    return module


def _loader(kind: str, name: str, file: str | None) -> Any:
    if kind in ("BuiltinImporter", "FrozenImporter"):
        return BuiltinImporter if kind == "BuiltinImporter" else FrozenImporter
    if kind and file is not None:
        return (SourcelessFileLoader if file.endswith(".pyc") else SourceFileLoader)(name, file)
    return None


def finish_module(module: ModuleType, order: list[str], cls: type | None) -> ModuleType:
    """Put the names of a filled namespace into their old order."""
    namespace = vars(module)
    ordered = {key: namespace[key] for key in order if key in namespace}
    namespace.clear()
    namespace.update(ordered)
    if cls is not None:
        object.__setattr__(module, "__class__", cls)
    return module


def fill_module(module: ModuleType, contents: dict[str, Any]) -> ModuleType:
    """Fill a module that is not the one of this process."""
    if not is_known(module):
        vars(module).update(contents)
    return module


def import_module(name: str, submodules: tuple[str, ...] = ()) -> Any:
    """The module, imported if need be, and with it those of its submodules that the program had."""
    found = sys.modules.get(name)
    if found is None:
        found = importlib.import_module(name)
    for submodule in submodules:
        if submodule not in sys.modules:
            try:
                importlib.import_module(submodule)
            except ImportError:
                # Some modules are made by others, not imported. If it is missed, its name says so.
                continue
    return found


def module_globals(name: str) -> dict[str, Any]:
    """The namespace of an installed module."""
    namespace: dict[str, Any] = vars(import_module(name))
    return namespace


# --- functions


def code(data: bytes) -> CodeType:
    """A code object."""
    return marshal.loads(data)  # type: ignore[no-any-return]


def code_with(template: CodeType, consts: tuple[Any, ...]) -> CodeType:
    """A code object whose constants are no plain data."""
    return template.replace(co_consts=consts)


def function(
    code: CodeType,
    namespace: dict[str, Any],
    name: str,
    closure: tuple[CellType, ...] | None,
    token: str | None = None,
) -> FunctionType:
    """A function without its attributes; or the one of this process that `token` names."""
    here: FunctionType | None = known(token)
    if here is not None:
        return here
    return FunctionType(code, namespace, name, None, closure)


def set_function(made: FunctionType, state: tuple[Any, ...]) -> None:
    """The attributes of a function, and the globals that it uses, where it comes without its module."""
    if is_known(made):
        return
    defaults, kwdefaults, annotations, module, qualname, doc, attributes, parameters, used = state
    made.__defaults__, made.__kwdefaults__ = defaults, kwdefaults
    if annotations is not None:
        made.__annotations__ = annotations
    made.__module__, made.__qualname__, made.__doc__ = module, qualname, doc
    if attributes:
        made.__dict__.update(attributes)
    if parameters:
        made.__type_params__ = parameters  # type: ignore[attr-defined]
    if used:
        for key, value in used.items():
            made.__globals__.setdefault(key, value)


def cell() -> CellType:
    """An empty cell."""
    return CellType()


def set_cell(made: CellType, contents: tuple[Any]) -> None:
    """What is in a cell."""
    made.cell_contents = contents[0]


def method(function: Callable[..., Any], owner: Any) -> MethodType:
    """A bound method."""
    return MethodType(function, owner)


def bound(owner: Any, cls: type, name: str) -> Any:
    """A built-in method of `cls`, bound to `owner`, whatever the class of `owner` has under that name."""
    descriptor = cls.__dict__[name]
    if isinstance(descriptor, ClassMethodDescriptorType):
        return descriptor.__get__(None, owner if isinstance(owner, type) else type(owner))
    return descriptor.__get__(owner, type(owner))


def class_attribute(cls: type, name: str) -> Any:
    """What stands in the class itself, not bound: a slot, a descriptor, a wrapper."""
    return cls.__dict__[name]


def bare(cls: type, base: type, *arguments: Any) -> Any:
    """An object of `cls` as its built-in base makes it: no `__new__` or `__init__` of the user's runs."""
    return base.__new__(cls, *arguments)


def set_property(made: property, state: tuple[Any, ...]) -> None:
    """The functions of a property."""
    *functions, attributes = state
    property.__init__(made, *functions)
    if attributes:
        vars(made).update(attributes)


def set_wrapped_method(made: Any, state: tuple[Any, dict[str, Any]]) -> None:
    """The function in a staticmethod or classmethod."""
    function, attributes = state
    (staticmethod if isinstance(made, staticmethod) else classmethod).__init__(made, function)
    vars(made).update(attributes)


def set_partial(made: functools.partial[Any], state: tuple[Any, ...]) -> None:
    """What a partial calls, and with what."""
    functools.partial.__setstate__(made, state)  # type: ignore[attr-defined]


def lru_cache(function: Callable[..., Any], maxsize: int | None, typed: bool) -> Any:
    """A cached function; its cache is empty."""
    return functools.lru_cache(maxsize, typed)(function)


MOST_COUNTED_CALLS = 100_000
"""A cache counts its hits and misses in C, one by one; beyond this many the counts stay behind."""


def set_lru_cache(made: Any, state: tuple[Any, ...]) -> None:
    """The attributes of a cached function, its entries, the oldest first, and its counts.

    All this is in C, and is brought about by calls, for which the function only gives what it is told to.
    """
    attributes, entries, hits, misses = state
    made.__dict__.update(attributes)
    function = made.__wrapped__
    if type(function) is not FunctionType:
        return
    code = function.__code__
    giving = (lambda *_, **__: None).__code__.replace(co_freevars=code.co_freevars)
    try:
        for args, kwargs, value in entries:
            function.__code__ = giving.replace(co_consts=(value,))
            made(*args, **kwargs)
            misses -= 1
            for _ in range(hits if hits <= MOST_COUNTED_CALLS else 0):
                made(*args, **kwargs)
            hits = 0
        # What raises is counted, and not kept.
        function.__code__ = _refusing().replace(co_freevars=code.co_freevars)
        for _ in range(misses if misses <= MOST_COUNTED_CALLS else 0):
            try:
                made(object())
            except LookupError:
                continue
    finally:
        function.__code__ = code


def _refusing() -> CodeType:
    def template(*_: Any, **__: Any) -> None:
        raise LookupError

    return template.__code__


# --- tracebacks


def traceback(rows: list[tuple[FrameType, int, int]]) -> TracebackType | None:
    """A traceback, from its entries: (frame, instruction, line), outermost first."""
    made = None
    for frame, instruction, line in reversed(rows):
        made = TracebackType(made, frame, instruction, line)
    return made


# --- exceptions


def set_exception(made: BaseException, state: tuple[Any, ...]) -> None:
    """What an exception holds. Its `__init__` is not called: it may want other arguments."""
    arguments, attributes, fields, links = state
    base = BaseException.__dict__
    base["args"].__set__(made, arguments)
    for name, value in (fields or {}).items():
        if value is not None:
            _set_field(made, name, value)
    _set_attributes(made, attributes)
    _link(made, links)


def _set_field(made: BaseException, name: str, value: Any) -> None:
    for cls in type(made).__mro__:
        descriptor = cls.__dict__.get(name)
        if descriptor is not None and not cls.__flags__ & (1 << 9):
            try:
                descriptor.__set__(made, value)
            except (AttributeError, TypeError):
                # It can only be read, and follows from the others.
                pass
            return


def _set_attributes(made: BaseException, attributes: Any) -> None:
    custom = _own_setstate(type(made))
    if custom is not None:
        if attributes is not None:
            custom(made, attributes)
        return
    slots = None
    if type(attributes) is tuple and len(attributes) == 2:
        attributes, slots = attributes
    if attributes:
        BaseException.__dict__["__dict__"].__get__(made).update(attributes)
    for name, value in (slots or {}).items():
        object.__setattr__(made, name, value)


def _own_setstate(cls: type) -> Any:
    for base in cls.__mro__:
        if "__setstate__" in base.__dict__:
            return None if base is BaseException else base.__dict__["__setstate__"]
    return None


def _link(made: BaseException, links: tuple[Any, ...]) -> None:
    base = BaseException.__dict__
    traceback, context, cause, suppress = links
    base["__traceback__"].__set__(made, traceback)
    base["__context__"].__set__(made, context)
    base["__cause__"].__set__(made, cause)
    base["__suppress_context__"].__set__(made, suppress)


def set_links(made: BaseException, state: tuple[Any, tuple[Any, ...]]) -> None:
    """The state of an exception that made itself, then what hangs on it."""
    attributes, links = state
    if attributes is not None:
        made.__setstate__(attributes)
    _link(made, links)

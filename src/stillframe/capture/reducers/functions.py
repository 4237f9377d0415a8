"""Functions and what they are made of: code, cells, methods, descriptors, wrappers.

A function travels by reference if it belongs to an installed package and its name leads back to it; else by value,
with the namespace of its module: that of a module by value is in the memo already, that of an installed module is
found through the module.
"""

from __future__ import annotations

import functools
import gc
import marshal
import sys
from opcode import opmap
from types import (
    BuiltinFunctionType,
    CellType,
    ClassMethodDescriptorType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)

from stillframe.capture import rebuild, rebuild_builtins
from stillframe.capture.modules import globals_of, goes_by_value, named
from stillframe.capture.pickler import CannotReduce, Pickler, Standin, reducer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@reducer(FunctionType)
def _reduce_function(pickler: Pickler, function: FunctionType) -> Any:
    module = function.__module__
    token = None
    if module in sys.modules and named(sys.modules[module], function.__qualname__) is function:
        if not goes_by_value(pickler, module):
            return NotImplemented
        token = None if pickler.options.whole_program else rebuild.token_of(function)
    namespace = globals_of(pickler, function.__globals__)
    annotations: Any = function.__annotations__
    if not annotations and sys.getrefcount(annotations) <= _REFERENCES_OF_ONE_FUNCTION:
        annotations = None
    state = (
        function.__defaults__,
        function.__kwdefaults__,
        annotations,
        module,
        function.__qualname__,
        function.__doc__,
        function.__dict__ or None,
        getattr(function, "__type_params__", None),
        _used_globals(pickler, function, namespace),
    )
    made = (function.__code__, namespace, function.__name__, function.__closure__, token)
    return rebuild.function, made, state, None, None, rebuild.set_function


_REFERENCES_OF_ONE_FUNCTION = 3
"""Its annotations are held by the function, the variable here and the argument: by nobody else (`functools.wraps`)."""


def _used_globals(pickler: Pickler, function: FunctionType, namespace: Any) -> dict[str, Any] | None:
    """The globals that the function may use, if its module does not travel with its state."""
    if pickler.options.whole_program or not isinstance(namespace, Standin) or namespace.make is not vars:
        return None
    have = function.__globals__
    done = pickler.state.seen.setdefault(("used", id(have)), set())
    used = {name: have[name] for name in _names(function.__code__) if name in have and name not in done}
    if "__name__" not in done:
        used |= {name: have[name] for name in ("__name__", "__package__", "__file__") if name in have}
        done.add("__name__")
    done.update(used)
    return used


_NAMING = {
    opmap[name]: 1 if name == "LOAD_GLOBAL" else 0
    for name in (
        "LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_NAME", "STORE_NAME", "DELETE_NAME",
        "LOAD_FROM_DICT_OR_GLOBALS",
    )
    if name in opmap
}  # fmt: skip
"""The instructions that mean a global by its name, or may: by how many bits their argument is shifted."""
_EXTENDED_ARG = opmap["EXTENDED_ARG"]


def _names(code: CodeType) -> set[str]:
    """The names of globals in the code. `co_names` alone has those of attributes, too."""
    names = set[str]()
    units = code.co_code
    operations, arguments = units[::2], units[1::2]
    for operation, shift in _NAMING.items():
        at = operations.find(operation)
        while at >= 0:
            argument, before, weight = arguments[at], at - 1, 8
            while before >= 0 and operations[before] == _EXTENDED_ARG:
                argument |= arguments[before] << weight
                before, weight = before - 1, weight + 8
            names.add(code.co_names[argument >> shift])
            at = operations.find(operation, at + 1)
    for const in code.co_consts:
        if isinstance(const, CodeType):
            names |= _names(const)
    return names


@reducer(CodeType)
def _reduce_code(_pickler: Pickler, code: CodeType) -> tuple[Any, ...]:
    try:
        return rebuild.code, (marshal.dumps(code),)
    except ValueError:
        # Someone has put other objects among its constants.
        return rebuild.code_with, (code.replace(co_consts=()), code.co_consts)


@reducer(CellType)
def _reduce_cell(_pickler: Pickler, cell: CellType) -> tuple[Any, ...]:
    try:
        contents = (cell.cell_contents,)
    except ValueError:
        return rebuild.cell, ()
    return rebuild.cell, (), contents, None, None, rebuild.set_cell


@reducer(MethodType)
def _reduce_method(_pickler: Pickler, method: MethodType) -> tuple[Any, ...]:
    return rebuild.method, (method.__func__, method.__self__)


@reducer(BuiltinFunctionType)
def _reduce_builtin(_pickler: Pickler, function: Any) -> Any:
    owner: Any = function.__self__
    if owner is None or isinstance(owner, ModuleType):
        module = owner.__name__ if isinstance(owner, ModuleType) else function.__module__
        found = named(sys.modules.get(module), function.__qualname__)
        return NotImplemented if found is function else _reduce_hidden_builtin(function, module)
    name = function.__name__
    if isinstance(owner, type) and owner.__dict__.get(name) is function:
        return rebuild.class_attribute, (owner, name)
    cls = _definer(owner, function)
    if cls is None:
        return NotImplemented
    if cls.__module__ == "_sre" and cls.__name__ == "SRE_Scanner":  # which has no name to be found by
        return rebuild_builtins.bound_search, (owner, name)
    return rebuild.bound, (owner, cls, name)


def _reduce_hidden_builtin(function: Any, module: str) -> Any:
    """A built-in function whose own name does not lead to it: its module may have it under another."""
    for name, value in list(vars(sys.modules[module]).items()) if module in sys.modules else ():
        if value is function:
            return rebuild.by_name, (module, name)
    return NotImplemented


def _definer(owner: Any, function: Any) -> type | None:
    """The class whose dict has the descriptor from which `function` came."""
    name = function.__name__
    for cls in [*type(owner).__mro__, *(owner.__mro__ if isinstance(owner, type) else ())]:
        descriptor = cls.__dict__.get(name)
        if isinstance(descriptor, MethodDescriptorType | ClassMethodDescriptorType):
            found = descriptor.__get__(owner, type(owner) if not isinstance(owner, type) else owner)
            if found == function:
                return cls
    return None


@reducer(MethodWrapperType)
def _reduce_method_wrapper(_pickler: Pickler, wrapper: Any) -> tuple[Any, ...]:
    return rebuild.bound, (wrapper.__self__, wrapper.__objclass__, wrapper.__name__)


@reducer(
    MethodDescriptorType,
    ClassMethodDescriptorType,
    WrapperDescriptorType,
    GetSetDescriptorType,
    MemberDescriptorType,
)
def _reduce_descriptor(_pickler: Pickler, descriptor: Any) -> tuple[Any, ...]:
    cls, name = descriptor.__objclass__, descriptor.__name__
    if cls.__dict__.get(name) is descriptor:
        return rebuild.class_attribute, (cls, name)
    for mangled, value in cls.__dict__.items():
        if value is descriptor:
            return rebuild.class_attribute, (cls, mangled)
    raise CannotReduce(descriptor, f"its class {cls.__qualname__} has it no more", "Keep it in its class.")


@reducer(property, subclasses=True)
def _reduce_property(_pickler: Pickler, made: property) -> tuple[Any, ...]:
    own_doc = made.__doc__ if made.__doc__ != getattr(made.fget, "__doc__", None) else None
    state = (made.fget, made.fset, made.fdel, own_doc, getattr(made, "__dict__", None))
    return rebuild.bare, (type(made), property), state, None, None, rebuild.set_property


@reducer(staticmethod, classmethod, subclasses=True)
def _reduce_wrapped_method(_pickler: Pickler, made: Any) -> tuple[Any, ...]:
    base = staticmethod if isinstance(made, staticmethod) else classmethod
    state = (made.__func__, made.__dict__)
    return rebuild.bare, (type(made), base), state, None, None, rebuild.set_wrapped_method


@reducer(functools.partial, subclasses=True)
def _reduce_partial(_pickler: Pickler, made: Any) -> tuple[Any, ...]:
    state = (made.func, made.args, made.keywords, made.__dict__ or None)
    return rebuild.bare, (type(made), functools.partial, made.func), state, None, None, rebuild.set_partial


@reducer(functools._lru_cache_wrapper)
def _reduce_lru_cache(pickler: Pickler, made: Any) -> Any:
    module, qualname = getattr(made, "__module__", None), getattr(made, "__qualname__", "")
    if (
        isinstance(module, str)
        and not goes_by_value(pickler, module)
        and named(sys.modules[module], qualname) is made
    ):
        return rebuild.by_name, (module, qualname)
    parameters = made.cache_parameters()
    arguments = (made.__wrapped__, parameters["maxsize"], parameters["typed"])
    info = made.cache_info()
    # A call that is under way has been counted, and will be once more when it ends.
    under_way = pickler.state.seen.get("cached calls", {}).get(id(made), 0)
    state = (made.__dict__, _cached(made, parameters["typed"]), info.hits, info.misses - under_way)
    return rebuild.lru_cache, arguments, state, None, None, rebuild.set_lru_cache


def _cached(made: Any, typed: bool) -> list[tuple[tuple[Any, ...], dict[str, Any], Any]]:
    """The entries of a cache, the oldest first: arguments and value. Its keys are the arguments in a row, a mark
    before those with names, and all types at the end; or a single number or text as it is."""
    held = gc.get_referents(made)
    mark = next((found for found in held if type(found) is object), None)
    own_dict = made.__dict__
    table = next((found for found in held if type(found) is dict and found is not own_dict), {})
    if (
        held
        and type(held[0]) is type
        and len(held) > 3
        and getattr(held[3], "__name__", "") == "_lru_list_elem"
    ):
        pairs = []
        at = 1
        while held[at + 2] is held[3]:
            pairs.append((held[at], held[at + 1]))
            at += 3
    else:
        pairs = list(table.items())
    entries: list[tuple[tuple[Any, ...], dict[str, Any], Any]] = []
    for key, value in pairs:
        row = list(key) if type(key) is tuple else [key]
        count = next((index for index, found in enumerate(row) if found is mark), None)
        if typed and type(key) is tuple:
            named_count = 0 if count is None else (len(row) - count - 1 - count) // 3
            row = row[: len(row) // 2] if count is None else row[: count + 1 + 2 * named_count]
        if count is None:
            entries.append((tuple(row), {}, value))
        else:
            names = row[count + 1 :]
            entries.append((tuple(row[:count]), dict(zip(names[::2], names[1::2], strict=True)), value))
    return entries

"""Functions written in C that stand between two Python frames: which of them a capture can see through.

A native function keeps what it is about in C, where nobody can read it. It can be seen through when all
that it still has to do with the callee's result is known: nothing (`functools.partial`), or one of the
steps of `steps`. leads_to() and its like answer one question: would this callable, called so, run that
Python frame, and what is done with what comes back? They answer with a list of steps, the outermost first,
or None: not this way.

Invariants:
  * A step says all that is left to do. Where a part of it lies in C only, the answer is None.
  * Nothing of the user's is called, not even `__getattribute__`: types are searched, not asked.
"""

from __future__ import annotations

import builtins
import contextvars
import functools
import itertools
import operator
import sys
import types
from collections.abc import Callable, Iterable

from stillframe.frames._frames import NULL
from stillframe.frames.inner import (
    WRAPPERS,
    Inner,
    Step,
    Steps,
    Unknown,
    diversions,
    in_front,
    in_types,
    is_a,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LRU_WRAPPER = functools._lru_cache_wrapper
GENERATORS = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)
_GENERATOR_METHODS = ("send", "throw", "close", "__next__")
_RESULT_OF: dict[int, tuple[str, ...]] = {
    id(fn): names
    for fn, names in {
        len: ("__len__",),
        bool: ("__bool__", "__len__"),
        str: ("__str__", "__repr__"),
        repr: ("__repr__",),
        ascii: ("__repr__",),
        format: ("__format__",),
        hash: ("__hash__",),
        int: ("__int__", "__index__", "__trunc__"),
        float: ("__float__", "__index__"),
        complex: ("__complex__", "__float__", "__index__"),
        bytes: ("__bytes__",),
        iter: ("__iter__",),
        reversed: ("__reversed__",),
        abs: ("__abs__",),
        round: ("__round__",),
        dir: ("__dir__",),
        bin: ("__index__",),
        hex: ("__index__",),
        oct: ("__index__",),
        operator.index: ("__index__",),
        operator.length_hint: ("__len__", "__length_hint__"),
    }.items()
}
"""By id: builtins that pass one argument to one of its methods, and give back what that gives, checked."""
_MATH = {"trunc": ("__trunc__",), "floor": ("__floor__",), "ceil": ("__ceil__",)}
"""The same by name, of a module that is imported if one of them is under way."""


NATIVES: dict[type, Callable[[Any, list[Any], dict[str, Any], Inner], Steps]] = {}
"""By the type of a callable, or of what it is a method of, which the rule gets: of those who know more
(`iterators`, asyncio)."""


def _as_steps(found: Any) -> Steps:
    steps: Steps = found
    return steps


def is_method_of(owner: Any, names: Iterable[str], inner: Inner) -> bool:
    """Whether the type of `owner` has the frame's function as one of these methods."""
    return owner is not NULL and any(
        leads_to(method, [owner], {}, inner) == [] for name in names for method in in_types(type(owner), name)
    )


def leads_to(fn: Any, args: list[Any], kwargs: dict[str, Any], inner: Inner) -> Steps:
    """The steps between a call `fn(*args, **kwargs)` and the frame."""
    kind = type(fn)
    stand_ins = diversions()
    if stand_ins is not None and inner.code.co_filename in stand_ins.FILES and stand_ins.diverts(fn, inner):
        return []
    if kind in NATIVES:
        return _as_steps(NATIVES[kind](fn, args, kwargs, inner))
    if kind is types.FunctionType:
        return [] if fn.__code__ is inner.code and inner.generator is None else None
    if kind is types.MethodType:
        return leads_to(fn.__func__, in_front([fn.__self__], args), kwargs, inner)
    if kind in (classmethod, staticmethod):
        return leads_to(fn.__func__, args, kwargs, inner)
    if kind is functools.partial:
        return leads_to(fn.func, in_front(fn.args, args), {**fn.keywords, **kwargs}, inner)
    if kind is LRU_WRAPPER:
        steps = leads_to(fn.__wrapped__, args, kwargs, inner)
        return None if steps is None or type(args) is Unknown else [("cache", fn, args, kwargs), *steps]
    if is_a(fn, type):
        return _class_leads_to(fn, args, kwargs, inner)
    if kind in (
        types.BuiltinFunctionType,
        types.MethodDescriptorType,
        *WRAPPERS,
        types.ClassMethodDescriptorType,
    ):
        return _builtin_leads_to(fn, args, kwargs, inner)
    if kind is operator.attrgetter and args:
        names = fn.__reduce__()[1]
        is_one = len(names) == 1 and "." not in names[0]
        return attribute_leads_to(args[0], names[0], inner) if is_one else None
    if kind is operator.methodcaller and args:
        _, (name, *more) = fn.__reduce__()[:2]
        methods = in_types(type(args[0]), name)
        return next(
            (
                steps
                for method in methods
                if (steps := leads_to(method, [*args, *more], {}, inner)) is not None
            ),
            None,
        )
    for call in in_types(kind, "__call__"):
        if type(call) is types.FunctionType:
            return leads_to(call, in_front([fn], args), kwargs, inner)
    return None


def _class_leads_to(cls: type, args: list[Any], kwargs: dict[str, Any], inner: Inner) -> Steps:
    for call in in_types(type(cls), "__call__"):
        if type(call) is types.FunctionType:
            steps = leads_to(call, in_front([cls], args), kwargs, inner)
            if steps is not None:
                return steps
        break
    found = _result_leads_to(cls, args, inner)
    if found is not None:
        return found
    return instance_leads_to(cls, args, kwargs, inner)


def instance_leads_to(cls: type, args: list[Any], kwargs: dict[str, Any], inner: Inner) -> Steps:
    """As `type.__call__`: `__new__`, then `__init__`."""
    if is_a(cls, type) and issubclass(cls, type):
        steps = _type_new_leads_to(args, kwargs, inner)
        if steps is not None:
            return [("new", cls, args, kwargs), *steps]
    for new in in_types(cls, "__new__"):
        if leads_to(new, in_front([cls], args), kwargs, inner) == []:
            return None if type(args) is Unknown else [("new", cls, args, kwargs)]
    for init in in_types(cls, "__init__"):
        steps = leads_to(init, in_front([NULL], args), kwargs, inner)
        if steps is not None:
            made = inner.argument(0)
            return None if made is NULL or not is_a(made, cls) else [("init", made), *steps]
    return None


def _result_leads_to(fn: Any, args: list[Any], inner: Inner) -> Steps:
    if len(args) < 1:
        return None
    names = _RESULT_OF.get(id(fn), ())
    if not names and getattr(fn, "__self__", None) is sys.modules.get("math", NULL):
        names = _MATH.get(fn.__name__, ())
    for name in names:
        if is_method_of(args[0], [name], inner):
            return [("result_of", fn, name, args[1:])]
    return None


def _builtin_leads_to(fn: Any, args: list[Any], kwargs: dict[str, Any], inner: Inner) -> Steps:
    name = fn.__name__
    owner = getattr(fn, "__self__", NULL)
    if type(fn) in (types.MethodDescriptorType, types.WrapperDescriptorType):
        owner, args = (args[0], type(args)(args[1:])) if args else (NULL, args)
    if owner is not NULL and type(owner) in NATIVES:
        return _as_steps(NATIVES[type(owner)](owner, args, kwargs, inner))
    if owner is not NULL and type(owner) in GENERATORS and name in _GENERATOR_METHODS:
        return (
            [("close",)] if name == "close" and inner.generator is owner else generator_leads_to(owner, inner)
        )
    if type(owner) is contextvars.Context and name == "run" and args:
        steps = leads_to(args[0], type(args)(args[1:]), kwargs, inner)
        return None if steps is None else [("context", owner), *steps]
    if type(fn) in WRAPPERS or fn in (object.__getattribute__, type.__getattribute__):
        return _slot_leads_to(owner, name, args, kwargs, inner)
    if fn is type.__new__ or (name == "__new__" and owner is type):
        return _type_new_leads_to(args, kwargs, inner)
    handler = BUILTINS.get(id(fn))
    if handler is not None and type(args) is not Unknown:
        return _as_steps(handler(args, kwargs, inner))
    return _result_leads_to(fn, args, inner)


def _type_new_leads_to(args: list[Any], kwargs: dict[str, Any], inner: Inner) -> Steps:
    """`type.__new__(meta, name, bases, namespace, **kwargs)`: the last that it does is to call
    `__set_name__` of what is in the namespace, and `__init_subclass__`."""
    if inner.code.co_name == "__init_subclass__":
        made = inner.argument(0)
        return (
            [("give", made)]
            if made is not NULL and is_a(made, type) and _inherits_hook(made, inner)
            else None
        )
    if inner.code.co_name == "__set_name__":
        made, name = inner.argument(1), inner.argument(2)
        if is_a(made, type) and type(name) is str:
            # In the order of the namespace that the class was made from: the class itself may have changed.
            given = next((value for value in reversed(args) if is_a(value, dict)), None)
            names = list(type.__dict__["__dict__"].__get__(made)) if given is None else list(dict.keys(given))
            if name not in names:
                return None
            rest = {key: value for key, value in kwargs.items() if key != "metaclass"}
            return [("named", made, names[names.index(name) + 1 :], rest)]
    return None


def _inherits_hook(cls: type, inner: Inner) -> bool:
    hooks = list(in_types(cls, "__init_subclass__"))
    return any(leads_to(hook, [cls], {}, inner) == [] for hook in hooks)


def _slot_leads_to(owner: Any, name: str, args: list[Any], kwargs: dict[str, Any], inner: Inner) -> Steps:
    """A slot of a type, called by its Python name: `super().__setattr__(...)`, `type.__call__(cls)`."""
    if name == "__call__" and is_a(owner, type):
        return instance_leads_to(owner, args, kwargs, inner)
    if name == "__next__" and not args:
        return _as_steps(BUILTINS[id(next)]([owner], {}, inner))
    if name == "__getattribute__" and len(args) == 1:
        # Without __getattr__: the slot of `object` does not know it.
        return attribute_leads_to(owner, args[0], inner, hooks=False)
    if name in ("__setattr__", "__delattr__") and args:
        return [("none",)] if sets_attribute(owner, args[0], inner) else None
    return None


def generator_leads_to(generator: Any, inner: Inner) -> Steps:
    """The steps between `next(generator)`, or another of its methods, and the frame."""
    return [("next",)] if inner.generator is generator else None


# ---- Attributes ---------------------------------------------------------------------------------------


def attribute_leads_to(owner: Any, name: str, inner: Inner, hooks: bool = True) -> Steps:
    """The steps between reading `owner.name` and the frame: a property, a descriptor, `__getattr__`."""
    steps = _attribute_leads_to(owner, name, inner, hooks)
    return None if steps is None else [("name_error", owner, name), *steps]


def _attribute_leads_to(owner: Any, name: str, inner: Inner, hooks: bool) -> Steps:
    kind = type(owner)
    if hooks:
        if is_method_of(owner, ["__getattr__"], inner):
            return []
        if is_method_of(owner, ["__getattribute__"], inner):
            return [("or_getattr", owner, name)]
    fallback: list[Step] = []
    if hooks and any(True for _ in in_types(kind, "__getattr__")):
        fallback = [("or_getattr", owner, name)]
    if kind is types.ModuleType or is_a(owner, types.ModuleType):
        getter = owner.__dict__.get("__getattr__")
        if getter is not None and leads_to(getter, [name], {}, inner) == []:
            return []
    places = [in_types(kind, name)]
    if is_a(owner, type):
        places.append(in_types(owner, name))
    if kind is super:
        return super_leads_to(owner.__self__, name, inner)
    for found in itertools.chain.from_iterable(places):
        if _reads_through(found, inner):
            return fallback
    return None


def super_leads_to(owner: Any, name: str, inner: Inner) -> Steps:
    """As attribute_leads_to, for `super().name`: no `__getattr__` is asked."""
    places = in_types(owner if is_a(owner, type) else type(owner), name)
    return [] if any(_reads_through(found, inner) for found in places) else None


def _reads_through(descriptor: Any, inner: Inner) -> bool:
    if is_a(descriptor, property):
        return descriptor.fget is not None and leads_to(descriptor.fget, [], {}, inner) == []
    return is_method_of(descriptor, ["__get__"], inner)


def sets_attribute(owner: Any, name: str, inner: Inner) -> bool:
    """Whether the frame runs because `owner.name` is assigned or deleted."""
    if is_method_of(owner, ["__setattr__", "__delattr__"], inner):
        return True
    for found in in_types(type(owner), name):
        if is_a(found, property):
            if any(f is not None and leads_to(f, [], {}, inner) == [] for f in (found.fset, found.fdel)):
                return True
        elif is_method_of(found, ["__set__", "__delete__"], inner):
            return True
    return False


# ---- Builtin functions --------------------------------------------------------------------------------


def _getattr_leads_to(args: list[Any], kwargs: dict[str, Any], inner: Inner) -> Steps:
    steps = attribute_leads_to(args[0], args[1], inner) if len(args) > 1 else None
    if steps is None:
        return None
    return [("default", AttributeError, args[2]), *steps] if len(args) == 3 else steps


def _hasattr_leads_to(args: list[Any], kwargs: dict[str, Any], inner: Inner) -> Steps:
    steps = attribute_leads_to(args[0], args[1], inner) if len(args) == 2 else None
    return None if steps is None else [("has",), *steps]


def _setattr_leads_to(args: list[Any], kwargs: dict[str, Any], inner: Inner) -> Steps:
    return [("none",)] if len(args) > 1 and sets_attribute(args[0], args[1], inner) else None


def _run_leads_to(source: Any, inner: Inner) -> bool:
    return inner.code is source or (is_a(source, str, bytes) and inner.code.co_name == "<module>")


def _exec_leads_to(args: list[Any], kwargs: dict[str, Any], inner: Inner) -> Steps:
    return [("none",)] if args and _run_leads_to(args[0], inner) else None


def _eval_leads_to(args: list[Any], kwargs: dict[str, Any], inner: Inner) -> Steps:
    return [] if args and _run_leads_to(args[0], inner) else None


def _instance_check_leads_to(args: list[Any], kwargs: dict[str, Any], inner: Inner) -> Steps:
    names = ("__instancecheck__", "__subclasscheck__")
    return [("result_of", bool, None, [])] if len(args) == 2 and is_method_of(args[1], names, inner) else None


def _import_leads_to(args: list[Any], kwargs: dict[str, Any], inner: Inner) -> Steps:
    # Once the module is there, to import it again gives what the first import would have given.
    return (
        [("call", builtins.__import__, args, kwargs)]
        if inner.code.co_filename.startswith("<frozen importlib")
        else None
    )


def _operator_leads_to(word: str, symbol: str) -> Any:
    def rule(args: list[Any], kwargs: dict[str, Any], inner: Inner) -> Steps:
        return binary_leads_to(word, symbol, args[0], args[1], inner) if len(args) == 2 else None

    return rule


def binary_leads_to(
    word: str, symbol: str, left: Any, right: Any, inner: Inner, in_place: bool = False
) -> Steps:
    """The steps between `left + right` and the frame: the method of one side, or the other's."""
    if in_place and is_method_of(left, [f"__i{word}__"], inner):
        return [("operator", word, symbol, left, right, "in place")]
    is_reflected = is_method_of(right, [f"__r{word}__"], inner)
    if is_method_of(left, [f"__{word}__"], inner) and not (is_reflected and inner.argument(0) is not left):
        return [("operator", word, symbol, left, right, "left")]
    return [("operator", word, symbol, left, right, "right")] if is_reflected else None


def _print_leads_to(args: list[Any], kwargs: dict[str, Any], inner: Inner) -> Steps:
    steps = _result_leads_to(str, args, inner) if len(args) == 1 else None
    return None if steps is None else [("print", kwargs), *steps]


def _build_class_leads_to(args: list[Any], kwargs: dict[str, Any], inner: Inner) -> Steps:
    if len(args) < 2:
        return None
    body, name, *bases = args
    if body.__code__ is inner.code:
        return [("class_body", name, bases, kwargs, inner.ref.locals)]
    meta = kwargs.get("metaclass", type(bases[0]) if bases else type)
    if not is_a(meta, type):
        return leads_to(meta, [], {}, inner)
    namespace = [inner.argument(index) for index in (1, 2, 3)]
    if NULL in namespace or (len(namespace) == 3 and type(namespace[1]) is not tuple):
        namespace = [name, tuple(bases), NULL]
    rest = {key: value for key, value in kwargs.items() if key != "metaclass"}
    steps = leads_to(meta, namespace, rest, inner)
    if steps is None or namespace[2] is not NULL or not steps or steps[0][0] != "new":
        return steps
    # Without the namespace __init__ cannot be called after __new__; that of `type` has nothing to do.
    return steps[1:] if meta.__init__ is type.__init__ else None


BUILTINS: dict[int, Any] = {
    id(fn): handler
    for fn, handler in {
        getattr: _getattr_leads_to,
        hasattr: _hasattr_leads_to,
        setattr: _setattr_leads_to,
        delattr: _setattr_leads_to,
        exec: _exec_leads_to,
        eval: _eval_leads_to,
        isinstance: _instance_check_leads_to,
        issubclass: _instance_check_leads_to,
        builtins.__import__: _import_leads_to,
        print: _print_leads_to,
        divmod: _operator_leads_to("divmod", "divmod()"),
        pow: _operator_leads_to("pow", "** or pow()"),
        **{
            getattr(operator, name): _operator_leads_to(word, symbol)
            for name, word, symbol in (
                ("add", "add", "+"),
                ("and_", "and", "&"),
                ("floordiv", "floordiv", "//"),
                ("lshift", "lshift", "<<"),
                ("matmul", "matmul", "@"),
                ("mod", "mod", "%"),
                ("mul", "mul", "*"),
                ("or_", "or", "|"),
                ("pow", "pow", "** or pow()"),
                ("rshift", "rshift", ">>"),
                ("sub", "sub", "-"),
                ("truediv", "truediv", "/"),
                ("xor", "xor", "^"),
            )
        },
        operator.call: lambda args, kwargs, inner: leads_to(args[0], args[1:], kwargs, inner),
        builtins.__build_class__: _build_class_leads_to,
    }.items()
}

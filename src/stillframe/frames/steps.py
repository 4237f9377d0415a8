"""What a native function still has to do when the Python function that it called has come back.

Each step turns the outcome of the callee into the outcome of the native function. Where that takes another
call into Python (`__init__` after `__new__`, the reflected operator after NotImplemented), the step answers
with an Again: the call to make, and the steps that are left behind it.

Invariant: a step does what CPython's C does at that place, its checks and their messages too.
"""

from __future__ import annotations

import gc
import types
from collections.abc import Callable

from stillframe.frames import _frames
from stillframe.frames._frames import NULL
from stillframe.frames.inner import Step, in_types, is_a
from stillframe.frames.landing import RAISED, RETURNED, YIELDED, Outcome, answering, is_stop, raised
from stillframe.frames.sites import COMPARISONS, SWAPPED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple
else:
    from stillframe.light import NamedTuple


class Again(NamedTuple):
    """A call that is still to be made, and the steps behind it, the outermost first."""

    fn: Any
    args: list[Any]
    kwargs: dict[str, Any]
    steps: list[Step]


def checked(fn: Any, *args: Any) -> Outcome:
    """The outcome of a builtin that runs no user code."""
    try:
        return RETURNED, fn(*args)
    except Exception as error:  # noqa: BLE001  (what the builtin raises is the outcome)
        error.__traceback__ = None
        return RAISED, error


def _init(outcome: Outcome, made: Any) -> Outcome:
    if outcome[1] is not None:
        return raised(TypeError(f"__init__() should return None, not '{type(outcome[1]).__name__}'"))
    return RETURNED, made


def _new(outcome: Outcome, cls: type, args: list[Any], kwargs: dict[str, Any]) -> Outcome | Again:
    made = outcome[1]
    if not is_a(made, cls):
        return outcome
    return Again(type(made).__init__, [made, *args], kwargs, [("init", made)])


def _next(outcome: Outcome) -> Outcome:
    if outcome[0] == YIELDED:
        return RETURNED, outcome[1]
    return raised(StopIteration(outcome[1]) if outcome[1] is not None else StopIteration())


def _close(outcome: Outcome) -> Outcome:
    if outcome[0] == YIELDED:
        return raised(RuntimeError("generator ignored GeneratorExit"))
    if outcome[0] == RAISED and not is_a(outcome[1], GeneratorExit, StopIteration):
        return outcome
    # 3.13 gives what the generator returned.
    return RETURNED, outcome[1] if outcome[0] == RETURNED and _frames.POINTS_AT_NEXT else None


def _default(outcome: Outcome, error: type[BaseException], value: Any) -> Outcome:
    return (RETURNED, value) if outcome[0] == RAISED and is_a(outcome[1], error) else outcome


def _has(outcome: Outcome) -> Outcome:
    if outcome[0] != RAISED:
        return RETURNED, True
    return (RETURNED, False) if is_a(outcome[1], AttributeError) else outcome


def _or_getattr(outcome: Outcome, owner: Any, name: str) -> Outcome | Again:
    if outcome[0] != RAISED or not is_a(outcome[1], AttributeError):
        return outcome
    for hook in in_types(type(owner), "__getattr__"):
        return Again(hook, [owner, name], {}, [])
    return outcome


def _or_global(outcome: Outcome, name: str, namespace: dict[str, Any]) -> Outcome:
    if outcome[0] != RAISED or not is_a(outcome[1], KeyError):
        return outcome
    for place in (namespace, vars(__import__("builtins"))):
        if name in place:
            return RETURNED, place[name]
    return raised(NameError(f"name {name!r} is not defined", name=name))


def _result_of(outcome: Outcome, fn: Any, name: str | None, more: list[Any]) -> Outcome:
    if name is None:
        return checked(fn, outcome[1])
    return checked(fn, answering(name, outcome[1]), *more)


def _overloads(left: Any, right: Any, word: str) -> bool:
    """Whether the reflected method was asked first: that of a subclass which has its own."""
    if type(right) is type(left) or not issubclass(type(right), type(left)):
        return False
    name = f"__r{word}__"
    return next(in_types(type(right), name), NULL) is not next(in_types(type(left), name), NULL)


def _operator(outcome: Outcome, word: str, symbol: str, left: Any, right: Any, side: str) -> Outcome | Again:
    if outcome[1] is not NotImplemented:
        return outcome
    reflected_first = _overloads(left, right, word)
    plan = [("right", right, left, f"__r{word}__")] if reflected_first else []
    plan += [("left", left, right, f"__{word}__")]
    if not reflected_first and type(left) is not type(right):
        plan += [("right", right, left, f"__r{word}__")]
    sides = [entry[0] for entry in plan]
    for entry_side, owner, other, name in plan if side == "in place" else plan[sides.index(side) + 1 :]:
        for method in in_types(type(owner), name):
            return Again(method, [owner, other], {}, [("operator", word, symbol, left, right, entry_side)])
    text = f"unsupported operand type(s) for {symbol}: '{type(left).__name__}' and '{type(right).__name__}'"
    return raised(TypeError(text))


def _compare(outcome: Outcome, symbol: str, left: Any, right: Any, side: str) -> Outcome | Again:
    if outcome[1] is not NotImplemented:
        return outcome
    reflected_first = type(right) is not type(left) and issubclass(type(right), type(left))
    plan = [("left", left, right, COMPARISONS[symbol]), ("right", right, left, COMPARISONS[SWAPPED[symbol]])]
    if reflected_first:
        plan.reverse()
    sides = [entry[0] for entry in plan]
    for entry_side, owner, other, name in plan[sides.index(side) + 1 :]:
        for method in in_types(type(owner), name):
            return Again(method, [owner, other], {}, [("compare", symbol, left, right, entry_side)])
    if symbol in ("==", "!="):
        return RETURNED, (left is right) == (symbol == "==")
    names = f"'{type(left).__name__}' and '{type(right).__name__}'"
    return raised(TypeError(f"'{symbol}' not supported between instances of {names}"))


def _invert(outcome: Outcome) -> Outcome:
    return outcome if outcome[1] is NotImplemented else (RETURNED, not outcome[1])


def _giving(value: Any) -> types.CodeType:
    code = (lambda *_, **__: None).__code__
    return code.replace(co_consts=(value,))


def _raising(error: BaseException) -> types.CodeType:
    def template(*_: Any, **__: Any) -> Any:
        raise "error"  # type: ignore[misc]  # noqa: B016  (the constant is replaced)

    consts = tuple(error if const == "error" else const for const in template.__code__.co_consts)
    return template.__code__.replace(co_consts=consts)


def _cache(outcome: Outcome, wrapper: Any, args: list[Any], kwargs: dict[str, Any]) -> Outcome:
    """Have the cache keep the value, or count the failure: it asks its function, which for once only gives
    what came."""
    function = wrapper.__wrapped__
    if type(function) is types.FunctionType:
        code = function.__code__
        stand_in = _raising(outcome[1]) if outcome[0] == RAISED else _giving(outcome[1])
        traceback = outcome[1].__traceback__ if outcome[0] == RAISED else None
        function.__code__ = stand_in.replace(co_freevars=code.co_freevars)
        try:
            wrapper(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001  (the one that came, from the stand-in)
            error.__traceback__ = traceback
        finally:
            function.__code__ = code
    return outcome


def _filter(outcome: Outcome, iterator: Any, item: Any) -> Outcome | Again:
    return (RETURNED, item) if outcome[1] else Again(next, [iterator], {}, [])


def _filter_item(outcome: Outcome, iterator: Any, predicate: Any) -> Outcome | Again:
    if predicate is None or predicate is bool:
        return outcome if outcome[1] else Again(next, [iterator], {}, [])
    return Again(predicate, [outcome[1]], {}, [("filter", iterator, outcome[1])])


def _until(outcome: Outcome, sentinel: Any) -> Outcome:
    return raised(StopIteration()) if outcome[1] == sentinel else outcome


def _again_at_end(outcome: Outcome, iterator: Any) -> Outcome | Again:
    return Again(next, [iterator], {}, []) if is_stop(outcome) else outcome


def _zip_rest(outcome: Outcome, rest: list[Any]) -> Outcome | Again:
    return Again(_zip_row, [outcome[1], *rest], {}, [])


def _zip_row(first: Any, *rest: Any) -> tuple[Any, ...]:
    """What zip() does for one row behind its first iterator."""
    return (first, *[next(source) for source in rest])


def _class_body(
    outcome: Outcome, name: str, bases: list[Any], kwargs: dict[str, Any], namespace: dict[str, Any]
) -> Outcome | Again:
    resolved = types.resolve_bases(tuple(bases))
    rest = dict(kwargs)
    meta: Any = rest.pop("metaclass", type(resolved[0]) if resolved else type)
    if is_a(meta, type):
        # The most derived of the metaclasses, as __build_class__ found it before the body ran.
        meta = types._calculate_meta(meta, resolved)  # type: ignore[attr-defined]
    if list(resolved) != bases:
        namespace["__orig_bases__"] = tuple(bases)
    return Again(meta, [name, tuple(resolved), namespace], rest, [])


def _item_at(outcome: Outcome, iterator: Any, index: int) -> Outcome:
    if outcome[0] == RAISED:
        return raised(StopIteration()) if is_a(outcome[1], IndexError, StopIteration) else outcome
    iterator.__setstate__(index)
    return outcome


def _named(outcome: Outcome, cls: type, names: list[str], kwargs: dict[str, Any]) -> Outcome | Again:
    return Again(_finish_class, [cls, names, kwargs], {}, [])


def _finish_class(cls: type, names: list[str], kwargs: dict[str, Any]) -> type:
    """What `type.__new__` still does behind one `__set_name__`: those of `names`, and `__init_subclass__`."""
    for name in names:
        value = vars(cls).get(name)
        for hook in in_types(type(value), "__set_name__"):
            hook(value, cls, name)
            break
    super(cls, cls).__init_subclass__(**kwargs)  # type: ignore[arg-type]
    return cls


def _name_error(outcome: Outcome, owner: Any, name: str) -> Outcome:
    """As the interpreter tells an AttributeError what was looked for, where it does not know."""
    error = outcome[1]
    if outcome[0] == RAISED and is_a(error, AttributeError) and error.name is None and error.obj is None:
        error.name, error.obj = name, owner
    return outcome


def _store(outcome: Outcome, mapping: dict[Any, Any], key: Any) -> Outcome:
    mapping[key] = outcome[1]
    return outcome


def _async_step(outcome: Outcome, step: Any) -> Outcome:
    kind, value = outcome
    if kind == YIELDED and type(value).__name__ == "async_generator_wrapped_value":
        outcome = (RETURNED, gc.get_referents(value)[0])
    elif kind == YIELDED:
        return outcome
    elif kind == RETURNED:
        outcome = raised(StopAsyncIteration())
    _frames.set_async_step(step, 2)
    return outcome


def _as_send(outcome: Outcome) -> Outcome:
    if is_stop(outcome):
        return RETURNED, outcome[1].value
    return (YIELDED, outcome[1]) if outcome[0] == RETURNED else outcome


def _cause(outcome: Outcome, cause: Any) -> Outcome:
    if isinstance(cause, type) and issubclass(cause, BaseException):
        cause = cause()
    outcome[1].__cause__ = cause
    return outcome


def _leave_context(outcome: Outcome, context: Any) -> Outcome:
    _frames.leave_context(context)
    return outcome


_ALWAYS: dict[str, Callable[..., Outcome | Again]] = {
    "again_at_end": _again_at_end,
    "as_send": _as_send,
    "async_step": _async_step,
    "cache": _cache,
    "close": _close,
    "context": _leave_context,
    "default": _default,
    "has": _has,
    "item_at": _item_at,
    "name_error": _name_error,
    "next": _next,
    "or_getattr": _or_getattr,
    "or_global": _or_global,
}
"""Steps that have to do with exceptions too."""
_ON_RESULT: dict[str, Callable[..., Outcome | Again]] = {
    "call": lambda outcome, fn, args, kwargs: Again(fn, args, kwargs, []),
    "call_with": lambda outcome, fn: Again(fn, [outcome[1]], {}, []),
    "call_with_also": lambda outcome, fn, more: Again(fn, [outcome[1], *more], {}, []),
    "cause": _cause,
    "class_body": _class_body,
    "compare": _compare,
    "filter": _filter,
    "filter_item": _filter_item,
    "give": lambda outcome, thing: (RETURNED, thing),
    "init": _init,
    "invert": _invert,
    "named": _named,
    "new": _new,
    "none": lambda outcome: (RETURNED, None),
    "operator": _operator,
    "pair": lambda outcome, index: (RETURNED, (index, outcome[1])),
    "print": lambda outcome, kwargs: Again(print, [outcome[1]], kwargs, []),
    "result_of": _result_of,
    "store": _store,
    "star_call_with": lambda outcome, fn: Again(fn, list(outcome[1]), {}, []),
    "until": _until,
    "zip_rest": _zip_rest,
}
"""Steps that an exception passes through."""
_ENTER: dict[str, Callable[..., None]] = {"context": _frames.enter_context}
"""What is done before the callee goes on: what the native function had done before it called."""


def add_step(name: str, enter: Callable[..., None], leave: Callable[..., Outcome | Again]) -> None:
    """Make another step known: what is done before its callee goes on, and with what it comes to."""
    _ENTER[name] = enter
    _ALWAYS[name] = leave


def enter(step: Step) -> None:
    """Bring about what the native function had brought about before it called."""
    if step[0] in _ENTER:
        _ENTER[step[0]](*step[1:])


def leave(step: Step, outcome: Outcome) -> Outcome | Again:
    """The outcome of the native function, from that of what it had called."""
    always = _ALWAYS.get(step[0])
    if always is not None:
        if outcome[0] == RAISED and step[0] == "next":
            return outcome
        return always(outcome, *step[1:])
    if outcome[0] == RAISED:
        return outcome
    return _ON_RESULT[step[0]](outcome, *step[1:])

"""Which Python frame an instruction may have called, by way of which native functions.

The operands of an instruction under way are still on the stack when C was entered from it, so that what it
is doing can be told apart from what merely happened meanwhile: `d[key]` runs `__getitem__`, and its result
is what lands; or it runs `__hash__` of the key, and that result belongs to the dictionary.

Invariants:
  * steps_at() answers None where the frame is not one that the instruction calls for its result.
  * An operand is read only while the instruction still has it: a slot that was let go of may hold what is no object
    any more. Never under an interruption, and for instructions that let go early only what is known to be there.
"""

from __future__ import annotations

import builtins
import gc
import opcode
import sys
import types
from collections import defaultdict

from stillframe.frames._frames import NULL, FrameRef
from stillframe.frames.code import VERSION, CodeMap, Instruction
from stillframe.frames.inner import (
    Inner,
    Step,
    Steps,
    Unknown,
    attributes,
    in_types,
    is_a,
    name_of,
    type_name,
)
from stillframe.frames.instructions import CALLS, Landing
from stillframe.frames.iterators import advancing, iterator_leads_to
from stillframe.frames.natives import (
    attribute_leads_to,
    binary_leads_to,
    instance_leads_to,
    is_method_of,
    leads_to,
    sets_attribute,
    super_leads_to,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CONVERSIONS = {1: str, 2: repr, 3: ascii}
_SYMBOLS = opcode._nb_ops  # type: ignore[attr-defined]
_DUNDERS = {
    "TRUE_DIVIDE": "truediv",
    "FLOOR_DIVIDE": "floordiv",
    "MATRIX_MULTIPLY": "matmul",
    "MULTIPLY": "mul",
    "REMAINDER": "mod",
    "SUBTRACT": "sub",
    "POWER": "pow",
}
COMPARISONS = {"<": "__lt__", "<=": "__le__", "==": "__eq__", "!=": "__ne__", ">": "__gt__", ">=": "__ge__"}
SWAPPED = {"<": ">", "<=": ">=", "==": "==", "!=": "!=", ">": "<", ">=": "<="}


class Site:
    """A frame whose instruction is under way, entered C, and came back to Python in `inner`."""

    def __init__(self, ref: FrameRef, code: CodeMap, at: Instruction, landing: Landing, inner: Inner) -> None:
        self.ref, self.code, self.at, self.landing, self.inner = ref, code, at, landing, inner

    def operand(self, depth: int) -> Any:
        """The operand `depth` below the top of the stack, which is 1."""
        top = self.landing.operands
        return self.ref.stack(top - depth, top - depth + 1)[0]

    def operands(self) -> list[Any]:
        """What the instruction takes off, the deepest first."""
        # LOAD_GLOBAL puts a NULL below its result, and takes off nothing.
        return self.ref.stack(min(self.landing.keep, self.landing.operands), self.landing.operands)

    def has(self, depth: int, thing: Any) -> bool:
        """Whether the slot of the operand holds `thing`, which is alive: of any slot it may be asked."""
        return self.ref.holds(self.landing.operands - depth, thing)

    @property
    def has_let_go(self) -> bool:
        """Whether the instruction may have let go of operands before it made the call that is under way."""
        name = self.at.name
        if name == "COMPARE_OP":
            return VERSION >= (3, 13) and bool(self.at.argument & 16)
        if name == "FORMAT_VALUE":
            return bool(self.at.argument & 3)
        if name == "LOAD_SUPER_ATTR":
            return not self.has(3, super)
        return name in ("BEFORE_WITH", "BEFORE_ASYNC_WITH", "STORE_SUBSCR")

    @property
    def name(self) -> str:
        """The name that the instruction works with: an attribute's, a variable's, a module's."""
        shift = {"LOAD_SUPER_ATTR": 2}.get(
            self.at.name, 1 if self.at.name == "LOAD_ATTR" and VERSION >= (3, 12) else 0
        )
        return self.code.code.co_names[self.at.argument >> shift]


def called(site: Site) -> Any:
    """What a call instruction calls."""
    if site.at.name == "CALL_FUNCTION_EX":
        return site.operand((4 if VERSION >= (3, 13) else 3) - 1 + (site.at.argument & 1))
    keep = site.landing.keep
    [first] = site.ref.stack(keep, keep + 1)
    return site.ref.stack(keep + 1, keep + 2)[0] if VERSION < (3, 13) and first is NULL else first


def callee(site: Site) -> tuple[Any, list[Any], dict[str, Any]]:
    """What a call instruction calls, and with what."""
    if site.at.name == "CALL_FUNCTION_EX":
        has_kwargs = bool(site.at.argument & 1)
        return called(site), _spread(site, 1 + has_kwargs), dict(site.operand(1)) if has_kwargs else {}
    operands = site.operands()
    names: tuple[str, ...] = ()
    if site.at.name == "CALL_KW":
        names = operands.pop()
    elif VERSION < (3, 13):
        before = site.code.before(site.at)
        if before is not None and before.name == "KW_NAMES":
            names = site.code.code.co_consts[before.argument]
    if VERSION >= (3, 13):
        fn, own, *args = operands
        args = args if own is NULL else [own, *args]
    else:
        fn, *args = operands[1:] if operands[0] is NULL else operands
    split = len(args) - len(names)
    return fn, args[:split], dict(zip(names, args[split:], strict=True))


def _spread(site: Site, depth: int) -> list[Any]:
    """The positional arguments of a call with `*`, which lie `depth` below the top of the stack.

    What is no tuple was made one before the call, and may be gone since: it is read only where the code says that it
    is a tuple, or a variable has that very tuple.
    """
    behind = site.at.start
    if depth == 2:
        slot = site.landing.operands - 1
        behind = max(at for at, found in site.code.depths.items() if at < site.at.at and found == slot)
    maker = site.code.instructions[site.code.owner[behind - 1]]
    code = site.code.code
    if behind in site.code.targets:
        return Unknown()  # of an alternative, only one branch ends here
    if maker.name == "LOAD_CONST":
        return list(code.co_consts[maker.argument])
    is_tuple = maker.name in ("LIST_TO_TUPLE", "BUILD_TUPLE")
    is_tuple |= maker.name == "CALL_INTRINSIC_1" and maker.argument == 6
    if is_tuple:
        return list(site.operand(depth))
    variable = _variable(site, maker)
    return list(variable) if type(variable) is tuple and site.has(depth, variable) else Unknown()


def _variable(site: Site, maker: Instruction) -> Any:
    """What the variable, or the attribute of one, holds now that an instruction has loaded."""
    names, ref = site.code.code.co_names, site.ref
    if maker.name == "LOAD_ATTR":
        before = site.code.before(maker)
        owner = NULL if before is None else _variable(site, before)
        return attributes(owner).get(names[maker.argument >> (VERSION >= (3, 12))], NULL)
    if maker.name in ("LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_DEREF"):
        value = ref.fast[maker.argument]
        held = gc.get_referents(value) if maker.name == "LOAD_DEREF" else [value]
        return held[0] if held else NULL
    if maker.name == "LOAD_FAST_LOAD_FAST":
        return ref.fast[maker.argument & 15]
    if maker.name not in ("LOAD_NAME", "LOAD_GLOBAL"):
        return NULL
    name = names[maker.argument >> (maker.name == "LOAD_GLOBAL")]
    places = (place for place in (ref.locals, ref.globals) if type(place) is dict)
    return next((place[name] for place in places if name in place), NULL)


def steps_at(site: Site) -> Steps:
    """The steps between the instruction and the frame; None if the instruction does not call for it."""
    rule = _RULES.get(site.at.name)
    steps: Steps = rule(site) if rule is not None else None
    return steps


def native_at(site: Site) -> str:
    """What of C is running there, for people."""
    name = site.at.name
    if name in CALLS:
        fn = name_of(called(site))
        unpacked = _may_be_unpacked(site) if name == "CALL_FUNCTION_EX" else NULL
        return fn if unpacked is NULL else f"{fn}, or the unpacking of {type_name(type(unpacked))} for it,"
    if name in ("FOR_ITER", "SEND"):
        return f"{name} of {type_name(type(site.operand(1 if name == 'FOR_ITER' else 2)))}"
    if site.has_let_go:
        return name
    kinds = [type_name(type(operand)) for operand in site.operands() if operand is not NULL]
    return f"{name} of {', '.join(kinds)}" if kinds else name


def _may_be_unpacked(site: Site) -> Any:
    """What the frame belongs to, if it may be the `*arguments` of a call, which are only just made a tuple."""
    if type(callee(site)[1]) is not Unknown:
        return NULL
    if site.inner.generator is not None:
        return site.inner.generator
    iterable = site.inner.argument(0)
    return iterable if is_method_of(iterable, ["__iter__", "__next__", "__getitem__"], site.inner) else NULL


def unknown_at(ref: FrameRef, code: CodeMap, unit: int) -> str:
    """An instruction that nothing can be captured in, for people; if it unpacks something, with that."""
    at = code.instruction_at(unit)
    if at.name not in _UNPACKING:
        return f"the instruction {at.name}"
    depth = code.depth_at(at.at)
    return f"{at.name} of {type_name(type(ref.stack(depth - 1, depth)[0]))}"


_UNPACKING = ("DICT_MERGE", "DICT_UPDATE", "LIST_EXTEND", "SET_UPDATE", "UNPACK_EX", "UNPACK_SEQUENCE")
"""They have what they unpack on top of the stack, until they are through."""


def _call(site: Site) -> Steps:
    fn, args, kwargs = callee(site)
    steps = leads_to(fn, args, kwargs, site.inner)
    # A bound method that is called from C has put its self in the place of the callable, while it runs.
    if (
        steps is None
        and fn is site.inner.argument(0)
        and is_method_of(fn, [site.inner.code.co_name], site.inner)
    ):
        return []
    return steps


def _method_of_operand(depth: int, *names: str) -> Any:
    def rule(site: Site) -> Steps:
        return [] if is_method_of(site.operand(depth), names, site.inner) else None

    return rule


def _result_of_operand(depth: int, fn: Any, *names: str) -> Any:
    def rule(site: Site) -> Steps:
        for name in names:
            if is_method_of(site.operand(depth), [name], site.inner):
                return [("result_of", fn, name, [])]
        return None

    return rule


def _binary(site: Site) -> Steps:
    left, right = site.operand(2), site.operand(1)
    name, symbol = _SYMBOLS[site.at.argument]
    in_place = name.startswith("NB_INPLACE_")
    word = name.removeprefix("NB_").removeprefix("INPLACE_")
    word = _DUNDERS.get(word, word.lower())
    return binary_leads_to(word, symbol, left, right, site.inner, in_place)


def _compare(site: Site) -> Steps:
    if site.has_let_go:
        # The comparison may be over, and its operands gone; then its result is asked for its truth.
        for name in ("__bool__", "__len__"):
            if is_method_of(site.inner.argument(0), [name], site.inner):
                return [("result_of", bool, name, [])]
        asked = site.inner.argument(0)
        if asked is NULL or not (site.has(1, asked) or site.has(2, asked)):
            return None
    shift = {11: 0, 12: 4, 13: 5}[VERSION[1]]
    symbol = opcode.cmp_op[site.at.argument >> shift]
    left, right = site.operand(2), site.operand(1)
    inverted = symbol == "!=" and site.inner.code.co_name == "__eq__"
    names, swapped = [COMPARISONS[symbol]], [COMPARISONS[SWAPPED[symbol]]]
    if inverted:
        names = swapped = ["__eq__"]
    on_left, on_right = is_method_of(left, names, site.inner), is_method_of(right, swapped, site.inner)
    if on_left and on_right:
        on_left = site.inner.argument(0) is left
        if site.inner.argument(0) is NULL:
            return None
    if not on_left and not on_right:
        return None
    step = ("compare", symbol, left, right, "left" if on_left else "right")
    return [step, ("invert",)] if inverted else [step]


def _subscript(site: Site, depth: int = 2) -> Steps:
    owner = site.operand(depth)
    if is_method_of(owner, ["__getitem__", "__missing__"], site.inner):
        return []
    if is_a(owner, defaultdict) and leads_to(owner.default_factory, [], {}, site.inner) == []:
        key = site.operand(1) if depth == 2 else slice(site.operand(2), site.operand(1))
        return [("store", owner, key)]
    if is_a(owner, type):
        for found in in_types(owner, "__class_getitem__"):
            if leads_to(found, [owner], {}, site.inner) == []:
                return []
    return None


def _attribute(site: Site) -> Steps:
    return attribute_leads_to(site.operand(1), site.name, site.inner)


def _super_attribute(site: Site) -> Steps:
    if site.has_let_go:
        return None
    return super_leads_to(site.operand(1), site.name, site.inner)


def _set_attribute(site: Site) -> Steps:
    return [] if sets_attribute(site.operand(1), site.name, site.inner) else None


def _for_iter(site: Site) -> Steps:
    iterator = site.operand(1)
    steps = iterator_leads_to(iterator, site.inner)
    if steps is not None:
        return steps
    found = advancing(iterator, site.inner)
    if found is None:
        return None
    steps, further = found
    assert steps is not None
    if not further:
        return steps
    # The frame's own reference, and those of this function: a loop's own iterator is nobody else's.
    return [("advance", further), *steps] if sys.getrefcount(iterator) <= 3 else None


def _send(site: Site) -> Steps:
    receiver, inner = site.operand(2), site.inner
    if inner.generator is not None:
        if inner.generator is receiver:
            return []
        kind = type_name(type(receiver))
        if any(part is inner.generator for part in gc.get_referents(receiver)):
            if kind == "coroutine_wrapper":
                return []
            if kind in ("async_generator_asend", "async_generator_athrow"):
                return [("async_step", receiver)]
        return None
    names = ["send", "__next__"]
    if is_method_of(receiver, names, inner):
        return [("as_send",)]
    steps = iterator_leads_to(receiver, inner)
    return None if steps is None else [("as_send",), *steps]


def _with(site: Site) -> Steps:
    manager = site.inner.argument(0)
    if VERSION >= (3, 12) and not site.has(1, manager):
        return None  # the interpreter has let go of the manager already: only its methods may still have it
    if VERSION == (3, 11):
        manager = site.operand(1)
        bound = type(manager) in (types.MethodType, types.BuiltinMethodType, types.MethodWrapperType)
        manager = manager.__self__ if bound else manager
    names = ["__enter__"] if site.at.name == "BEFORE_WITH" else ["__aenter__"]
    return [] if is_method_of(manager, names, site.inner) else None


def _with_except(site: Site) -> Steps:
    return leads_to(site.operand(4), [], {}, site.inner)


def _format(site: Site) -> Steps:
    has_spec = site.at.name == "FORMAT_WITH_SPEC" or (
        site.at.name == "FORMAT_VALUE" and bool(site.at.argument & 4)
    )
    spec = site.operand(1) if has_spec else ""
    conversion = site.at.argument & 3 if site.at.name in ("FORMAT_VALUE", "CONVERT_VALUE") else 0
    value = site.operand(1 + has_spec) if not site.has_let_go else site.inner.argument(0)
    if site.has_let_go and is_a(value, str) and is_method_of(value, ["__format__"], site.inner):
        # What the value was converted to is formatted by a method of its own; the value is gone.
        return [("result_of", format, "__format__", [])]
    if conversion:
        names = ["__str__", "__repr__"] if conversion == 1 else ["__repr__"]
        for name in names:
            if is_method_of(value, [name], site.inner):
                step: Step = ("result_of", _CONVERSIONS[conversion], name, [])
                is_formatted = site.at.name == "FORMAT_VALUE"
                return [("call_with_also", format, [spec]), step] if is_formatted else [step]
        return None
    for fn, name in ((format, "__format__"), (str, "__str__"), (str, "__repr__")):
        if is_method_of(value, [name], site.inner):
            return [("result_of", fn, name, [])]
    return None


def _import(site: Site) -> Steps:
    level, names = site.operand(2), site.operand(1)
    args = [site.name, site.ref.globals, site.ref.locals, names, level]
    return leads_to(builtins.__import__, args, {}, site.inner)


def _load_name(site: Site) -> Steps:
    if not is_method_of(site.ref.locals, ["__getitem__", "__missing__"], site.inner):
        return None
    return [("or_global", site.name, site.ref.globals)]


def _namespace_method(*names: str) -> Any:
    def rule(site: Site) -> Steps:
        return [] if is_method_of(site.ref.locals, names, site.inner) else None

    return rule


def _intrinsic(site: Site) -> Steps:
    if site.at.argument == 1:
        steps = leads_to(sys.displayhook, [], {}, site.inner)
        return None if steps is None else [("none",), *steps]
    return [] if is_method_of(site.operand(1), ["__pos__"], site.inner) else None


def _raise(site: Site) -> Steps:
    error = site.operand(site.at.argument)
    steps = instance_leads_to(error, [], {}, site.inner) if is_a(error, type) else None
    if steps is None:
        return None
    return [("cause", site.operand(1)), *steps] if site.at.argument == 2 else steps


_truth = _result_of_operand(1, bool, "__bool__", "__len__")
_RULES: dict[str, Any] = {
    **dict.fromkeys(("CALL", "CALL_KW", "CALL_FUNCTION_EX"), _call),
    **dict.fromkeys(("FORMAT_VALUE", "FORMAT_SIMPLE", "FORMAT_WITH_SPEC", "CONVERT_VALUE"), _format),
    **dict.fromkeys(("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM"), _attribute),
    **dict.fromkeys(("STORE_ATTR", "DELETE_ATTR"), _set_attribute),
    **dict.fromkeys(("TO_BOOL", "UNARY_NOT", "JUMP_IF_FALSE_OR_POP", "JUMP_IF_TRUE_OR_POP"), _truth),
    **{
        f"POP_JUMP{way}_IF_{sense}": _truth
        for way in ("", "_FORWARD", "_BACKWARD")
        for sense in ("TRUE", "FALSE")
    },
    "BEFORE_ASYNC_WITH": _with,
    "BEFORE_WITH": _with,
    "BINARY_OP": _binary,
    "BINARY_SLICE": lambda site: _subscript(site, 3),
    "BINARY_SUBSCR": _subscript,
    "CALL_INTRINSIC_1": _intrinsic,
    "COMPARE_OP": _compare,
    "CONTAINS_OP": _method_of_operand(1, "__contains__"),
    "DELETE_NAME": _namespace_method("__delitem__"),
    "DELETE_SUBSCR": _method_of_operand(2, "__delitem__"),
    "FOR_ITER": _for_iter,
    "GET_AITER": _method_of_operand(1, "__aiter__"),
    "GET_ANEXT": _method_of_operand(1, "__anext__"),
    "GET_AWAITABLE": _method_of_operand(1, "__await__"),
    "GET_ITER": _result_of_operand(1, iter, "__iter__"),
    "GET_YIELD_FROM_ITER": _result_of_operand(1, iter, "__iter__"),
    "IMPORT_NAME": _import,
    "LOAD_NAME": _load_name,
    "LOAD_SUPER_ATTR": _super_attribute,
    "PRINT_EXPR": lambda site: leads_to(sys.displayhook, [], {}, site.inner),
    "RAISE_VARARGS": _raise,
    "SEND": _send,
    "STORE_NAME": _namespace_method("__setitem__"),
    "STORE_SLICE": _method_of_operand(3, "__setitem__"),
    "STORE_SUBSCR": _method_of_operand(2, "__setitem__"),
    "UNARY_INVERT": _method_of_operand(1, "__invert__"),
    "UNARY_NEGATIVE": _method_of_operand(1, "__neg__"),
    "UNARY_POSITIVE": _method_of_operand(1, "__pos__"),
    "WITH_EXCEPT_START": _with_except,
}

"""How the result of a call lands in the frame that made it: one line for each instruction that can call.

An instruction that is under way has called something (a function, `__add__`, `__next__`, a property) which
has not returned. To go on later as if it had, three things must be known, and are all of a `Landing`:
how much of the evaluation stack stays, what is done with the result, and where the frame goes on.

Invariant: what is not in the table is refused by name, so that a new CPython is never guessed at.
"""

from __future__ import annotations

import opcode
from collections.abc import Callable
from functools import cache

from stillframe.frames.code import VERSION, CodeMap, Instruction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from stillframe.light import NamedTuple


class Landing(NamedTuple):
    """`how` says what becomes of the result; its words are those of `landing.land`."""

    how: tuple[object, ...]
    keep: int
    """How many slots of the evaluation stack stay."""
    operands: int
    """How deep the stack was before the instruction: its operands lie between `keep` and this."""
    next: int
    """The unit to go on at, unless `how` says another."""


_Rule = Callable[[CodeMap, Instruction, int], tuple[tuple[object, ...], int]]


def _push(code: CodeMap, at: Instruction, depth: int) -> tuple[tuple[object, ...], int]:
    return ("push",), code.depth_at(at.next) - 1


def _drop(code: CodeMap, at: Instruction, depth: int) -> tuple[tuple[object, ...], int]:
    return ("drop",), code.depth_at(at.next)


def _boolean(code: CodeMap, at: Instruction, depth: int) -> tuple[tuple[object, ...], int]:
    return ("bool", False), code.depth_at(at.next) - 1


def _not(code: CodeMap, at: Instruction, depth: int) -> tuple[tuple[object, ...], int]:
    return ("bool", True), code.depth_at(at.next) - 1


def _contains(code: CodeMap, at: Instruction, depth: int) -> tuple[tuple[object, ...], int]:
    return ("bool", bool(at.argument & 1)), code.depth_at(at.next) - 1


def _compare(code: CodeMap, at: Instruction, depth: int) -> tuple[tuple[object, ...], int]:
    # 3.13 asks for the truth of the result within the same instruction.
    how = ("bool", False) if VERSION >= (3, 13) and at.argument & 16 else ("push",)
    return how, code.depth_at(at.next) - 1


def _attribute(code: CodeMap, at: Instruction, depth: int) -> tuple[tuple[object, ...], int]:
    if VERSION >= (3, 12) and at.argument & 1:
        return ("method",), depth - 1
    return ("push",), depth - 1


def _method(code: CodeMap, at: Instruction, depth: int) -> tuple[tuple[object, ...], int]:
    return ("method",), depth - 1


def _super_attribute(code: CodeMap, at: Instruction, depth: int) -> tuple[tuple[object, ...], int]:
    return ("method",) if at.argument & 1 else ("push",), depth - 3


def _branch(code: CodeMap, at: Instruction, depth: int) -> tuple[tuple[object, ...], int]:
    return ("branch", at.target, at.name.endswith("TRUE")), depth - 1


def _branch_or_pop(code: CodeMap, at: Instruction, depth: int) -> tuple[tuple[object, ...], int]:
    return ("branch_or_pop", at.target, "TRUE" in at.name), depth


def _iterate(code: CodeMap, at: Instruction, depth: int) -> tuple[tuple[object, ...], int]:
    # Behind the loop: 3.12 has an END_FOR there, and 3.13 a POP_TOP too, for which FOR_ITER has nothing left.
    return ("iterate", at.target + {11: 0, 12: 1, 13: 2}[VERSION[1]]), depth


def _send(code: CodeMap, at: Instruction, depth: int) -> tuple[tuple[object, ...], int]:
    return ("send", at.target), depth - 1


def _with(code: CodeMap, at: Instruction, depth: int) -> tuple[tuple[object, ...], int]:
    # 3.11 has put the exit method in the manager's place already when it calls the enter method.
    name = "__exit__" if at.name == "BEFORE_WITH" else "__aexit__"
    return ("with", name) if VERSION >= (3, 12) else ("push",), depth


def _above(code: CodeMap, at: Instruction, depth: int) -> tuple[tuple[object, ...], int]:
    return ("push",), depth


def _raise(code: CodeMap, at: Instruction, depth: int) -> tuple[tuple[object, ...], int]:
    return ("raise",), depth - at.argument


_PUSH = """
    BINARY_OP BINARY_SUBSCR BINARY_SLICE CALL CALL_FUNCTION_EX CALL_INTRINSIC_1 CALL_KW CONVERT_VALUE
    FORMAT_SIMPLE FORMAT_VALUE FORMAT_WITH_SPEC GET_AITER GET_AWAITABLE GET_ITER GET_YIELD_FROM_ITER
    IMPORT_NAME LOAD_CLASSDEREF LOAD_FROM_DICT_OR_DEREF LOAD_FROM_DICT_OR_GLOBALS LOAD_GLOBAL LOAD_NAME
    UNARY_INVERT UNARY_NEGATIVE UNARY_POSITIVE
"""
_DROP = """
    DELETE_ATTR DELETE_NAME DELETE_SUBSCR PRINT_EXPR STORE_ATTR STORE_NAME STORE_SLICE STORE_SUBSCR
"""

RULES: dict[str, _Rule] = {
    **dict.fromkeys(_PUSH.split(), _push),
    **dict.fromkeys(_DROP.split(), _drop),
    "BEFORE_ASYNC_WITH": _with,
    "BEFORE_WITH": _with,
    "COMPARE_OP": _compare,
    "CONTAINS_OP": _contains,
    "FOR_ITER": _iterate,
    "GET_ANEXT": _above,
    "IMPORT_FROM": _above,
    "JUMP_IF_FALSE_OR_POP": _branch_or_pop,
    "JUMP_IF_TRUE_OR_POP": _branch_or_pop,
    "LOAD_ATTR": _attribute,
    "LOAD_METHOD": _method,
    "LOAD_SUPER_ATTR": _super_attribute,
    "POP_JUMP_BACKWARD_IF_FALSE": _branch,
    "POP_JUMP_BACKWARD_IF_TRUE": _branch,
    "POP_JUMP_FORWARD_IF_FALSE": _branch,
    "POP_JUMP_FORWARD_IF_TRUE": _branch,
    "POP_JUMP_IF_FALSE": _branch,
    "POP_JUMP_IF_TRUE": _branch,
    "RAISE_VARARGS": _raise,
    "SEND": _send,
    "TO_BOOL": _boolean,
    "UNARY_NOT": _not,
    "WITH_EXCEPT_START": _above,
}


def call_site(code: CodeMap, unit: int) -> tuple[Instruction, int]:
    """The instruction under way at `unit`, and the depth of the stack before it.

    3.11 makes a call of two instructions, PRECALL and CALL, of which either may be the one under way: the
    operands are all there before PRECALL, and the frame goes on behind CALL.
    """
    at = code.instruction_at(unit)
    if at.name == "PRECALL":
        call = code.instruction_at(at.next)
        return call._replace(start=at.start), code.depth_at(at.at)
    if at.name == "CALL" and VERSION == (3, 11):
        precall = code.before(at)
        assert precall is not None
        return at._replace(start=precall.start), code.depth_at(precall.at)
    return at, code.depth_at(at.at)


def landing_of(code: CodeMap, unit: int) -> tuple[Instruction, Landing] | None:
    """How the result of the call that is under way at `unit` lands; None where that is not known."""
    at, depth = call_site(code, unit)
    rule = RULES.get(at.name)
    if rule is None:
        return None
    how, keep = rule(code, at, depth)
    return at, Landing(how, keep, depth, at.next)


CALLS = ("CALL", "CALL_FUNCTION_EX", "CALL_KW")
_EVAL_BREAKER = frozenset({*CALLS, "COMPARE_OP", "JUMP_BACKWARD", "RESUME"})


def may_break(at: Instruction) -> bool:
    """Whether the interpreter looks behind this instruction if something else is to be done."""
    return at.name in _EVAL_BREAKER or at.name == "PRECALL" or at.name.startswith("POP_JUMP_BACKWARD")


def _is_fused(code: CodeMap, at: Instruction) -> bool:
    """Whether the interpreter has made one instruction of a comparison and the jump back behind it: 3.11 does so with
    numbers and text once a loop is hot. Else what compares is C code."""
    adapted: bytes = code.code._co_code_adaptive  # type: ignore[attr-defined]
    return adapted[2 * at.at] in _fused() and code.instruction_at(at.next).name.startswith("POP_JUMP_BACKWARD")


@cache
def _fused() -> frozenset[int]:
    """The instructions of 3.11 that compare and jump: what is specialized has the numbers that are free, in order."""
    free = (number for number, name in enumerate(opcode.opname) if name.startswith("<"))
    specialized: list[str] = opcode._specialized_instructions  # type: ignore[attr-defined]
    return frozenset(number for number, name in zip(free, specialized, strict=False) if name.endswith("_JUMP"))


def breaker_landing(code: CodeMap, unit: int) -> Landing | None:
    """Where a frame goes on that was stopped at an eval breaker: its instruction is complete.

    None where the interpreter does not stop.
    """
    at, _ = call_site(code, unit)
    if not may_break(at):
        return None
    if at.name == "COMPARE_OP":
        if VERSION != (3, 11) or not _is_fused(code, at):
            return None
        # The jump that follows was taken.
        at = code.instruction_at(at.next)
    behind = at.target if "JUMP" in at.name else at.next
    depth = code.depth_at(behind)
    return Landing(("drop",), depth, depth, behind)


def first_unit_of(code: CodeMap, unit: int) -> int:
    """Where to begin so that the call under way at `unit` is made again, with its keywords' names."""
    at, _ = call_site(code, unit)
    before = code.instruction_at(at.start - 1) if at.start else None
    return before.start if before is not None and before.name == "KW_NAMES" else at.start

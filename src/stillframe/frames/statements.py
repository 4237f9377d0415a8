"""Where a frame begins when it executes a statement again that has failed: its stack is that of the enclosing blocks.

Every slot of an evaluation stack is either an operand of the statement under way, or belongs to a block around it: the
iterator of a `for`, the exit of a `with`, the exception that is handled. Where a statement begins there are no
operands, so what is on the stack there is still on it when the statement fails.

Invariants:
  * Nothing that has been done to an iterator is undone, and none is advanced a second time: a `for` whose iterator
    has failed asks that for its next item.
  * Where it is not certain that a slot is still alive, there is no beginning.
"""

from __future__ import annotations

import opcode
from opcode import stack_effect

from stillframe.errors import CannotCapture
from stillframe.frames._frames import FrameRef
from stillframe.frames.code import CodeMap, Instruction, Protected
from stillframe.frames.continuation import FrameRecord
from stillframe.frames.instructions import landing_of

Kinds = tuple[int, ...]
"""What each slot of a stack holds: something of a block's, an operand, or the variable of this number, put aside."""
_BLOCKS, _OPERAND, _HANDLED = -1, -2, -3
"""The last is a block's too: what was handled before the `except` or `finally` that it is in."""
_COMPREHENSIONS = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>"})
_ENTERS = frozenset({"BEFORE_WITH", "BEFORE_ASYNC_WITH"})
_ENDS = frozenset(
    {"INTERPRETER_EXIT", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT", "JUMP_FORWARD", "RAISE_VARARGS", "RERAISE",
     "RETURN_CONST", "RETURN_VALUE"}
)  # fmt: skip
_kinds: dict[int, tuple[CodeMap, dict[int, Kinds]]] = {}
_MOST = 256


def kinds_of(code: CodeMap) -> dict[int, Kinds]:
    """The kinds of the slots before each instruction that can be reached. Cost: some 3 µs an instruction, once."""
    known = _kinds.get(id(code))
    if known is not None and known[0] is code:
        return known[1]
    found: dict[int, Kinds] = {}
    paths: list[tuple[int, Kinds]] = [(0, ())]
    entries = list(code.protected)
    while paths or entries:
        if not paths:  # the handlers of blocks that have been gone through
            ready = [entry for entry in entries if _inside(code, entry, found) is not None]
            if not ready:
                break
            for entry in ready:
                entries.remove(entry)
                around = _inside(code, entry, found) or ()
                paths.append((entry.target, (*around[: entry.depth], *[_BLOCKS] * (entry.is_placed + 1))))
        at, kinds = paths.pop()
        at = code.owner[at]
        while at not in found:
            found[at] = kinds
            instruction = code.instructions[at]
            if instruction.target != instruction.next and opcode.opmap[instruction.name] in opcode.hasjrel:
                paths.append((instruction.target, _behind(code, instruction, kinds, jump=True)))
            if instruction.name in _ENDS:
                break
            kinds = _behind(code, instruction, kinds, jump=False)
            at = code.owner[instruction.next]
    if len(_kinds) >= _MOST:
        _kinds.clear()
    _kinds[id(code)] = code, found
    return found


def _inside(code: CodeMap, entry: Protected, found: dict[int, Kinds]) -> Kinds | None:
    """The stack of an instruction that an entry of the exception table covers."""
    for unit in range(entry.start, entry.end):
        kinds = found.get(unit)
        if kinds is not None and len(kinds) >= entry.depth:
            return kinds
    return None


def _behind(code: CodeMap, at: Instruction, kinds: Kinds, jump: bool) -> Kinds:
    name, argument = at.name, at.argument
    if name == "SWAP":
        slots = list(kinds)
        slots[-1], slots[-argument] = slots[-argument], slots[-1]
        return tuple(slots)
    if name == "COPY":
        return (*kinds, kinds[-argument])
    if name == "GET_AITER" or (name == "GET_ITER" and code.instruction_at(at.next).name == "FOR_ITER"):
        return (*kinds[:-1], _BLOCKS)
    if not kinds and name.startswith("BUILD_") and code.code.co_name in _COMPREHENSIONS:
        return (_BLOCKS,)  # what a comprehension that is a function of its own makes is a block's too
    if name in _ENTERS:
        return (*kinds[:-1], _BLOCKS, _OPERAND)
    if name == "PUSH_EXC_INFO":
        return (*kinds[:-1], _HANDLED, _BLOCKS)
    if name == "RETURN_GENERATOR":
        return (*kinds, _OPERAND)
    if name == "LOAD_FAST" and code.code.co_varnames[argument : argument + 1] == (".0",):
        return (*kinds, _BLOCKS)
    if name == "LOAD_FAST_AND_CLEAR":  # a comprehension's variables, for as long as it runs
        return (*kinds, argument)
    number = opcode.opmap[name]
    effect = stack_effect(number, argument if number >= opcode.HAVE_ARGUMENT else None, jump=jump)
    return (*kinds, *[_OPERAND] * effect) if effect >= 0 else kinds[:effect]


def beginning_of(code: CodeMap, unit: int) -> int | None:
    """The unit at which the statement begins that is under way at `unit`; None where it cannot be executed again."""
    kinds = kinds_of(code)
    first = _before_operands(code, kinds, code.instruction_at(unit))
    if first is None or (first.name == "FOR_ITER" and first.at != code.instruction_at(unit).at):
        return None
    found = landing_of(code, unit)
    blocks = kinds[first.at]
    if found is not None and found[1].keep < len(blocks) and found[0].name != "WITH_EXCEPT_START":
        return None  # the call of a `with`'s exit has taken the exit off
    if kinds[code.instruction_at(unit).at][: len(blocks)] != blocks:
        return None
    while (earlier := _test_before(code, kinds, first)) is not None:
        first = earlier
    return first.start


def _before_operands(code: CodeMap, kinds: dict[int, Kinds], at: Instruction | None) -> Instruction | None:
    while at is not None and any(kind not in (_BLOCKS, _HANDLED) for kind in kinds.get(at.at, (_OPERAND,))):
        at = code.before(at)
    if at is None or at.name in ("RESUME", "RETURN_GENERATOR", "COPY_FREE_VARS", "MAKE_CELL"):
        return None
    return at


def _test_before(code: CodeMap, kinds: dict[int, Kinds], first: Instruction) -> Instruction | None:
    """The beginning of a test in the same line which has led to `first`: of `a and b`, `a if b else c`, `assert`."""
    tests = [
        jump
        for jump in (code.before(first), *_jumps_to(code, first))
        if jump is not None and jump.at < first.at and "JUMP" in jump.name and "IF" in jump.name
    ]
    for jump in tests:
        found = _before_operands(code, kinds, jump)
        if found is None or kinds[found.at] != kinds[first.at]:
            continue
        if code.line_of(found.at) == code.line_of(first.at):
            return found
    return None


def _jumps_to(code: CodeMap, at: Instruction) -> list[Instruction]:
    return [
        jump
        for jump in code.instructions.values()
        if opcode.opmap[jump.name] in opcode.hasjrel and jump.target == at.start
    ]


def to_execute_again(ref: FrameRef, code: CodeMap) -> FrameRecord:
    """The record of a frame that executes the statement again that is under way. Raises CannotCapture."""
    begin = beginning_of(code, ref.position)
    line = code.line_of(ref.position)
    if begin is None:
        raise CannotCapture(
            f"{code.code.co_filename}, line {line}, in {code.code.co_qualname}: what has failed is no statement that "
            "could be executed again, as the exit of a `with` is not.",
            "Choose a frame further out.",
        )
    depth = code.depth_at(begin)
    fast = ref.fast
    for slot, kind in enumerate(kinds_of(code)[code.instruction_at(ref.position).at]):
        if kind >= 0 and slot >= depth:
            fast[kind] = ref.stack(slot, slot + 1)[0]
    stack = ref.stack(0, depth)
    return FrameRecord(ref.function, ref.locals, fast, stack, begin, begin, ("drop",), [], line)


def handled_before(ref: FrameRef, code: CodeMap) -> list[BaseException | None]:
    """The exception that was handled when the frame began, if it handles another one now; else nothing."""
    for slot, kind in enumerate(kinds_of(code)[code.instruction_at(ref.position).at]):
        if kind == _HANDLED:
            return list(ref.stack(slot, slot + 1))
    return []

"""What the compiler put into a code object: its instructions, and how deep the evaluation stack is at each.

Invariants:
  * A position is an index in code units of two bytes. An instruction begins at the unit of its opcode; any
    EXTENDED_ARG before it and the inline caches behind it belong to it.
  * The depth at an instruction is the one before it runs, the same on every path that leads there; code
    for which that does not hold is refused.
  * `opcode.stack_effect` is CPython's own account of an instruction, so an opcode that is unknown here still
    has the right effect; what else there is to know of one is in `instructions`.
"""

from __future__ import annotations

import opcode
import sys
from functools import cached_property
from types import CodeType

from stillframe.errors import CannotCapture

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from stillframe.light import NamedTuple

VERSION = sys.version_info[:2]

OPNAME = opcode.opname
EXTENDED_ARG = opcode.opmap["EXTENDED_ARG"]
_RELATIVE_JUMPS = frozenset(opcode.hasjrel)
_NEVER_FALLS_THROUGH = frozenset(
    {
        "INTERPRETER_EXIT",
        "JUMP_BACKWARD",
        "JUMP_BACKWARD_NO_INTERRUPT",
        "JUMP_FORWARD",
        "RAISE_VARARGS",
        "RERAISE",
        "RETURN_CONST",
        "RETURN_VALUE",
    }
)


def _cache_sizes() -> dict[int, int]:
    entries = opcode._inline_cache_entries  # type: ignore[attr-defined]
    if isinstance(entries, dict):
        return {opcode.opmap[name]: size for name, size in entries.items() if name in opcode.opmap}
    return {number: size for number, size in enumerate(entries) if size}


_CACHES = _cache_sizes()


class Instruction(NamedTuple):
    """One instruction. `start` is the unit of its first EXTENDED_ARG, `at` that of its opcode."""

    name: str
    argument: int
    start: int
    at: int
    next: int

    @property
    def target(self) -> int:
        """Where a jump leads."""
        return self.next - self.argument if "BACKWARD" in self.name else self.next + self.argument


class Protected(NamedTuple):
    """An entry of the exception table: what is raised from `start` to before `end` goes on at `target`, with `depth`
    slots of the stack left, the place where it was raised if `is_placed`, and the exception."""

    start: int
    end: int
    target: int
    depth: int
    is_placed: bool


def exception_table(table: bytes) -> list[Protected]:
    """The entries of `co_exceptiontable`, whose format is told by Objects/exception_handling_notes.txt in CPython."""
    numbers: list[int] = []
    number = 0
    for byte in table:
        number = number << 6 | byte & 63
        if not byte & 64:
            numbers.append(number)
            number = 0
    return [
        Protected(start, start + length, target, how >> 1, bool(how & 1))
        for start, length, target, how in zip(*(numbers[i::4] for i in range(4)), strict=True)
    ]


class CodeMap:
    """A code object's instructions and stack depths. Cost: some 2 µs an instruction, once."""

    def __init__(self, code: CodeType) -> None:
        self.code = code
        self.instructions: dict[int, Instruction] = {}
        """By the unit of the opcode, in order."""
        self.owner: list[int] = []
        """For each unit, that of the opcode that it belongs to."""
        raw = code.co_code
        start = at = extended = 0
        while at < len(raw) // 2:
            number, argument = raw[2 * at], raw[2 * at + 1] | extended << 8
            if number == EXTENDED_ARG:
                extended = argument
                at += 1
                continue
            behind = at + 1 + _CACHES.get(number, 0)
            self.instructions[at] = Instruction(OPNAME[number], argument, start, at, behind)
            self.owner += [at] * (behind - start)
            start = at = behind
            extended = 0

    def instruction_at(self, unit: int) -> Instruction:
        """The instruction that a frame's instruction pointer means."""
        return self.instructions[self.owner[max(unit, 0)]]

    def before(self, instruction: Instruction) -> Instruction | None:
        """The instruction in front of it."""
        return self.instructions[self.owner[instruction.start - 1]] if instruction.start else None

    def line_of(self, unit: int) -> int:
        """The source line of a unit, or of the definition where it has none."""
        for start, end, line in self.code.co_lines():
            if start <= 2 * unit < end and line is not None:
                return line
        return self.code.co_firstlineno

    @cached_property
    def depths(self) -> dict[int, int]:
        """The depth of the evaluation stack before each instruction that can be reached.

        Raises CannotCapture for code in which two paths disagree, as none that CPython compiled does.
        """
        depths: dict[int, int] = {}
        paths = [(0, 0)]
        # A handler finds the position, where it asks for it, and the exception.
        paths += [(entry.target, entry.depth + entry.is_placed + 1) for entry in self.protected]
        while paths:
            at, depth = paths.pop()
            at = self.owner[at]
            while at not in depths:
                depths[at] = depth
                _, argument, _, _, behind = instruction = self.instructions[at]
                number = self.code.co_code[2 * at]
                given = argument if number >= opcode.HAVE_ARGUMENT else None
                if number in _RELATIVE_JUMPS:
                    jump = depth + opcode.stack_effect(number, given, jump=True)
                    paths.append((instruction.target, jump))
                if instruction.name in _NEVER_FALLS_THROUGH:
                    break
                # What the generator's caller gets is taken off at once; what it sends first comes on.
                effect = (
                    1
                    if instruction.name == "RETURN_GENERATOR"
                    else opcode.stack_effect(number, given, jump=False)
                )
                depth += effect
                at = self.owner[behind]
            else:
                if depths[at] != depth:
                    raise CannotCapture(
                        f"cannot capture {self.code.co_qualname} ({self.code.co_filename}): its evaluation stack "
                        f"has no single depth at unit {at}.",
                        "Its code was not made by CPython's compiler.",
                    )
        return depths

    @cached_property
    def targets(self) -> frozenset[int]:
        """The units that jumps lead to."""
        return frozenset(
            found.target
            for found in self.instructions.values()
            if opcode.opmap[found.name] in _RELATIVE_JUMPS
        )

    def depth_at(self, unit: int) -> int:
        """The depth before the instruction that begins with `unit`."""
        return self.depths[self.owner[unit]]

    def raising_unit(self, at: int) -> int:
        """Where the instruction pointer of a 3.13 frame must point so that the instruction `at` raises.

        The interpreter looks for a handler one unit before it: at the instruction itself that is the
        instruction before, which may be outside of the `try`.
        """
        here, before = (
            [entry.target for entry in self.protected if entry.start <= unit < entry.end]
            for unit in (at, at - 1)
        )
        return at if here == before else at + 1

    @cached_property
    def protected(self) -> list[Protected]:
        """The exception table; of entries that cover the same instruction there is only one."""
        return exception_table(self.code.co_exceptiontable)

    @cached_property
    def stored(self) -> frozenset[int]:
        """The fast locals that the code itself assigns or deletes: an argument that is not among them is
        still what the caller gave."""
        found = set()
        for name, argument, *_ in self.instructions.values():
            if name in (
                "STORE_FAST",
                "DELETE_FAST",
                "STORE_DEREF",
                "DELETE_DEREF",
                "STORE_FAST_MAYBE_NULL",
            ) or name in ("LOAD_FAST_AND_CLEAR",):
                found.add(argument)
            elif name == "STORE_FAST_LOAD_FAST":
                found.add(argument >> 4)
            elif name == "STORE_FAST_STORE_FAST":
                found |= {argument >> 4, argument & 15}
        return frozenset(found)


_MAPS: dict[int, CodeMap] = {}
_MOST_MAPS = 4096


def code_map(code: CodeType) -> CodeMap:
    """The map of `code`, which is kept: code objects are compared by value, so they are told apart by id."""
    found = _MAPS.get(id(code))
    if found is None or found.code is not code:
        if len(_MAPS) >= _MOST_MAPS:
            _MAPS.clear()
        found = _MAPS[id(code)] = CodeMap(code)
    return found

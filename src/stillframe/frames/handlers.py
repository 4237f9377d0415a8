"""Whether a frame catches what is raised in it: what its `except` clauses say, read without running anything.

Invariants:
  * No code of the program's runs here: where a clause is more than names, it is taken for one that does not catch.
  * A `with` and a `finally` are taken for what they mostly are: both let an exception pass.
"""

from __future__ import annotations

import gc
import types
from typing import Any

from stillframe.frames._frames import NULL, FrameRef
from stillframe.frames.code import VERSION, CodeMap, Instruction
from stillframe.frames.inner import is_a

_PASSED = ("CACHE", "NOP", "PUSH_NULL", "EXTENDED_ARG")


def catches(ref: FrameRef, code: CodeMap, error: BaseException) -> bool:
    """Whether an `except` of the frame will catch what is raised at its position."""
    unit = code.instruction_at(ref.position).at
    seen = set()
    while (handler := _handler_of(code, unit)) is not None and handler not in seen:
        seen.add(handler)
        at = code.instruction_at(handler)
        if at.name == "PUSH_EXC_INFO":
            if _Clauses(ref, code, error).catch(code.instruction_at(at.next)):
                return True
            # What passes the clauses leaves by way of the cleanup behind them.
            cleanup = _handler_of(code, at.at)
            if cleanup is None:
                return False
            at = code.instruction_at(cleanup)
        raises = _raises_again(code, at)
        if raises is None:
            return True  # not known: nothing is asked for
        unit = raises.at
    return False


def _handler_of(code: CodeMap, unit: int) -> int | None:
    for entry in code.protected:
        if entry.start <= unit < entry.end:
            return code.owner[entry.target]
    return None


def _raises_again(code: CodeMap, at: Instruction) -> Instruction | None:
    while at.name != "RERAISE":
        if "JUMP" in at.name or "RETURN" in at.name or at.next >= len(code.owner):
            return None
        at = code.instruction_at(at.next)
    return at


class _Clauses:
    """The `except` clauses at one place."""

    def __init__(self, ref: FrameRef, code: CodeMap, error: BaseException) -> None:
        self._ref, self._code, self._error = ref, code, error
        self._stack: list[Any] = []

    def catch(self, at: Instruction) -> bool:
        if at.name in ("POP_TOP", "COPY"):
            return True  # a bare `except:`, or an `except*`
        while True:
            if at.name == "CHECK_EXC_MATCH":
                classes = self._stack.pop()
                if any(is_a(self._error, one) for one in (classes if type(classes) is tuple else (classes,))):
                    return True
                jump = self._code.instruction_at(at.next)
                if "JUMP" not in jump.name:
                    return True
                at = self._code.instruction_at(jump.target)
                if at.name == "POP_TOP":
                    return True
                continue
            if at.name not in _PASSED and not self._load(at):
                return False  # the body of a `finally`, a `with`, or the end of the clauses
            at = self._code.instruction_at(at.next)

    def _load(self, at: Instruction) -> bool:
        name, argument = at.name, at.argument
        names = self._code.code.co_names
        if name == "BUILD_TUPLE" and len(self._stack) >= argument:
            self._stack[len(self._stack) - argument :] = [tuple(self._stack[len(self._stack) - argument :])]
            return True
        if name in ("LOAD_GLOBAL", "LOAD_NAME"):
            found = self._named(names[argument >> 1 if name == "LOAD_GLOBAL" else argument])
        elif name == "LOAD_ATTR" and self._stack and type(self._stack[-1]) in (types.ModuleType, type):
            owner = self._stack.pop()
            found = vars(owner).get(names[argument >> 1 if VERSION >= (3, 12) else argument], NULL)
        elif name in ("LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_DEREF"):
            found = self._ref.fast[argument]
            if type(found) is types.CellType:
                found = next(iter(gc.get_referents(found)), NULL)
        else:
            return False
        self._stack.append(found)
        return found is not NULL

    def _named(self, name: str) -> Any:
        builtin: Any = self._ref.globals.get("__builtins__", {})
        spaces = [self._ref.locals, self._ref.globals, builtin if type(builtin) is dict else vars(builtin)]
        for space in spaces:
            if type(space) is dict and name in space:
                return space[name]
        return NULL

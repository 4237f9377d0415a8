"""What becomes of a result when it lands in a frame that waited for it.

Invariants:
  * An outcome is what a call came to: a pair of RETURNED, YIELDED or RAISED, and the object.
  * land() changes the record's stack and position as the instruction itself would have, and runs no user
    code but `__bool__`'s like, whose results it checks as the interpreter does.
"""

from __future__ import annotations

import sys

from stillframe.frames._frames import NULL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

RETURNED, YIELDED, RAISED = 0, 1, 2
Outcome: TypeAlias = "tuple[int, Any]"


def answering(dunder: str, value: Any) -> Any:
    """An object whose method `dunder` returns `value`: what is asked of it then checks the value."""
    return type("result", (), {dunder: lambda *_: value})()


def is_stop(outcome: Outcome) -> bool:
    """Whether an iterator has come to its end."""
    return outcome[0] == RAISED and isinstance(outcome[1], StopIteration)


def raised(error: BaseException) -> Outcome:
    """As if `error` had been raised here: with its context, and no trace of this module."""
    traceback = error.__traceback__
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001  (it is `error` itself)
        caught.__traceback__ = traceback
    return RAISED, error


def land(how: tuple[Any, ...], stack: list[Any], outcome: Outcome) -> tuple[BaseException | None, int | None]:
    """Put the outcome into `stack`. Returns what the frame raises, if it does, and where it goes on, if not
    behind the instruction."""
    kind, value = outcome
    word = how[0]
    if kind == RAISED:
        if word == "iterate" and isinstance(value, StopIteration):
            stack.pop()
            return None, how[1]
        if word in ("send", "delegate") and isinstance(value, StopIteration):
            return _sent(how, stack, value.value)
        return value, None
    if word == "push":
        stack.append(value)
    elif word == "method":
        # In the form of a method that turned out to be a plain attribute.
        stack += [value, NULL] if sys.version_info >= (3, 13) else [NULL, value]
    elif word == "bool":
        stack.append(bool(value) ^ how[1])
    elif word == "branch":
        return None, how[1] if bool(value) == how[2] else None
    elif word == "branch_or_pop":
        if bool(value) == how[2]:
            return None, how[1]
        stack.pop()
    elif word in ("send", "delegate"):
        if kind == RETURNED:
            return _sent(how, stack, value)
        assert word == "send"
        stack.append(value)
    elif word == "iterate":
        stack.append(value)
    elif word == "with":
        manager = stack.pop()
        stack.append(getattr(type(manager), how[1]).__get__(manager, type(manager)))
        stack.append(value)
    elif word == "raise":
        return value, None
    else:
        assert word == "drop", f"no such landing: {word}"
    return None, None


def _sent(how: tuple[Any, ...], stack: list[Any], value: Any) -> tuple[None, int]:
    """The receiver of a `yield from` or `await` has ended, with `value`."""
    stack[-1:] = [value] if sys.version_info < (3, 12) else [stack[-1], value]
    return None, how[1]

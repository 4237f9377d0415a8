"""How a program ends, as Python has it: its exit code, and what is said of an exception that nobody caught."""

from __future__ import annotations

import sys

from stillframe.frames import _frames
from stillframe.frames.landing import RAISED, Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def ended(outcome: Outcome) -> int:
    """The exit code of a program whose outermost frame has come to `outcome`.

    An exception is reported by `sys.excepthook`. SystemExit is raised again: the interpreter knows what to do with
    it. So is KeyboardInterrupt once it was reported, so that the process ends by SIGINT as any Python does.
    """
    kind, error = outcome
    if kind != RAISED:
        return 0
    if isinstance(error, SystemExit):
        raise error
    report(error)
    if isinstance(error, KeyboardInterrupt):
        sys.excepthook = _nothing
        raise KeyboardInterrupt
    return 1


def report(error: BaseException) -> None:
    """Have the program's own hook, or Python's, say what was raised."""
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    arguments = (type(error), error, error.__traceback__)
    # Called as the interpreter does it: with no frame of ours below.
    kind, failure = _frames.call(None, sys.excepthook, arguments, {})
    if kind != RAISED:
        return
    if isinstance(failure, SystemExit):
        raise failure
    print("Error in sys.excepthook:", file=sys.stderr)
    sys.__excepthook__(type(failure), failure, failure.__traceback__)
    print("\nOriginal exception was:", file=sys.stderr)
    sys.__excepthook__(*arguments)


def exit_code_of(code: Any) -> int:
    """The exit code that the interpreter makes of `SystemExit.code`."""
    if code is None:
        return 0
    return code & 0xFF if isinstance(code, int) else 1


def _nothing(*_raised: object) -> None:
    """It was said already."""

"""A copy of the process, in which all other threads stand still: where programs with threads are captured.

The copy is made by a plain fork that holds the interpreter's lock: every other thread is then either between
two instructions or in a call that has let go of the lock, and its frames lie in the copy's memory, where
nothing moves any more. The program itself goes on; the copy ends when it has answered.

Invariants:
  * The answer is whole, or an error: a copy that dies is a CannotCapture here.
  * The copy never returns into the program, and runs none of its exit handlers.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from stillframe.capture import alone
from stillframe.capture.blocking import read_waits
from stillframe.capture.process_state import flush_standard_streams
from stillframe.capture.threads import NotNow
from stillframe.errors import CannotCapture
from stillframe.frames import _frames

T = TypeVar("T")

LONGEST_WAIT_S = 5.0
"""How long a capture is tried again while some thread is within native code."""
_FIRST_PAUSE_S = 0.0005


def in_copy(use: Callable[[], T], then: Sequence[str] | None = None) -> T:
    """What `use()` returns in a copy of the process, or the exception that it raises there.

    With `then`, the process stands still meanwhile, and becomes that command if `use` returns None: no thread of it
    does anything that the copy does not know of.

    `use` is tried again, in a new copy, as long as it raises NotNow; after LONGEST_WAIT_S that is a
    CannotCapture which says what each time was in the way.
    """
    deadline = time.monotonic() + LONGEST_WAIT_S
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return once_in_copy(use, then)
        except NotNow as reason:
            if time.monotonic() > deadline:
                raise CannotCapture(
                    f"cannot capture: for {LONGEST_WAIT_S:g} s a thread was within native code ({reason}).",
                    "Capture at a time when it is not.",
                ) from None
        # The thread that is in the way gets the interpreter meanwhile; nothing tells when it is out.
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 0.05)


def once_in_copy(use: Callable[[], T], then: Sequence[str] | None = None) -> T:
    """As in_copy(), once."""
    flush_standard_streams()
    answer, ours = os.pipe()
    read_waits()
    data, how = _heard_still(answer, ours, use, then) if then is not None else _heard(answer, ours, use)
    if not data:
        raise CannotCapture(f"cannot capture: the copy of the process that was to be captured {how}.")
    result: T = _unpacked(data)
    return result


def _heard(answer: int, ours: int, use: Callable[[], Any]) -> tuple[bytes, str]:
    """What a copy says, and how it ended, while the process goes on."""
    pid = _frames.fork_still()
    if pid == 0:
        _answer(ours, use)
    os.close(ours)
    with os.fdopen(answer, "rb") as pipe:
        data = pipe.read()
    try:
        _, status = os.waitpid(pid, 0)
    except ChildProcessError:  # the program itself waits for any child
        status = 0
    return data, f"was ended by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "ended"


def _heard_still(answer: int, ours: int, use: Callable[[], Any], then: Sequence[str]) -> tuple[bytes, str]:
    """The same, while the process stands still; it does not return if the copy says BECOME."""
    try:
        data = _frames.fork_still_then(answer, ours, tuple(map(os.fsencode, then)))
    finally:
        os.close(answer)
    if data is None:
        _answer(ours, use, for_none=BECOME)
    return bytes(data), "ended"


BECOME = b"\1"
"""What a copy says to have the process become a command. No pickle is this."""


def _answer(pipe: int, use: Callable[[], Any], for_none: bytes | None = None) -> None:
    code = 1
    try:
        alone.import_without_waiting()
        try:
            result = use()
            answer = pickle.dumps((True, result)) if result is not None or for_none is None else for_none
        except BaseException as error:  # noqa: BLE001  (it is raised again over there)
            answer = pickle.dumps((False, (type(error), error.args, vars(error))))
        with os.fdopen(pipe, "wb") as file:
            file.write(answer)
        code = 0
    finally:
        os._exit(code)


def _unpacked(data: bytes) -> Any:
    is_result, value = pickle.loads(data)
    if is_result:
        return value
    cls, arguments, attributes = value
    error = cls.__new__(cls, *arguments)
    error.args = arguments
    vars(error).update(attributes)
    raise error

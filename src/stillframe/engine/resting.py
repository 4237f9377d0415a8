"""A cell's calls to its kernel, in the process that runs it: here a state rests inside a call.

    cell ── snapshot("name") ──► Snapshot ─────────► supervisor
                                 ◄──────── Freeze ──           forks: the frozen copy rests in this very call
                                 ── Settled ────────►
             ◄── None ────────── ◄─────── Proceed ──           the cell goes on
    a fork of the copy:          ◄──────── Resume ──           the call returns a Resumed in it

Invariants:
  * From the question to its answer the process does nothing else, and the supervisor answers each question
    once. So what a frozen copy waits for is what its forks are told first: Resume, Chosen, or a Look.
  * No interrupt comes between question and answer: it is held back until the call returns. In a fork of a
    frozen copy only those count that were meant for it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
import time

# signal.signal() goes through enums: forty pages more to copy in a fork.
from _signal import SIG_BLOCK, SIG_SETMASK, pthread_sigmask, raise_signal, signal
from collections.abc import Iterator
from signal import SIGINT
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar

import msgspec

from stillframe import errors
from stillframe.capture.resumed import now
from stillframe.engine import effects, places, plain, symbols
from stillframe.engine.protocol import (
    Choose,
    Chosen,
    Done,
    Freeze,
    Look,
    Message,
    Proceed,
    Raised,
    Refused,
    Reject,
    Resume,
    Snapshot,
)
from stillframe.engine.shell import is_ipythons
from stillframe.engine.streams import printable
from stillframe.errors import NotInCell, StillframeError
from stillframe.names import check_name

if TYPE_CHECKING:
    from stillframe.engine.execution import Execution
    from stillframe.engine.state_process import StateProcess

Answer = TypeVar("Answer", bound=Message)


class RestOfCell(NamedTuple):
    """What is left of a cell that rests in a call: what a stored state has of it."""

    continuation: Any
    piece: str
    """Which piece of the cell the frames are of (plain.py)."""
    where: str
    captured_at: str
    """In UTC, as ISO 8601."""
    unchanged: dict[str, bool]
    """The variables that were there at its beginning, and whether they are bound to what they were."""


class Calls:
    """What `stillframe.cells.kernel` is in a state process."""

    def __init__(self, process: StateProcess) -> None:
        self._process = process
        self._pid = 0
        """The process whose cell runs; 0 while none does."""
        self.is_asking = False
        """Whether the process is in one of the calls: what it is forked into rests there."""
        self._is_interrupted = False
        self._where, self._captured_at = "", now()
        self.restored: RestOfCell | None = None
        """What this process, which a state was restored in, goes on with."""

    def begin(self) -> None:
        """A cell runs, and may call until rest(). (A context manager would write to thirty pages more.)"""
        self._pid = os.getpid()

    def rest(self) -> None:
        """No cell runs."""
        self._pid = 0

    def check(self, call: str) -> None:
        """Raise NotInCell unless this is the main thread of a running cell, and not in a call already."""
        if threading.current_thread() is not threading.main_thread():
            why = "this is another thread than the one that runs the cell"
        elif self._pid == 0 or self.is_asking:
            why = "no cell runs here: the state is only being looked at, or at rest"
        elif self._pid != os.getpid():
            why = "this process is a child that the cell has forked"
        else:
            return
        raise NotInCell(f"{call} can only be called by the main thread of a running cell; {why}.")

    def is_callable(self) -> bool:
        """Whether check() would let a call pass."""
        is_main = threading.get_ident() == threading.main_thread().ident
        return is_main and not self.is_asking and self._pid == os.getpid()

    def say_raised(self) -> Resume | None:
        """The cell raises something: what a fork of a frozen copy of it is told; None in the process itself."""
        answer: Message = self._ask(Raised(time.monotonic_ns()), (Proceed, Resume))
        return answer if isinstance(answer, Resume) else None

    def snapshot(self, name: str) -> Any:
        """Make a state that rests in this call. None; in a fork that goes on from it, a Resumed."""
        from stillframe.capture.calls import Resumed  # what called this has loaded it

        self.check("snapshot()")
        check_name(name)
        frame, line = self._places()[-1]
        file, function = printable(frame.f_code.co_filename), printable(frame.f_code.co_qualname)
        done = [printable(effect) for effect in effects.so_far()]
        question = Snapshot(name, file, line, function, done, time.monotonic_ns())
        self._where, self._captured_at = f"{file}:{line} in {function}", now()
        answer: Message = self._ask(question, (Proceed, Resume))
        if not isinstance(answer, Resume):
            return None
        self._process.failing.watch(answer.is_watched)
        return Resumed(msgspec.json.decode(answer.value), self._where, self._captured_at, now())

    def choose(self, count: int) -> int:
        """The option to go on with."""
        self.check("choose()")
        return self._ask(Choose(count, time.monotonic_ns()), (Chosen,)).index

    def reject(self) -> NoReturn:
        """End this process: the supervisor does, or its end ends this one."""
        self.check("reject()")
        self._ask(Reject(time.monotonic_ns()), ())
        raise AssertionError("a rejected branch was answered")

    def rest_of_cell(self) -> RestOfCell | None:
        """In a fork that captures: what the state has of the cell that it is inside of. Raises CannotCapture."""
        if not self.is_asking:
            return self.restored
        from stillframe.capture import inside, program

        shell, before = self._process.shell, self._process.execution.before
        frames = program.calling_frames()
        continuation = inside.capture_call(frames, shell.user_ns, plain.__file__, is_ipythons)
        unchanged = symbols.unchanged(before, shell.user_ns)
        return RestOfCell(continuation, shell.piece, self._where, self._captured_at, unchanged)

    def restored_at(self) -> list[places.Place]:
        """The frames that a restored state goes on with."""
        return places.of_records(self.restored.continuation.records) if self.restored is not None else []

    def go_on(self, message: Resume, execution: Execution) -> Done:
        """Go on with what was restored: the call returns a Resumed."""
        from stillframe.capture import inside
        from stillframe.capture.calls import Resumed

        rest, self.restored = self.restored, None
        assert rest is not None, "there is no call to resume"
        self._process.failing.watch(message.is_watched)
        value = Resumed(msgspec.json.decode(message.value), rest.where, rest.captured_at, now())
        code = rest.continuation.records[0].function.__code__
        run = functools.partial(inside.go_on, rest.continuation, value)
        return execution.go_on(code.co_filename, rest.piece, rest.unchanged, [code], run)

    def _places(self) -> list[places.Place]:
        return places.of_call(self._process.shell.user_ns)

    def _ask(self, question: Message, wanted: tuple[type[Answer], ...]) -> Answer:
        """The answer to a question. Returns also in the forks of the copies that were frozen meanwhile."""
        process = self._process
        with self._uninterrupted():
            process.outputs.drain_all()
            process.channel.send(question)
            process._make_room()
            while True:
                try:
                    answer, descriptors = process.channel.receive()
                except EOFError:
                    os._exit(0)
                match answer:
                    case Freeze():
                        self._freeze(descriptors)
                    case Look():
                        self._pid = 0
                        process.look(answer, self._places())
                    case Refused():
                        process._take_back_room()
                        raise _refusal(answer)
                    case _ if isinstance(answer, wanted):
                        process._take_back_room()
                        return answer
                    case _:
                        raise AssertionError(
                            f"{type(answer).__name__} is no answer to {type(question).__name__}"
                        )

    def _freeze(self, descriptors: list[int]) -> None:
        """Fork a frozen copy that rests here. Returns in its forks too."""
        loop = sys.modules["asyncio"]._get_running_loop() if "asyncio" in sys.modules else None
        was_interrupted, self._is_interrupted = self._is_interrupted, False
        if self._process.freeze(descriptors) is None:
            self._is_interrupted |= was_interrupted
            return
        self._pid = os.getpid()
        effects.begin()
        self._process.outputs.begin()
        if loop is not None:  # asyncio takes the loop of a process that was forked for another's
            sys.modules["asyncio"]._set_running_loop(loop)

    @contextlib.contextmanager
    def _uninterrupted(self) -> Iterator[None]:
        """Hold SIGINT back. The handler is for one that another thread receives."""
        handler: Any = signal(SIGINT, self._note_interrupt)
        mask = pthread_sigmask(SIG_BLOCK, (SIGINT,))
        self.is_asking = True
        try:
            # What a state that rests here begins with where it is restored.
            self._process.execution.on_interrupt = handler or self._process.execution.on_interrupt
            yield
        finally:
            self.is_asking = False
            if handler is not None:  # else C code has installed it
                signal(SIGINT, handler)
            if self._is_interrupted:
                self._is_interrupted = False
                raise_signal(SIGINT)  # is held back too
            pthread_sigmask(SIG_SETMASK, mask)

    def _note_interrupt(self, number: int, frame: object) -> None:
        self._is_interrupted = True


def _refusal(answer: Refused) -> StillframeError:
    return errors.BY_CODE.get(answer.code, StillframeError)(answer.message, answer.hint)

"""One cell, run in the process that holds its state.

Invariants:
  * Whatever the cell does, `Execution.run` returns a Done: only the death of the process prevents it.
  * SIGINT is the cell's while it runs. At rest it is noted: one that comes between the order to run a cell
    and its beginning interrupts that cell, and one that comes too late for a cell is forgotten with rest().
  * Warming has no effect that a program can see.
"""

from __future__ import annotations

import gc
import linecache
import sys
import time

# signal.signal() goes through enums: forty pages more to copy in a fork.
from _signal import signal
from collections.abc import Callable, Collection
from signal import SIGINT, default_int_handler
from types import CodeType
from typing import Any

from IPython.core.interactiveshell import ExecutionResult

from stillframe.engine import effects, symbols
from stillframe.engine.places import Place, of_failure
from stillframe.engine.protocol import Done
from stillframe.engine.shell import Shell, is_variable
from stillframe.engine.streams import Outputs, printable

_WARMING = "0"
_ABSENT = object()
Run = Callable[[], Any]


class Execution:
    """Runs the cells of one process, one at a time."""

    def __init__(self, shell: Shell, outputs: Outputs) -> None:
        self.shell = shell
        self.outputs = outputs
        self.on_interrupt: Any = default_int_handler
        """What the program wants done when it is interrupted."""
        self._is_interrupted = False
        self._is_warming = False
        self.before: dict[str, int] = {}
        """The variables at the beginning of the cell, and which objects they were."""
        self.last_raised: Callable[[BaseException], bool] = lambda error: False
        """Whether what has ended a cell is what it was watched for (failing.py)."""
        self.rest()

    def rest(self) -> None:
        """No cell runs. An interrupt that comes now is for the next one, which has been asked for already."""
        self._is_interrupted = False
        signal(SIGINT, self._note_interrupt)

    def _note_interrupt(self, number: int, frame: object) -> None:
        self._is_interrupted = True

    def run(self, code: str) -> Done:
        """Run a cell. Cost on top of the cell's own: some 0.15 ms in a warm process."""
        shell = self.shell
        self.outputs.begin()
        shell.executed, shell.failure = [], None
        before = self.before
        symbols.changes(before, shell.user_ns).apply(before)
        effects.begin()
        return self._done(before, *self._run_cell(lambda: shell.run_next(code)))

    def go_on(self, name: str, piece: str, unchanged: dict[str, bool], executed: list[CodeType], run: Run) -> Done:
        """Run the rest of a cell, from the middle of a piece of it: `run` runs its frames. `unchanged` are the
        variables that were there at its beginning, and whether they are bound to what they were."""
        shell = self.shell
        self.outputs.begin()
        shell.executed, shell.failure = executed, None
        now = symbols.identities(shell.user_ns)
        before = {name: now.get(name, 0) if is_same else 0 for name, is_same in unchanged.items()}
        effects.begin()
        return self._done(before, *self._run_cell(lambda: shell.go_on(name, piece, run)))

    def _done(self, before: dict[str, int], error: BaseException | None, interrupted: bool) -> Done:
        shell = self.shell
        seen = effects.end()
        failure = shell.failed(error) if error is not None else None
        if failure is None:
            shell.finished()
        self._let_go()
        changed = symbols.changes(before, shell.user_ns)
        modified = changed.bound.keys() | symbols.stored_by(shell.executed, shell.user_ns)
        accessed = self._variables(self._accessed(before))
        symbols.forget(shell.executed)
        changed.apply(before)
        self.before = before
        result = self.outputs.take_result()
        return Done(
            result,
            failure
            and (printable(failure[0]), printable(failure[1]), [printable(line) for line in failure[2]]),
            interrupted,
            accessed,
            self._variables(modified),
            self._variables(changed.gone),
            [printable(effect) for effect in seen],
            self.outputs.left_out,
            time.monotonic_ns(),
            self._where() if error is not None else None,
            error is not None and self.last_raised(error),
        )

    def failed_at(self) -> list[Place]:
        """The frames of the program that the last cell's failure has passed; none where it has not failed."""
        result = self.shell.last_execution_result
        return of_failure(result.error_in_exec) if result is not None else []

    def _where(self) -> tuple[str, int, str] | None:
        for frame, line in reversed(self.failed_at()):
            return printable(frame.f_code.co_filename), line, printable(frame.f_code.co_qualname)
        return None

    def _run_cell(self, run: Callable[[], ExecutionResult]) -> tuple[BaseException | None, bool]:
        """(what ended the cell, or None; whether an interrupt did)."""
        try:
            try:
                if not self._is_warming:
                    signal(SIGINT, self.on_interrupt)
                    if self._is_interrupted:
                        raise KeyboardInterrupt
                result = run()
            finally:
                handler = signal(SIGINT, self._note_interrupt)
                if not self._is_warming:
                    self.on_interrupt = handler
        except BaseException as error:  # an interrupt outside the cell's own code, or a broken IPython hook
            signal(SIGINT, self._note_interrupt)
            return error, isinstance(error, KeyboardInterrupt)
        failure = result.error_before_exec or result.error_in_exec
        return failure, isinstance(failure, KeyboardInterrupt)

    def _let_go(self) -> None:
        """Keep no result alive but as `_`."""
        result = self.shell.last_execution_result
        if result is not None:
            result.result = None
        self.shell.formatter.set_frame_limits()

    def _accessed(self, before: dict[str, int]) -> set[str]:
        try:
            return symbols.accessed(before, self.shell.user_ns, self.shell.executed)
        except Exception:  # a user's class may raise when it is looked at: report too much, not too little
            return set(before)

    def _variables(self, names: Collection[str]) -> list[str]:
        if not names:
            return []
        namespace = self.shell.user_ns
        return sorted(printable(name) for name in names if is_variable(self.shell, name, namespace.get(name)))

    def warm(self) -> None:
        """Run a cell like any other, and take back all that it left: its pages are then this process's own."""
        shell, hook = self.shell, self.shell.displayhook
        if sys.gettrace() is not None or sys.getprofile() is not None or shell.ast_transformers:
            return  # the program's own hooks would see it
        if not shell.formatter.shows_plainly(int):
            return
        kept = (shell.last_execution_result, shell.last_execution_succeeded, shell.execution_count, hook._)
        namespace, callbacks = shell.user_ns, shell.events.callbacks
        last_value, was_enabled = namespace.get("_", _ABSENT), gc.isenabled()
        name = shell.compile.get_code_name(_WARMING, _WARMING, shell.execution_count)
        shell.events.callbacks = {event: [] for event in callbacks}
        self.outputs.channel.is_muted = self._is_warming = True
        gc.disable()
        try:
            self.outputs.channel.send(self.run(_WARMING))
        finally:
            if was_enabled:
                gc.enable()
            self.outputs.channel.is_muted = self._is_warming = False
            shell.events.callbacks = callbacks
            shell.inputs.pop()
            linecache.cache.pop(name, None)
            if last_value is _ABSENT:
                namespace.pop("_", None)
            else:
                namespace["_"] = last_value
            (shell.last_execution_result, shell.last_execution_succeeded, shell.execution_count, hook._) = (
                kept
            )

    def warm_failure(self) -> None:
        """Once, in the root: import what reporting a failure needs."""
        self.shell.run_cell("raise ValueError", silent=True)
        linecache.clearcache()  # else the first cell would find its name taken
        self.shell.executed, self.shell.failure = [], None
        self.shell.last_execution_result, self.shell.last_execution_succeeded = None, True
        for name in ("last_type", "last_value", "last_traceback", "last_exc"):
            sys.__dict__.pop(name, None)

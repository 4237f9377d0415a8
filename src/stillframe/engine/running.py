"""One execution: its cell, run in a state process from the order that begins it to the end of its branches.

    order ──► process ── Done ─────────────────────────────► an ending
                │   └── Snapshot: freeze a copy, which is a state; go on
                └────── Choose:   freeze a copy, go on with option 0
                                     └── fork ── Chosen(1) ──► a branch of its own
                                     └── fork ── Chosen(2) ──► ...
A cell that calls choose() is a tree of branches. It is gone through depth first: the newest choice that has
options left is forked next. With one branch at a time the first ending is the execution's; to have all
endings, some branches run at once.

Invariants:
  * What a process puts out belongs to its branch; what was put out before a choice belongs to all its options.
  * Endings are in the order of their choices, whichever branch was faster.
  * The first failure ends the run: an error, the death of a process, no room for another one.
  * When `run` returns, no process of it is left but those of its endings.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from stillframe.engine.process import Process
from stillframe.engine.processes import Processes
from stillframe.engine.protocol import (
    Choose,
    Chosen,
    Done,
    Execute,
    FromProcess,
    Message,
    Proceed,
    Raised,
    Refused,
    Reject,
    Resume,
    Snapshot,
)
from stillframe.engine.transcript import Transcript, digest
from stillframe.engine.tree import State
from stillframe.errors import BadRequest, ResourceLimit, StateUnreachable, StillframeError
from stillframe.model import Output, Running, Where
from stillframe.names import check_name

PASSED = -1
"""The answer to Snapshot among a state's `answers`; the others are indices of options."""

Order = Execute | Resume


class Wanted(NamedTuple):
    """What is wanted of an execution: a cell or a resume, and what becomes of its endings."""

    order: Order
    name: str | None = None
    """The new state's name; a fresh one by default."""
    most: int | None = 1
    """How many endings of a search are wanted; None: all."""
    keeps_error: bool = False
    """Whether a cell that fails leaves a state behind."""
    error_name: str | None = None


class Execution:
    """One execution in progress."""

    def __init__(self, exec_id: str | int, state: State, state_name: str, wanted: Wanted) -> None:
        self.exec_id = exec_id
        self.state = state
        self.state_name = state_name
        self.code = wanted.order.code if isinstance(wanted.order, Execute) else state.code
        self.wanted = wanted
        self.started = datetime.now(UTC)
        self.began_s = time.monotonic()
        self.processes: dict[Process, None] = {}
        """Those that run it now: one, but where branches of a search run at once."""
        self.is_interrupted = False
        self.is_reset = False

    @property
    def is_stopped(self) -> bool:
        """Whether nothing more of it is to begin."""
        return self.is_interrupted or self.is_reset

    def running(self) -> Running:
        return Running(self.exec_id, self.state_name, self.started.isoformat(), self.code)


class Ending(NamedTuple):
    """How a branch came to its end. `done` is None where its process ended instead; `state` is what was made."""

    process: Process
    done: Done | None
    transcript: Transcript
    answers: tuple[int, ...] = ()
    state: State | None = None

    @property
    def is_failure(self) -> bool:
        return self.done is None or self.done.error is not None


class _Branch:
    """One branch while it runs."""

    def __init__(
        self, process: Process, order: Message, transcript: Transcript, answers: tuple[int, ...]
    ) -> None:
        self.process = process
        self.order = order
        self.transcript = transcript
        self.answers = answers
        self.raised: State | None = None
        """The frozen copy that rests where the cell has raised something last."""


class _Choice:
    """A frozen copy in a call of choose(), and which of its options is tried next."""

    def __init__(self, place: State, count: int, branch: _Branch) -> None:
        self.place = place
        self.count = count
        self.answers = branch.answers
        self.transcript = branch.transcript
        self.next_option = 1

    @property
    def next_answers(self) -> tuple[int, ...]:
        return (*self.answers, self.next_option)


class Run:
    """Runs the cell of one execution. `keep` is given each state that snapshot() makes, its name, and what the
    cell has put out by then; `interrupt` a process that was begun after the execution was interrupted."""

    def __init__(
        self,
        execution: Execution,
        processes: Processes,
        keep: Callable[[State, str, list[Output]], Any],
        interrupt: Callable[[Execution, Process], Any],
    ) -> None:
        self.execution = execution
        self.processes = processes
        self._order = execution.wanted.order
        self._keep = keep
        self._interrupt = interrupt
        self._most = execution.wanted.most
        self._branches = 1 if self._most == 1 else processes.limits.search_branches
        self._fork_depth = 0
        self._began_s = 0.0
        self._running: dict[_Branch, None] = {}
        self._choices: list[_Choice] = []
        self._endings: list[Ending] = []
        self._failure: Ending | StillframeError | None = None
        self._is_over = False
        """Whether what still runs is not needed any more."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, process: Process, transcript: Transcript, fork_depth: int) -> list[Ending]:
        """The endings that were wanted, in the order of their choices, or the one that failed. None of them:
        every branch was rejected. Raises ResourceLimit where there was no room for a branch."""
        self._fork_depth = fork_depth
        try:
            self._began_s = time.monotonic()
            await self._follow(_Branch(process, self._order, transcript, ()))
            while self._tasks:
                await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._end_choices()
        if isinstance(self._failure, StillframeError):
            self._end(self._endings)
            raise self._failure
        if self._failure is not None:
            self._end(self._endings)
            return [self._failure]
        endings = sorted(self._endings, key=lambda ending: ending.answers)
        self._end(endings[self._most :] if self._most is not None else [])
        return endings[: self._most]

    async def _follow(self, branch: _Branch) -> None:
        """Run a branch to its end, answering its calls."""
        process, execution = branch.process, self.execution
        self._running[branch] = execution.processes[process] = None
        if execution.is_interrupted:  # while it waited for its process
            self._interrupt(execution, process)
        while True:
            said = await ask(self.processes, process, branch.order, branch.transcript)
            match said:
                case Snapshot():
                    branch.order = await self._rest(branch, said)
                case Choose():
                    branch.order = await self._choose(branch, said)
                case Raised():
                    branch.order = await self._rest_in_failure(branch)
                case _:
                    break
        process.transcript = None
        del self._running[branch], execution.processes[process]
        if isinstance(said, Reject):
            process.end("its branch was rejected")
        elif self._is_over:
            process.end("its branch was not needed any more")
        else:
            done = said if isinstance(said, Done) else None
            ending = Ending(process, done, branch.transcript, branch.answers)
            is_kept = execution.wanted.keeps_error and done is not None and not execution.is_reset
            if is_kept or not ending.is_failure:
                ending = ending._replace(state=self._accept(ending))
                if ending.state is not None and done is not None and done.was_raised:
                    ending.state.raised, branch.raised = branch.raised, None
            if ending.is_failure:
                self._fail(ending)
            else:
                self._endings.append(ending)
        self._let_go_of_failure(branch)
        self._go_on()

    def _accept(self, ending: Ending) -> State:
        """What a branch has come to is a state. It is nobody's yet."""
        state, done = self._new_state(ending.answers), ending.done
        assert done is not None
        if done.error is not None:
            state.kind = "error"
            state.where = Where(*done.where) if done.where is not None else None
        state.effects = done.effects
        if isinstance(self._order, Resume) and self.execution.state.kind == "error":
            state.effects = [*done.effects, "going on after a failure"]  # no replay comes to the middle of one
        state.fork_depth = self._fork_depth + sum(1 for answer in ending.answers if answer > 0)
        self.processes.freeze_soon(state, ending.process)
        return state

    def _new_state(self, answers: tuple[int, ...]) -> State:
        execution = self.execution
        state = State(execution.state, execution.code, time.monotonic() - self._began_s)
        state.answers = answers
        if isinstance(self._order, Resume):
            state.resumed_with = self._order.value
        return state

    def _go_on(self) -> None:
        """Begin the branches that there is room for, or end all where enough are known."""
        if self._is_enough():
            self._stop()
        if self._is_over or self.execution.is_stopped:
            self._end_choices()
        while self._choices and len(self._running) < self._branches:
            choice = min(self._choices, key=lambda choice: choice.next_answers)
            try:
                self.processes.check_room()
                branch = self._branch_of(choice)
            except StillframeError as error:
                self._fail(error)
                return
            self._running[branch] = None
            task = asyncio.get_running_loop().create_task(self._follow(branch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _branch_of(self, choice: _Choice) -> _Branch:
        """The next option of a choice, in a fork of its frozen copy, which ends with its last one."""
        if not choice.place.can_fork:
            end = choice.place.frozen.describe_end() if choice.place.frozen is not None else "it has ended"
            raise StateUnreachable(
                f"the process that rested in a choice is gone: {end}.", "Execute it again."
            )
        process = self.processes.fork(choice.place)
        branch = _Branch(process, Chosen(choice.next_option), choice.transcript.copy(), choice.next_answers)
        choice.next_option += 1
        if choice.next_option == choice.count:
            self._choices.remove(choice)
            self.processes.release(choice.place)
        return branch

    def _is_enough(self) -> bool:
        """Whether the endings that are wanted are known: none that comes could be before them."""
        if self._most is None or len(self._endings) < self._most:
            return False
        last = sorted(ending.answers for ending in self._endings)[self._most - 1]
        open_answers = [branch.answers for branch in self._running]
        open_answers += [choice.next_answers for choice in self._choices]
        return all(last < answers for answers in open_answers)

    def _fail(self, failure: Ending | StillframeError) -> None:
        self._failure = failure
        self._stop()

    def _stop(self) -> None:
        self._is_over = True
        for branch in self._running:
            branch.process.end("its branch was not needed any more")

    def _end_choices(self) -> None:
        choices, self._choices = self._choices, []
        for choice in choices:
            self.processes.release(choice.place)

    def _end(self, endings: Sequence[Ending]) -> None:
        for ending in endings:
            if ending.state is not None:
                self.processes.release(ending.state)

    # What a cell calls

    async def _rest(self, branch: _Branch, call: Snapshot) -> Message:
        """Make the state that snapshot() asks for. Returns what the call is answered."""
        state = self._new_state(branch.answers)
        state.kind = "call"
        state.where = Where(call.file, call.line, call.function)
        state.effects = call.effects
        outputs = branch.transcript.copy().finish()
        state.output_digest = digest(outputs)
        refusal = await self._freeze(branch, state, call.name, f"snapshot({call.name!r})")
        if refusal is not None:
            return refusal
        if not self.execution.is_reset:
            self._keep(state, call.name, outputs)
        branch.answers = (*branch.answers, PASSED)
        return Proceed()

    async def _rest_in_failure(self, branch: _Branch) -> Message:
        """Freeze the process where it has raised something, if that is wanted and there is room. It goes on failing."""
        self._let_go_of_failure(branch)
        if self.execution.wanted.keeps_error and not self.execution.is_reset:
            place = self._new_state(branch.answers)
            if await self._freeze(branch, place, None, "on_error") is None:
                branch.raised = place
        return Proceed()

    def _let_go_of_failure(self, branch: _Branch) -> None:
        if branch.raised is not None:
            self.processes.release(branch.raised)
            branch.raised = None

    async def _choose(self, branch: _Branch, call: Choose) -> Message:
        """Freeze the process at its choice. It goes on itself with the first option."""
        place = self._new_state(branch.answers)
        refusal = await self._freeze(branch, place, None, "choose()")
        if refusal is None and place.hazards:
            self.processes.release(place)
            reason = "; ".join(place.hazards)
            refusal = _refused(StateUnreachable(
                f"choose() cannot branch here: {reason} would not be there in a branch.",
                "End the threads before, or choose first.",
            ))  # fmt: skip
        if refusal is not None:
            return refusal
        self._choices.append(_Choice(place, call.count, branch))
        branch.transcript = branch.transcript.copy()
        branch.answers = (*branch.answers, 0)
        self._go_on()
        return Chosen(0)

    async def _freeze(self, branch: _Branch, state: State, name: str | None, call: str) -> Refused | None:
        """Have the process fork a frozen copy, which becomes `state`. What the call raises where it cannot."""
        state.fork_depth = self._fork_depth
        try:
            if name is not None:
                check_name(name)
            self.processes.check_room()
        except (BadRequest, ResourceLimit) as error:
            return _refused(error)
        frozen = await self.processes.freeze_inside(state, branch.process)
        if frozen.is_alive and branch.process.is_alive:
            return None
        self.processes.release(state)
        return _refused(
            ResourceLimit(f"{call}: {frozen.describe_end()}.", "Delete states that are not needed.")
        )


async def ask(
    processes: Processes, process: Process, message: Message, transcript: Transcript
) -> FromProcess | None:
    """Have `process` go on with what it is told. Its next question, Done, or None where it has ended."""
    answer = processes.expect(process)
    process.transcript = transcript
    process.send(message)
    return await answer


async def replay(
    processes: Processes, process: Process, state: State, transcript: Transcript
) -> FromProcess | None:
    """Run `state`'s cell as it was run, answering its calls as they were answered. What it says at last: Done, or
    the call in which the state rests."""
    said = await ask(processes, process, order_of(state), transcript)
    for answer in state.answers:
        if not isinstance(said, Snapshot | Choose):
            break
        message = Proceed() if answer == PASSED else Chosen(answer)
        said = await ask(processes, process, message, transcript)
    process.transcript = None
    return said


def is_as_before(state: State, said: FromProcess | None, transcript: Transcript) -> bool:
    """Whether a replay has come to where the cell of `state` came to, and has put out the same."""
    if isinstance(said, Done):
        is_there = state.kind == ("cell" if said.error is None else "error")
        return is_there and digest(transcript.finish(said.left_out)) == state.output_digest
    return (
        isinstance(said, Snapshot)
        and state.kind == "call"
        and digest(transcript.finish()) == state.output_digest
    )


def order_of(state: State) -> Order:
    """What made `state` in the process of its parent."""
    is_resumed = state.parent is not None and state.parent.kind == "call"
    return Resume(state.resumed_with) if is_resumed else Execute(state.code)


def _refused(error: StillframeError) -> Refused:
    return Refused(error.code, error.message, error.hint)

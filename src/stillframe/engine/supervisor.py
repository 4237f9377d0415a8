"""The supervisor: it keeps the tree, and has cells run by state processes.

Invariants:
  * It touches no user object: it neither forks, unpickles nor runs user code.
  * It never waits for a state process except in a coroutine, so no execution holds up another one.
  * A state is in the tree from the moment its execution has succeeded; a failed execution leaves the tree
    as it was.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from stillframe.engine import machine, replies
from stillframe.engine.journal import Journal
from stillframe.engine.keeping import Keeping
from stillframe.engine.looks import Looks
from stillframe.engine.moving import Moving
from stillframe.engine.process import Process
from stillframe.engine.processes import Processes
from stillframe.engine.protocol import (
    Complete,
    Evaluate,
    Execute,
    Frames,
    Inspect,
    Request,
    Resume,
    Seen,
    Show,
    Variables,
)
from stillframe.engine.running import Ending, Execution, Run, Wanted
from stillframe.engine.transcript import Sink, Transcript, digest
from stillframe.engine.tree import Names, Notes, State, replay_costs_s
from stillframe.engine.watch import Watch
from stillframe.engine.ways import Ways
from stillframe.errors import BadRequest, NameTaken, StateNotFound, StillframeError, VariableNotFound
from stillframe.model import INITIAL, ExecutionError, Keep, Limits, Node, Output, Reply, Tree

_AFTER_REPLY_S = 0.002
"""How long after an execution what can wait is done: not while its reply is on its way."""
_MEMORY_AGE_S = 5.0


class Supervisor:
    """The engine's door: everything that can be asked of a kernel. `store` is the directory of its store."""

    def __init__(
        self, limits: Limits | None = None, store: Path | None = None, keep: Keep = "always"
    ) -> None:
        self.limits = limits or Limits()
        self.journal = Journal()
        self.started_s = time.monotonic()
        self.counts = {"succeeded": 0, "user": 0, "interrupted": 0, "died": 0, "refused": 0, "reset": 0}
        self.processes = Processes(self.limits, self._on_change)
        self.keeping = Keeping(store, keep, self.processes, self._tell) if store is not None else None
        self._notes = self.keeping.catalog if self.keeping is not None else Notes()
        self.names = Names(self._notes)
        self.ways = Ways(self.processes, self.keeping)
        self.moving = Moving(self)
        self.looks = Looks(self.processes, self.ways)
        self._executions: dict[Execution, None] = {}
        self._interrupts: set[asyncio.Task[None]] = set()
        self._watch = Watch(self.processes, self._running_processes)
        self._memory: dict[str, tuple[float, Any]] = {}

    async def start(self) -> None:
        """Start the first state process, and find what the store has. Costs some 0.25 s.

        Raises StoreInUse, StoreTooNew, StoreDamaged, StoreReadOnly.
        """
        starting = asyncio.create_task(self.processes.start())
        try:
            known = await self.keeping.open(self.names) if self.keeping is not None else []
        finally:
            await starting
        for state in known:
            if state.kind == "initial" and state.names:
                state.frozen = self.processes.root
                self.processes.prepare_spare(state)
        if not known:
            self._make_initial()

    def in_use(self) -> list[State]:
        """The states in which something runs."""
        return [execution.state for execution in self._executions]

    def end_executions(self) -> None:
        """End what runs: the kernel is about to stop, or is being reset."""
        for execution in self._executions:
            execution.is_reset = True
            for process in execution.processes:
                process.end("the kernel was reset")

    async def finish(self) -> None:
        """Store what is to be stored, before stop(). May be cancelled: what is not stored then is lost."""
        if self.keeping is not None:
            await self.keeping.finish()
            await self.moving.note_used()

    def stop(self) -> None:
        """End every process of this kernel, and close its store. Blocks until that is done."""
        self.journal.close()
        self._watch.stop()
        self.moving.stop()
        if self.keeping is not None:
            self.keeping.stop()
        self.processes.stop()

    def _make_initial(self) -> State:
        state = State(None, "")
        state.frozen = self.processes.root
        state.settled.set()
        self._notes.made(state, [])
        self.names.bind(INITIAL, state)
        self.processes.prepare_spare(state)
        return state

    # Executing

    async def execute(
        self, exec_id: str | int, state_name: str, wanted: Wanted, sink: Sink | None = None
    ) -> Reply:
        """Run a cell in a state, or go on from one inside a call. What goes wrong is in the reply; nothing is
        raised."""
        state = self.names.get(state_name)
        if state is None:
            return self._refused("StateNotFound", state_name)
        order = wanted.order
        if isinstance(order, Execute) and not order.code.strip():
            return self._copy(state, wanted.name)
        if isinstance(order, Execute) and state.kind == "call":
            return self._refused("RestsInCall", replies.no_cell_in(state, state_name))
        if isinstance(order, Resume) and (why := replies.not_resumable(state, state_name, order)) is not None:
            return self._refused(*why)
        execution = Execution(exec_id, state, state_name, wanted)
        transcript = Transcript(self.limits, sink)
        self._begin(execution)
        try:
            return await self._execute(execution, transcript, sink)
        except StillframeError as error:
            if execution.is_reset:  # and so what it waited for has ended
                return self._ended_by_a_reset(transcript)
            return self._refused(error.code, str(error), transcript.finish())
        finally:
            self._finish(execution)

    def _ended_by_a_reset(self, transcript: Transcript) -> Reply:
        self.counts["reset"] += 1
        return Reply(transcript.finish(), None, ExecutionError("KernelReset", "", [], "reset"))

    async def _execute(self, execution: Execution, transcript: Transcript, sink: Sink | None) -> Reply:
        state, wanted = execution.state, execution.wanted
        self._used(state)
        place = state.raised if isinstance(wanted.order, Resume) and state.raised is not None else state
        with self.processes.using(state):
            process = await self.ways.process_in(place, execution)
        is_tip = process is state.tip
        began_s = time.monotonic()
        endings = [Ending(process, None, transcript)]
        if not execution.is_stopped:  # while it waited for its process
            run = Run(execution, self.processes, self._add, self._interrupt_soon)
            endings = await run.run(process, transcript, state.fork_depth + (0 if is_tip else 1))
        error = replies.error_of(execution, endings)
        self._after(state, is_branched=place is state and (error is not None or not is_tip))
        if error is not None:
            ending = endings[0] if endings else Ending(process, None, transcript)
            self.counts[error.kind] += 1
            return self._failed(error, ending, wanted.error_name, sink, time.monotonic() - began_s)
        if wanted.most == 1:
            return self._succeeded(endings[0], wanted.name, sink)
        branches = [
            self._succeeded(ending, wanted.name and f"{wanted.name}/{number}", None)
            for number, ending in enumerate(endings, 1)
        ]
        return msgspec.structs.replace(branches[0], branches=branches)

    def _succeeded(self, ending: Ending, name: str | None, sink: Sink | None) -> Reply:
        """What a branch has come to is a state of the tree."""
        state, outputs = ending.state, replies.outputs_of(ending, sink)
        assert state is not None
        self.counts["succeeded"] += 1
        return replies.succeeded(state, self._add(state, name, outputs), ending, outputs)

    def _failed(
        self, error: ExecutionError, ending: Ending, name: str | None, sink: Sink | None, duration_s: float
    ) -> Reply:
        """A branch has failed; what it has left behind is a state of the tree where that is wanted."""
        outputs = replies.outputs_of(ending, sink)
        reply = replies.failed(error, ending, outputs, duration_s)
        if ending.state is None:
            ending.process.end()
            return reply
        return msgspec.structs.replace(reply, error_state=self._add(ending.state, name, outputs))

    def _add(self, state: State, name: str | None, outputs: list[Output]) -> str:
        """Have a state in the tree, under a name."""
        state.output_digest = digest(outputs)
        self._notes.made(state, outputs)
        name = self._bind(name, state)
        if state.settled.is_set() and self.keeping is not None:  # it was nobody's when it settled
            self.keeping.changed(state)
        return name

    def _bind(self, name: str | None, state: State) -> str:
        """Name a state; one that loses its last name thereby ends."""
        name = self.names.fresh() if name is None else name
        lost = self.names.bind(name, state)
        if lost is not None:  # ending its processes takes a core, which the reply needs now
            asyncio.get_running_loop().call_later(_AFTER_REPLY_S, self._drop, lost, name)
        self.journal.add("state_created", state_id=state.id, name=name)
        return name

    def _copy(self, state: State, new_name: str | None) -> Reply:
        """No code: the same state, since it never changes, under another name."""
        name = self._bind(new_name, state)
        return Reply([], name, None, state_id=state.id)

    def _after(self, state: State, is_branched: bool) -> None:
        """A state was run in. If others go on from it, the next one will not wait for a fork."""
        if is_branched:
            asyncio.get_running_loop().call_later(_AFTER_REPLY_S, self.processes.prepare_spare, state)

    def _refused(self, ename: str, evalue: str, outputs: list[Output] | None = None) -> Reply:
        self.counts["refused"] += 1
        return replies.refused(ename, evalue, outputs or [])

    def _begin(self, execution: Execution) -> None:
        self._executions[execution] = None
        self.journal.add("execution_started", exec_id=execution.exec_id, name=execution.state_name)
        self._watch.begin()

    def _finish(self, execution: Execution) -> None:
        del self._executions[execution]
        self.journal.add("execution_finished", exec_id=execution.exec_id, name=execution.state_name)

    def _running_processes(self) -> list[Process | None]:
        return [process for execution in self._executions for process in execution.processes or (None,)]

    # Interrupting, resetting

    def interrupt(self, exec_id: str | int) -> bool:
        """Interrupt what runs under this id; kill it after the grace. False: nothing does."""
        found = [execution for execution in self._executions if execution.exec_id == exec_id]
        for execution in found:
            if not execution.is_interrupted:
                execution.is_interrupted = True
                for process in execution.processes:
                    self._interrupt_soon(execution, process)
        return bool(found)

    def _interrupt_soon(self, execution: Execution, process: Process) -> None:
        task = asyncio.get_running_loop().create_task(self._interrupt(execution, process))
        self._interrupts.add(task)
        task.add_done_callback(self._interrupts.discard)

    async def _interrupt(self, execution: Execution, process: Process) -> None:
        if not await self.processes.is_born(process):
            return
        process.signal(signal.SIGINT)
        await asyncio.sleep(self.limits.interrupt_grace_s)
        if process in execution.processes:
            process.end("it did not end within the grace after an interrupt")

    async def reset(self) -> None:
        """Only a fresh initial state is left, and nothing runs."""
        self.end_executions()
        states = self.names.states()
        self.names.clear()
        if self.keeping is not None:
            self.keeping.reset()
        for state in states:
            self.processes.release(state)
        self.processes.sweep_leftovers()
        await self.processes.living_root()
        self._make_initial()
        self.journal.add("reset")

    # States

    def state(self, name: str) -> State:
        """The state that `name` points to. StateNotFound where there is none."""
        state = self.names.get(name)
        if state is None:
            raise StateNotFound.among(name, self.names)
        return state

    def delete(self, name: str) -> None:
        """Remove a name, and the state's processes with its last one."""
        self.state(name)
        lost = self.names.remove(name)
        if lost is not None:
            self._drop(lost, name)

    def rename(self, name: str, new_name: str) -> None:
        """Have a state go by another name. NameTaken where another state has it."""
        state = self.state(name)
        if new_name in self.names and self.names.get(new_name) is not state:
            raise NameTaken(
                f"another state is called {new_name!r}.", "Delete it first, or choose another name."
            )
        self.names.bind(new_name, state)
        if new_name != name:
            self.names.remove(name)
        self.journal.add("state_renamed", state_id=state.id, name=new_name, old_name=name)

    def pin(self, name: str, is_pinned: bool) -> None:
        """Keep the processes of a state, whatever the budgets; or let them go again."""
        state = self.state(name)
        if state.is_pinned != is_pinned:
            state.is_pinned = is_pinned
            self._notes.changed(state)
            self._on_change(state)

    def _drop(self, state: State, name: str) -> None:
        if not state.users:
            self.processes.release(state)
        self.journal.add("state_deleted", state_id=state.id, name=name)

    def _on_change(self, state: State) -> None:
        self._tell("state_changed", state)
        if self.keeping is not None:
            self.keeping.changed(state)

    def _tell(self, event: str, state: State) -> None:
        if state.names:
            self.journal.add(event, state_id=state.id, name=state.names[0])

    def _used(self, state: State) -> None:
        state.used = datetime.now(UTC)
        if self.keeping is not None:
            self.keeping.evictions.used(state)

    # Looking

    async def look(self, name: str, request: Request) -> Seen:
        """What a fork of the state sees."""
        state = self.state(name)
        self._used(state)
        return await self.looks.look(state, name, request)

    async def variables(self, name: str) -> bytes:
        """The variables of a state, as a JSON object."""
        return (await self.look(name, Variables())).json

    async def show(self, name: str, variable: str) -> bytes:
        """One variable, as JSON. VariableNotFound where there is none."""
        seen = await self.look(name, Show(variable))
        if not seen.found:
            raise VariableNotFound.among(variable, name, msgspec.json.decode(seen.json, type=list[str]))
        return seen.json

    async def complete(self, name: str, code: str, cursor: int) -> bytes:
        return (await self.look(name, Complete(code, cursor))).json

    async def inspect(self, name: str, code: str, cursor: int, detail: int) -> bytes:
        return (await self.look(name, Inspect(code, cursor, detail))).json

    async def frames(self, name: str) -> bytes:
        """The frames that a state inside a call is in, as a JSON array; of any other state none."""
        return (await self.look(name, Frames())).json

    async def evaluate(self, name: str, frame: int | None, code: str) -> bytes:
        """The value of an expression in a frame, as JSON. BadRequest where there is no such frame."""
        seen = await self.look(name, Evaluate(frame, code))
        if not seen.found:
            raise BadRequest(f"state {name!r} has no frame {frame}: there are {seen.json.decode()}.")
        return seen.json

    async def tree(self, with_memory: bool = True) -> Tree:
        """Every named state and its ancestors, and what runs."""
        states = self.names.states()
        if with_memory:
            await self._measure(states)
        costs = replay_costs_s(states)
        nodes = [self._node(state, costs, with_memory) for state in states]
        store = self.keeping.figures() if self.keeping is not None else None
        return Tree(nodes, [execution.running() for execution in self._executions], store)

    def _node(self, state: State, costs: dict[State, float], with_memory: bool) -> Node:
        node = state.node(self.limits.replay_s, costs)
        measured = self._memory.get(state.id) if with_memory else None
        return msgspec.structs.replace(node, memory=measured[1]) if measured else node

    async def _measure(self, states: list[State]) -> None:
        """Read the memory of the states' processes in a thread: the kernel walks their page tables."""
        for process in [process for state in states for process in state.processes()]:
            await self.processes.is_born(process)
        now_s = time.monotonic()
        self._memory = {state.id: self._memory[state.id] for state in states if state.id in self._memory}
        wanted = [
            (state.id, [process.pid for process in state.processes() if process.pid is not None])
            for state in states
            if now_s - self._memory.get(state.id, (-_MEMORY_AGE_S, None))[0] >= _MEMORY_AGE_S
        ]
        measured = await asyncio.to_thread(
            lambda: [(id, machine.memory_of(pids)) for id, pids in wanted if pids]
        )
        self._memory.update({id: (now_s, memory) for id, memory in measured})

    # Figures

    @property
    def executions(self) -> list[Execution]:
        return list(self._executions)

    def health(self) -> dict[str, Any]:
        """What a monitor asks."""
        return {
            "status": "ok",
            "uptime_s": round(time.monotonic() - self.started_s, 3),
            "states": sum(1 for _ in self.names),
            "processes": len(self.processes),
            "executions": len(self._executions),
            "available_memory_bytes": machine.available_memory(),
            "python": sys.version.split()[0],
            "store": self.keeping.figures() if self.keeping is not None else None,
        }

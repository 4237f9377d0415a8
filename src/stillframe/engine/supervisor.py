"""The supervisor: it keeps the tree, and has cells run by state processes.

Invariants:
  * It touches no user object: it neither forks, unpickles nor runs user code.
  * It never waits for a state process except in a coroutine, so no execution holds up another one.
  * A state is in the tree from the moment its execution has succeeded; a failed execution leaves the tree
    as it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from stillframe.engine import machine
from stillframe.engine.journal import Journal
from stillframe.engine.process import Process
from stillframe.engine.processes import Processes
from stillframe.engine.protocol import Complete, Done, Execute, Inspect, Request, Seen, Show, Variables
from stillframe.engine.transcript import Sink, Transcript, digest
from stillframe.engine.tree import Names, State
from stillframe.engine.watch import Watch
from stillframe.errors import (
    BadRequest,
    LookTimedOut,
    NameTaken,
    ResourceLimit,
    StateNotFound,
    StateUnreachable,
    StillframeError,
    VariableNotFound,
)
from stillframe.model import INITIAL, ErrorKind, ExecutionError, Limits, Node, Output, Reply, Running, Tree

_AFTER_REPLY_S = 0.002
"""How long after an execution what can wait is done: not while its reply is on its way."""
_SEEN_LOOKS = 256
_MEMORY_AGE_S = 5.0


class Execution:
    """One execution in progress."""

    def __init__(self, exec_id: str | int, state_name: str, code: str) -> None:
        self.exec_id = exec_id
        self.state_name = state_name
        self.code = code
        self.started = datetime.now(UTC)
        self.began_s = time.monotonic()
        self.process: Process | None = None
        self.is_interrupted = False
        self.is_reset = False

    def running(self) -> Running:
        return Running(self.exec_id, self.state_name, self.started.isoformat(), self.code)


class Supervisor:
    """The engine's door: everything that can be asked of a kernel."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.journal = Journal()
        self.names = Names()
        self.started_s = time.monotonic()
        self.counts = {"succeeded": 0, "user": 0, "interrupted": 0, "died": 0, "refused": 0, "reset": 0}
        self.processes = Processes(self.limits, self._on_change)
        self._executions: dict[Execution, None] = {}
        self._interrupts: set[asyncio.Task[None]] = set()
        self._watch = Watch(self.processes, self._running_processes)
        self._memory: dict[str, tuple[float, Any]] = {}

    async def start(self) -> None:
        """Start the first state process. Costs some 0.25 s."""
        await self.processes.start()
        self._make_initial()

    def end_executions(self) -> None:
        """End what runs: the kernel is about to stop, or is being reset."""
        for execution in self._executions:
            execution.is_reset = True
            if execution.process is not None:
                execution.process.end("the kernel was reset")

    def stop(self) -> None:
        """End every process of this kernel. Blocks until they have ended."""
        self.journal.close()
        self._watch.stop()
        self.processes.stop()

    def _make_initial(self) -> State:
        state = State(None, "")
        state.frozen = self.processes.root
        state.settled.set()
        self.names.bind(INITIAL, state)
        self.processes.prepare_spare(state)
        return state

    # Executing

    async def execute(
        self,
        code: str,
        exec_id: str | int,
        state_name: str,
        new_state_name: str | None = None,
        sink: Sink | None = None,
    ) -> Reply:
        """Run `code` in a state. What goes wrong is in the reply; nothing is raised."""
        state = self.names.get(state_name)
        if state is None:
            return self._refused("StateNotFound", state_name)
        if not code.strip():
            return self._copy(state, new_state_name)
        execution = Execution(exec_id, state_name, code)
        transcript = Transcript(self.limits, sink)
        self._begin(execution)
        try:
            return await self._execute(execution, state, new_state_name, transcript)
        except StillframeError as error:
            return self._refused(error.code, str(error), transcript.finish())
        finally:
            self._finish(execution)

    async def _execute(
        self, execution: Execution, state: State, new_name: str | None, transcript: Transcript
    ) -> Reply:
        with self._using(state):
            process = await self._process_in(state, execution)
        is_tip = process is state.tip
        began_s = time.monotonic()
        done = None
        if not execution.is_interrupted and not execution.is_reset:  # while it waited for its process
            done = await self._run(execution, process, execution.code, transcript)
        duration_s = time.monotonic() - began_s
        outputs = transcript.finish(done.left_out if done is not None else 0)
        error = self._error_of(execution, process, done)
        if error is not None or done is None:
            process.end()
            self._after(state, is_branched=True)
            assert error is not None
            return self._failed(error, outputs, done, duration_s)
        new = self._new_state(state, execution.code, duration_s, outputs, done, is_tip)
        name = self._bind(new_name, new)
        self.processes.freeze_soon(new, process)
        self._after(state, is_branched=not is_tip)
        self.counts["succeeded"] += 1
        return Reply(
            outputs, name, None, done.accessed, done.modified, done.deleted, new.id, round(duration_s, 6)
        )

    @contextlib.contextmanager
    def _using(self, state: State) -> Iterator[None]:
        """Keep what holds `state`, though its last name may go meanwhile."""
        state.users += 1
        try:
            yield
        finally:
            state.users -= 1
            if not state.names and not state.users:
                self.processes.release(state)

    async def _process_in(self, state: State, execution: Execution) -> Process:
        """A process that is in `state` and nobody else's: one that waits, a fork, or a replay."""
        process = self.processes.take_ready(state)
        if process is not None:
            return process
        await self.processes.settled(state)
        if state.frozen is self.processes.root and self.processes.root is not None:
            await self._check_root(state)
        if state.can_fork:
            self.processes.check_room()
            return self.processes.fork(state)
        return await self._replay(state, execution)

    async def _check_root(self, state: State) -> None:
        """The root has run no user code; where a program has killed it, a new one is the same."""
        if state.frozen is not None and not state.frozen.is_alive:
            state.frozen = await self.processes.start_root()

    async def _run(
        self, execution: Execution, process: Process, code: str, transcript: Transcript
    ) -> Done | None:
        """Have `process` run a cell. None: it has ended instead."""
        answer = self.processes.expect(process)
        execution.process = process
        process.transcript = transcript
        process.send(Execute(code))
        if execution.is_interrupted:
            self._interrupt_soon(execution)
        done = await answer
        process.transcript = None
        execution.process = None
        return done if isinstance(done, Done) else None

    async def _replay(self, state: State, execution: Execution) -> Process:
        """Run the cells of the lineage again, from the nearest ancestor that can be forked."""
        plan = state.replay_from(self.limits.replay_s)
        reason = "; ".join(state.hazards) or "its process has ended"
        if isinstance(plan, str):
            raise StateUnreachable(
                f"state {execution.state_name!r} cannot be forked ({reason}) and not replayed ({plan}).",
                "It could only be gone on from its tip, which has gone on already; run its cells in another state.",
            )
        ancestor, states = plan
        self.processes.check_room()
        process = self.processes.fork(ancestor)
        for replayed in states:
            transcript = Transcript(self.limits)
            done = await self._run(execution, process, replayed.code, transcript)
            outputs = transcript.finish(done.left_out if done is not None else 0)
            if execution.is_interrupted or execution.is_reset:
                return process
            if done is None or done.error is not None or digest(outputs) != replayed.output_digest:
                process.end()
                raise StateUnreachable(
                    f"state {execution.state_name!r} cannot be forked ({reason}), and replaying its lineage gave "
                    f"something else in the cell {replayed.code[:80]!r}.",
                    "It could only be gone on from its tip, which has gone on already.",
                )
        return process

    def _new_state(
        self, parent: State, code: str, duration_s: float, outputs: list[Output], done: Done, is_tip: bool
    ) -> State:
        state = State(parent, code, duration_s)
        state.output_digest = digest(outputs)
        state.effects = done.effects
        state.fork_depth = parent.fork_depth + (0 if is_tip else 1)
        return state

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

    def _error_of(self, execution: Execution, process: Process, done: Done | None) -> ExecutionError | None:
        if execution.is_reset:
            return ExecutionError("KernelReset", "", [], "reset")
        if done is None:
            if execution.is_interrupted:
                return ExecutionError("KeyboardInterrupt", "", [], "interrupted")
            if process.fork_errno is not None:
                raise ResourceLimit(process.describe_end() + ".", "Delete states that are not needed.")
            evalue = f"the process that ran this cell ended: {process.describe_end()}"
            return ExecutionError("StateProcessDied", evalue, [], "died")
        if done.error is None:
            return None
        ename, evalue, lines = done.error
        kind: ErrorKind = "interrupted" if execution.is_interrupted and done.interrupted else "user"
        return ExecutionError(ename, evalue, lines, kind)

    def _refused(self, ename: str, evalue: str, outputs: list[Output] | None = None) -> Reply:
        self.counts["refused"] += 1
        return Reply(outputs or [], None, ExecutionError(ename, evalue, [], "refused"))

    def _failed(
        self, error: ExecutionError, outputs: list[Output], done: Done | None, duration_s: float
    ) -> Reply:
        self.counts[error.kind] += 1
        names = (done.accessed, done.modified, done.deleted) if done is not None else ([], [], [])
        return Reply(outputs, None, error, *names, None, round(duration_s, 6))

    def _begin(self, execution: Execution) -> None:
        self._executions[execution] = None
        self.journal.add("execution_started", exec_id=execution.exec_id, name=execution.state_name)
        self._watch.begin()

    def _finish(self, execution: Execution) -> None:
        del self._executions[execution]
        self.journal.add("execution_finished", exec_id=execution.exec_id, name=execution.state_name)

    def _running_processes(self) -> list[Process | None]:
        return [execution.process for execution in self._executions]

    # Interrupting, resetting

    def interrupt(self, exec_id: str | int) -> bool:
        """Interrupt what runs under this id; kill it after the grace. False: nothing does."""
        found = [execution for execution in self._executions if execution.exec_id == exec_id]
        for execution in found:
            if not execution.is_interrupted:
                execution.is_interrupted = True
                if execution.process is not None:
                    self._interrupt_soon(execution)
        return bool(found)

    def _interrupt_soon(self, execution: Execution) -> None:
        task = asyncio.get_running_loop().create_task(self._interrupt(execution))
        self._interrupts.add(task)
        task.add_done_callback(self._interrupts.discard)

    async def _interrupt(self, execution: Execution) -> None:
        process = execution.process
        if process is None or not await self.processes.is_born(process):
            return
        process.signal(signal.SIGINT)
        await asyncio.sleep(self.limits.interrupt_grace_s)
        if execution.process is process:
            process.end("it did not end within the grace after an interrupt")

    async def reset(self) -> None:
        """Only a fresh initial state is left, and nothing runs."""
        self.end_executions()
        for state in self.names.states():
            self.processes.release(state)
        self.names.clear()
        self.processes.sweep_leftovers()
        root = self.processes.root
        if root is None or not root.is_alive:
            await self.processes.start_root()
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

    def _drop(self, state: State, name: str) -> None:
        if not state.users:
            self.processes.release(state)
        self.journal.add("state_deleted", state_id=state.id, name=name)

    def _on_change(self, state: State) -> None:
        if state.names:
            self.journal.add("state_changed", state_id=state.id, name=state.names[0])

    # Looking

    async def variables(self, name: str) -> bytes:
        """The variables of a state, as a JSON object."""
        return (await self._look(name, Variables())).json

    async def show(self, name: str, variable: str) -> bytes:
        """One variable, as JSON. VariableNotFound where there is none."""
        seen = await self._look(name, Show(variable))
        if not seen.found:
            raise VariableNotFound.among(variable, name, msgspec.json.decode(seen.json, type=list[str]))
        return seen.json

    async def complete(self, name: str, code: str, cursor: int) -> bytes:
        return (await self._look(name, Complete(code, cursor))).json

    async def inspect(self, name: str, code: str, cursor: int, detail: int) -> bytes:
        return (await self._look(name, Inspect(code, cursor, detail))).json

    async def _look(self, name: str, request: Request) -> Seen:
        """What a fork of the state sees. It is seen once: a state never changes."""
        state = self.state(name)
        task: asyncio.Task[Seen] | None = state.seen.get(request)
        if task is None:
            while len(state.seen) >= _SEEN_LOOKS:
                state.seen.pop(next(iter(state.seen)))
            task = asyncio.get_running_loop().create_task(self._see(state, name, request))
            state.seen[request] = task
            task.add_done_callback(lambda ended: ended.exception() and state.seen.pop(request, None))
        # From this moment on, not only from when the task begins.
        with self._using(state):
            return await asyncio.shield(task)

    async def _see(self, state: State, name: str, request: Request) -> Seen:
        with self._using(state):
            answer = await self._look_at(state, name, request)
        if isinstance(answer, Seen):
            return answer
        end = answer.describe_end()
        if "longer than" in end:
            raise LookTimedOut(f"looking at state {name!r} was ended: {end}.", "A repr in it may be slow.")
        raise StateUnreachable(f"looking at state {name!r} failed: {end}.", "A repr in it may have crashed.")

    async def _look_at(self, state: State, name: str, request: Request) -> Seen | Process:
        await self.processes.settled(state)
        if state.frozen is self.processes.root:
            await self._check_root(state)
        if state.frozen is None or not state.frozen.is_alive:
            end = state.frozen.describe_end() if state.frozen is not None else "it was never frozen"
            end = "; ".join([end, *state.hazards])
            raise StateUnreachable(f"state {name!r} cannot be looked at: {end}.", "Run its cells again.")
        self.processes.check_room()
        return await self.processes.look(state, request)

    async def tree(self, with_memory: bool = True) -> Tree:
        """Every named state and its ancestors, and what runs."""
        states = self.names.states()
        if with_memory:
            await self._measure(states)
        nodes = [self._node(state, with_memory) for state in states]
        return Tree(nodes, [execution.running() for execution in self._executions])

    def _node(self, state: State, with_memory: bool) -> Node:
        node = state.node(self.limits.replay_s)
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
        }


def check_name(name: str) -> str:
    """A state's name: any text but the empty one."""
    if not name:
        raise BadRequest("a state's name is empty.", "Any other text is a name.")
    with contextlib.suppress(UnicodeEncodeError):
        name.encode()
        return name
    raise BadRequest("a state's name holds half a surrogate pair.", "Names are text that UTF-8 can say.")

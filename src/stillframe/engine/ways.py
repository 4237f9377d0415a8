"""The ways back to a state: a process that waits in it, a fork, a restore, a replay; the cheapest that holds.

Invariants:
  * The process that is given is in the state and nobody else's.
  * Replay is done only where it is right: no effects, and the same outputs as before.
"""

from __future__ import annotations

import logging

from stillframe.engine.keeping import Keeping
from stillframe.engine.process import Process
from stillframe.engine.processes import Processes
from stillframe.engine.running import Execution, is_as_before, replay
from stillframe.engine.transcript import Transcript
from stillframe.engine.tree import DEEPEST, State
from stillframe.errors import ResourceLimit, StateUnreachable, StillframeError

_log = logging.getLogger("stillframe")


class Ways:
    """Finds processes for states."""

    def __init__(self, processes: Processes, keeping: Keeping | None) -> None:
        self._processes = processes
        self._keeping = keeping

    async def process_in(self, state: State, execution: Execution) -> Process:
        """A live process in `state`, for an execution. Raises StateUnreachable where no way leads to it."""
        name = execution.state_name
        while True:
            process = self._processes.take_ready(state)
            if process is not None:
                return process
            await self._processes.settled(state)
            await self._check_root(state)
            if state.can_fork and not await self._is_rebased(state, name):
                await self.make_room()
                if state.can_fork:  # still
                    return self._processes.fork(state)
            elif not state.can_fork and not await self._is_back(state, name):
                return await self._replay(state, execution)

    async def frozen(self, state: State, name: str) -> None:
        """Have the frozen process of `state` there, for a look. Raises StateUnreachable where that cannot be."""
        await self._processes.settled(state)
        await self._check_root(state)
        if not _is_frozen(state) and await self._is_back(state, name):
            await self._processes.settled(state)
        if not _is_frozen(state):
            end = state.frozen.describe_end() if state.frozen is not None else "it was never frozen"
            reasons = "; ".join([end, *state.hazards, *state.obstacles])
            raise StateUnreachable(f"state {name!r} cannot be looked at: {reasons}.", "Run its cells again.")

    async def make_room(self) -> None:
        """There is room for another process, or states are evicted until there is. Raises ResourceLimit."""
        while True:
            try:
                return self._processes.check_room()
            except ResourceLimit:
                if self._keeping is None or not await self._keeping.evictions.free():
                    raise

    async def _check_root(self, state: State) -> None:
        if state.frozen is not None and state.frozen is self._processes.root:
            state.frozen = await self._processes.living_root()

    async def _is_back(self, state: State, name: str) -> bool:
        """Have a state's processes there again, from its snapshot."""
        if self._keeping is None:
            return False
        await self.make_room()
        return await self._keeping.bring_back(state, name)

    async def _is_rebased(self, state: State, name: str) -> bool:
        """Restore a state that is deep in a chain of forks. Where that fails it can still be forked."""
        if self._keeping is None or state.fork_depth <= DEEPEST or not state.snapshot:
            return False
        try:
            return await self._is_back(state, name)
        except StillframeError as error:
            _log.warning("%s It is forked at a depth of %d instead.", error, state.fork_depth)
            return False

    async def _replay(self, state: State, execution: Execution) -> Process:
        """Run the cells of the lineage again, from the nearest ancestor that can be forked or restored."""
        name = execution.state_name
        plan = state.replay_from(self._processes.limits.replay_s)
        reason = "; ".join([*state.hazards, *state.obstacles]) or "its process has ended"
        if isinstance(plan, str):
            raise StateUnreachable(
                f"state {name!r} cannot be forked ({reason}) and not replayed ({plan}).",
                "It could only be gone on from its tip, which has gone on already; run its cells in another state.",
            )
        ancestor, states = plan
        process = await self._begin_at(ancestor, name)
        for replayed in states:
            transcript = Transcript(self._processes.limits)
            execution.processes[process] = None
            said = await replay(self._processes, process, replayed, transcript)
            del execution.processes[process]
            if execution.is_stopped:
                return process
            if not is_as_before(replayed, said, transcript):
                process.end()
                raise StateUnreachable(
                    f"state {name!r} cannot be forked ({reason}), and replaying its lineage gave something else in "
                    f"the cell {replayed.code[:80]!r}.",
                    "It could only be gone on from its tip, which has gone on already.",
                )
        return process

    async def _begin_at(self, ancestor: State, name: str) -> Process:
        await self.make_room()
        if ancestor.can_fork:
            return self._processes.fork(ancestor)
        if self._keeping is None or not ancestor.snapshot:
            raise StateUnreachable(
                f"the ancestor that state {name!r} is replayed from has ended.", "Try again."
            )
        return await self._keeping.live(ancestor, f"the ancestor {ancestor.id} of {name}")


def _is_frozen(state: State) -> bool:
    return state.frozen is not None and state.frozen.is_alive

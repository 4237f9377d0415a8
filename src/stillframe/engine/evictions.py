"""Evictions: processes of the states that were not used for longest end, where there are too many of them.

Invariants:
  * A state's processes are ended only when its snapshot is durable. Pinned states and states in use keep theirs.
  * A state that cannot be captured keeps its processes, whatever the budget, as long as there is room for one
    more; then it is ended only if it can be replayed and no other state is replayed from it.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict

from stillframe.engine import machine
from stillframe.engine.captures import Captures, Tell
from stillframe.engine.processes import Processes
from stillframe.engine.tree import Names, State

_READY_SHARE = 4
"""One of so many processes under the budget may wait for a cell; the others are states."""
_FREED_SHARE = 8
"""Where there is no room at all, one of so many states is evicted at once."""
_LOOK_S = 1.0
"""How often memory is looked at while states are made."""
_LOOK_SHARE = 10
"""Looking at memory takes at most one part in so many of the time."""


class Evictions:
    """Keeps the processes that hold states at rest within their budgets."""

    def __init__(self, processes: Processes, captures: Captures, tell: Tell) -> None:
        self._processes = processes
        self._captures = captures
        self._tell = tell
        self._limits = processes.limits
        self._held: OrderedDict[State, None] = OrderedDict()
        """The states that have a frozen process, the least recently used first."""
        self._has_grown = False
        self._evicting: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self.names: Names | None = None
        self.count = 0
        share = max(1, self._budget // _READY_SHARE)
        processes.most_ready = min(self._limits.ready_processes, share)
        processes.standbys.most = min(self._limits.standby_processes, share // 2)

    @property
    def _budget(self) -> int:
        return min(self._limits.process_budget, self._processes.most * 9 // 10)

    def changed(self, state: State) -> None:
        """A state has been frozen, or its processes have ended."""
        frozen = state.frozen
        if frozen is None or not frozen.is_alive or frozen is self._processes.root or not state.names:
            self._held.pop(state, None)
            return
        if state not in self._held:
            self._held[state] = None
            self._has_grown = True
        loop = asyncio.get_running_loop()
        if self._is_over() and (self._evicting is None or self._evicting.done()):
            self._evicting = loop.create_task(self._evict_excess())
        if self._has_grown and (self._watching is None or self._watching.done()):
            self._watching = loop.create_task(self._watch_memory())

    def used(self, state: State) -> None:
        """A state was run in, or looked at."""
        if state in self._held:
            self._held.move_to_end(state)

    def stop(self) -> None:
        for task in (self._evicting, self._watching):
            if task is not None:
                task.cancel()

    async def free(self) -> bool:
        """There is no room for one more process: make some. Whether there is more now."""
        freed = 0
        for _ in range(len(self._held) // _FREED_SHARE + 1):
            state = self._victim()
            if state is None:
                break
            freed += await self._evict(state)
        if not freed and (state := self._replayable()) is not None:
            await self._end(state)
            freed = 1
        return bool(freed)

    def _is_over(self) -> bool:
        return len(self._held) + self._processes.count_ready > self._budget

    async def _evict_excess(self) -> None:
        while self._is_over() and (state := self._victim()) is not None:
            await self._evict(state)

    def _victim(self) -> State | None:
        """The least recently used state whose processes may end, once it is stored."""
        return next((state for state in self._held if self._may_go(state)), None)

    def _may_go(self, state: State) -> bool:
        if not self._is_idle(state):
            return False
        if state.unbranchable and state.tip in state.ready:  # what the tip has is nowhere else
            return False
        return bool(state.snapshot) or (self._captures.may_capture(state) and not self._captures.trouble)

    def _is_idle(self, state: State) -> bool:
        return not state.is_pinned and self._captures.is_alone_with(state) and state.settled.is_set()

    async def _evict(self, state: State) -> bool:
        """Capture a state if need be, and end its processes, unless it has come into use meanwhile."""
        if not state.snapshot and not await self._captures.capture(state):
            return False
        if state not in self._held or not self._may_go(state):
            return False
        await self._end(state)
        return True

    async def _end(self, state: State) -> None:
        ended = [self._processes.expect(process) for process in state.processes()]
        self._processes.evict(state)
        self.count += 1
        self._tell("state_evicted", state)
        await asyncio.gather(*ended)

    def _replayable(self) -> State | None:
        """The least recently used state that can be replayed, and that no other one is replayed from."""
        limit_s = self._limits.replay_s
        known = self.names.states() if self.names is not None else []
        plans = [state.replay_from(limit_s) for state in known if not state.can_begin and state.names]
        sources = {plan[0] for plan in plans if isinstance(plan, tuple)}
        for state in self._held:
            if (
                self._is_idle(state)
                and state not in sources
                and isinstance(state.replay_from(limit_s), tuple)
            ):
                return state
        return None

    # Memory

    async def _watch_memory(self) -> None:
        """As long as states are made: evict what is above the budget of memory."""
        while self._has_grown:
            self._has_grown = False
            await asyncio.sleep(_LOOK_S)
            began_s = time.monotonic()
            excess, sizes = await self._excess_bytes()
            took_s = time.monotonic() - began_s
            while excess > 0 and (state := self._victim()) is not None:
                excess -= sizes.get(state, excess)
                await self._evict(state)
                self._has_grown = True  # look again
            await asyncio.sleep(took_s * _LOOK_SHARE)

    async def _excess_bytes(self) -> tuple[int, dict[State, int]]:
        """Memory above the budget, and what each state has of it; without a budget, what the machine lacks."""
        budget = self._limits.memory_budget_bytes
        if not budget:
            return 2 * self._processes.reserve_bytes - machine.available_memory(), {}
        pids = {
            state: [process.pid for process in state.processes() if process.pid is not None]
            for state in self._held
        }
        sizes = await asyncio.to_thread(
            lambda: {state: machine.proportional_memory(held) for state, held in pids.items()}
        )
        return sum(sizes.values()) - budget, sizes

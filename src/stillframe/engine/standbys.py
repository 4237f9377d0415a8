"""Standbys: forks made ahead, one in each of the states that have lost their tip or spare last.

Such a fork is not warm: besides its page tables it has some 75 pages of its own (0.3 MB), where a spare has
walked the path of a cell and has 1.4 MB.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable

from stillframe.engine.process import Process
from stillframe.engine.tree import DEEPEST, State
from stillframe.errors import ResourceLimit

_IDLE_S = 0.006
"""How long after a state has lost what was ready in it a standby is made."""


class Standbys:
    """Makes, gives and ends them. `fork` raises ResourceLimit where there is no room for another process."""

    def __init__(self, most: int, fork: Callable[[State], Process]) -> None:
        self.most = most
        self._fork = fork
        self._by_process: OrderedDict[Process, State] = OrderedDict()
        self._wanting: OrderedDict[State, None] = OrderedDict()
        """States that are to have one when nothing else is to be done."""
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._by_process)

    def want(self, state: State) -> None:
        """Have one made in a moment, if nothing is ready in `state` then: not while cells follow each other
        without a pause."""
        if state.ready or state.kind == "call":
            return
        self._wanting[state] = None
        if self._timer is not None:
            self._timer.cancel()
        self._make_soon()

    def _make_soon(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_IDLE_S, self._make_one)

    def _make_one(self) -> None:
        self._timer = None
        if not self._wanting:
            return
        state, _ = self._wanting.popitem()
        is_wanted = state.names and not state.has_ready and state.standby is None
        if is_wanted and state.settled.is_set() and state.can_fork and state.fork_depth <= DEEPEST:
            with contextlib.suppress(ResourceLimit):
                state.standby = self._fork(state)
                self._by_process[state.standby] = state
                self.shrink(self.most)
        if self._wanting:
            self._make_soon()

    def take(self, state: State) -> Process | None:
        """The one that waits in `state`; it is the caller's then."""
        standby, state.standby = state.standby, None
        if standby is not None:
            self._by_process.pop(standby, None)
        return standby if standby is not None and standby.is_alive else None

    def ended(self, process: Process) -> None:
        """`process` has ended, whatever it was."""
        state = self._by_process.get(process)
        if state is not None:
            self.take(state)

    def end(self, state: State, why: str) -> None:
        """End the one in `state`, and make none."""
        self._wanting.pop(state, None)
        if (standby := self.take(state)) is not None:
            standby.end(why)

    def shrink(self, most: int) -> int:
        """End the oldest of them. Returns how many."""
        ended = list(self._by_process.items())[: max(0, len(self._by_process) - most)]
        for standby, state in ended:
            self.take(state)
            standby.release()
        return len(ended)

    def end_all(self) -> None:
        """End them, and make none for the states that wanted one."""
        self.shrink(0)
        self._wanting.clear()

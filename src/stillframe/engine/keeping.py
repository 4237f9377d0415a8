"""States on disk, as the supervisor sees them: what is written of the tree, captured, evicted and restored.

    tree ──notes──► cataloging ──► catalog          frozen ──captures──► blobs        evictions: end processes
    start ◄──load──┘                                live ◄──restoring──┘ by way of bases

Invariants:
  * A kernel without a store has no Keeping; everything else works as it is.
  * A state is `stored` when it would be there again after a power cut, and is called so nowhere before.
  * Where the store takes nothing, cells run on, nothing that was stored is lost, and `trouble` says why.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from stillframe.engine.captures import Captures, Tell
from stillframe.engine.cataloging import Cataloging
from stillframe.engine.evictions import Evictions
from stillframe.engine.process import Process
from stillframe.engine.processes import Processes
from stillframe.engine.restoring import Restoring
from stillframe.engine.tree import Names, State
from stillframe.model import Keep, Storing


class Keeping:
    """The store of one kernel. `tell` is called with each event that happens to a state."""

    def __init__(self, path: Path, keep: Keep, processes: Processes, tell: Tell) -> None:
        processes.root_arguments = ["store"]
        self.catalog = Cataloging(path)
        self.captures = Captures(processes, self.catalog, keep, self._happened)
        self.evictions = Evictions(processes, self.captures, tell)
        self.restoring = Restoring(processes, self.catalog, lambda state: tell("state_restored", state))
        self._processes = processes
        self._tell = tell
        self._names: Names | None = None

    async def open(self, names: Names) -> list[State]:
        """Take the store. Gives the states that it has, whose names are put into `names`.

        Raises what Store.open does.
        """
        states = await asyncio.to_thread(self.catalog.open)
        names.load(states)
        self._names = self.evictions.names = names
        return states

    def changed(self, state: State) -> None:
        """A state has been frozen, or its processes have ended. Called in the midst of things: never waits."""
        if self.captures.keep == "always" and self.captures.may_capture(state):
            self.captures.soon(state)
        self.evictions.changed(state)

    def _happened(self, event: str, state: State) -> None:
        self._tell(event, state)
        if event == "state_stored":  # and so it may be evicted
            self.evictions.changed(state)

    async def bring_back(self, state: State, name: str) -> bool:
        """Have a state's processes there again. False: it has no snapshot, and cannot be captured now."""
        if not state.snapshot and not (
            self.captures.may_capture(state) and await self.captures.capture(state)
        ):
            return False
        await self.restoring.bring_back(state, name)
        return True

    async def live(self, state: State, name: str) -> Process:
        """A live process in a state that has a snapshot, nobody's but the caller's."""
        return (await self.restoring.live(state, name))[0]

    @property
    def unstored(self) -> int:
        """Named states that could be captured and are not."""
        return sum(1 for state in self._known() if self.captures.may_capture(state))

    async def finish(self) -> None:
        """The kernel is about to stop: store what is not stored yet. Ends early where the store takes nothing."""
        for state in self._known():
            if state.names and state.processes():
                await self._processes.settled(state)
            if self.captures.may_capture(state):
                self.captures.soon(state)
        await self.captures.finish()
        await self.catalog.flush()

    def stop(self) -> None:
        """Close the store. Blocks until what is noted is written."""
        self.captures.forget()
        self.evictions.stop()
        self.catalog.close()

    def reset(self) -> None:
        """Every state is gone."""
        self.captures.forget()
        self.restoring.bases.end()

    def _known(self) -> list[State]:
        return self._names.states() if self._names is not None else []

    @property
    def trouble(self) -> str:
        """Why nothing is stored at the moment; empty where all is well."""
        return self.captures.trouble

    def figures(self) -> Storing:
        """What the store does, for whoever asks."""
        states = self._known()
        stored = sum(1 for state in states if state.names and state.is_stored)
        return Storing(
            str(self.catalog.path), self.captures.keep, stored, self.captures.waiting, self.trouble
        )

"""A state from its snapshot: a live process that is in it, whatever process once was.

Invariants:
  * A snapshot's blobs are verified before anything of it is loaded, and its signature before that.
  * It is loaded in a fork of a base process (bases.py), never here: the supervisor does not unpickle.
  * What goes wrong names the state and what to do; the state stays in the tree, as it was.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from stillframe.engine.bases import Bases
from stillframe.engine.cataloging import Cataloging
from stillframe.engine.process import Process
from stillframe.engine.processes import Processes
from stillframe.engine.protocol import Restore, Restored
from stillframe.engine.tree import State
from stillframe.errors import CannotRestore, StillframeError
from stillframe.store import Record, Store
from stillframe.store.snapshots import encode

_log = logging.getLogger("stillframe")


class _Header(msgspec.Struct):
    """What the supervisor reads of a snapshot's header. `imports` is the digest of a blob: names, one a line."""

    imports: str = ""
    path: list[str] = []


class _Sound(NamedTuple):
    """A snapshot that is ours and whole, and what its base must have imported."""

    record: Record
    modules: list[str]
    path: list[str]


class Restoring:
    """Makes live processes from the snapshots of a store."""

    def __init__(
        self, processes: Processes, catalog: Cataloging, on_restored: Callable[[State], None]
    ) -> None:
        self._processes = processes
        self._catalog = catalog
        self._on_restored = on_restored
        self._restores: dict[State, asyncio.Task[None]] = {}
        self.bases = Bases(processes)
        self.count = 0
        """Restores that succeeded."""

    async def bring_back(self, state: State, name: str) -> None:
        """Have a state's processes there again, a tip and a frozen one; those who need them share one restore."""
        task = self._restores.get(state)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._bring_back(state, name))
            self._restores[state] = task
            task.add_done_callback(lambda _: self._restores.pop(state, None))
        await asyncio.shield(task)

    async def _bring_back(self, state: State, name: str) -> None:
        with self._processes.using(state):
            process, depth = await self.live(state, name)
            if state.frozen is not None:
                state.frozen.retire()
            state.frozen, state.fork_depth = None, depth
            state.settled.clear()
            self._processes.freeze_soon(state, process)
        self._on_restored(state)

    async def live(self, state: State, name: str) -> tuple[Process, int]:
        """(a live process in `state`, its fork depth). `name` is what the state is called in an error.

        Costs a fork, and what unpickling costs; buffers are mapped, and read when they are used.
        """
        try:
            sound = await self._catalog.read(lambda store: _verified(store, state.snapshot))
        except StillframeError as error:
            error.message = f"state {name!r} cannot be restored: {error.message}"
            raise
        process, depth = await self.bases.fork(sound.modules, sound.path)
        answer = self._processes.expect(process)
        process.send(Restore(str(self._catalog.path), encode(sound.record)))
        said = await answer
        if not isinstance(said, Restored) or said.error:
            process.end()
            why = said.error if isinstance(said, Restored) else f"its process ended: {process.describe_end()}"
            hint = "Install what it says is missing, or run the state's cells again."
            raise CannotRestore(f"state {name!r} cannot be restored: {why.rstrip('.')}.", hint)
        for note in said.notes:
            _log.warning("state %r, restored: %s", name, note)
        self.count += 1
        return process, depth


def _verified(store: Store, digest: str) -> _Sound:
    """In a thread."""
    record = store.catalog.get_snapshot(digest)
    store.expand(record)
    store.check_blobs(record)
    header = msgspec.json.decode(record.header, type=_Header)
    names = store.blobs.get(header.imports).decode() if header.imports else ""
    return _Sound(record, names.split(), header.path)

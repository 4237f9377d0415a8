"""States that leave a running kernel, and those that come; and what is removed from its store.

    manifest, pieces, blob          what leaves, of states that are stored
    receive, take_in, Arriving      what comes, with its blobs before it
    keys, trust, distrust           whose states are taken
    prune                           what nobody needs any more
    archive                         what nobody has used for long

Invariants:
  * Nothing that comes is unpickled here: it is a row in the catalog and blobs, until somebody uses it.
  * A state that has come is in the tree, under its name, when it is durable in the store.
  * What is pruned is neither in the tree nor needed by what runs.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from typing import Protocol

from stillframe.engine.cataloging import Cataloging, state_of
from stillframe.engine.journal import Journal
from stillframe.engine.keeping import Keeping
from stillframe.engine.processes import Processes
from stillframe.engine.tree import Names, State
from stillframe.errors import CannotCapture, NoStore, StoreError
from stillframe.model import Archived, Keys, Pruned
from stillframe.store import Store
from stillframe.store.archive import DAYS, archive
from stillframe.store.blobs import Receiving
from stillframe.store.exports import Incoming, pieces
from stillframe.store.manifests import (
    Manifest,
    Received,
    check_fitness,
    check_trust,
    free_names,
    manifest_of,
    missing_blobs,
    name_for,
    opened,
    received,
    take,
)
from stillframe.store.prune import forgettable, prune

_LOWEST_PRIORITY = 19
_TOKENS = 100_000
"""Blobs that are remembered as verified when they came; others are read again when their manifest comes."""


_IMPORTS = 8
"""Imports at once; others wait."""


class Kernel(Protocol):
    """What a supervisor lets us do."""

    names: Names
    journal: Journal
    processes: Processes
    keeping: Keeping | None

    def state(self, name: str) -> State:
        """The state of this name. StateNotFound."""

    def delete(self, name: str) -> None:
        """Remove a name."""

    def in_use(self) -> list[State]:
        """The states in which something runs."""


class Moving:
    """What moves into and out of the store of one kernel. Everything raises NoStore where there is none."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._tokens: dict[str, str] = {}
        self._importing = ThreadPoolExecutor(_IMPORTS, "import")
        """Threads that wait for what clients send, and so are none of those in which the store is read."""
        self._is_over = threading.Event()
        self._one = asyncio.Lock()
        """Held while states come, or go: one that comes may have been deleted, and is still known."""

    @property
    def _keeping(self) -> Keeping:
        if self._kernel.keeping is None:
            raise NoStore(
                "this kernel keeps no states: it was started without a store.",
                "Start it with `still serve --store DIR`, or Kernel(store=…).",
            )
        return self._kernel.keeping

    @property
    def _catalog(self) -> Cataloging:
        return self._keeping.catalog

    @property
    def store(self) -> Store:
        """The open store, to be read in a thread."""
        return self._catalog.store

    # What leaves

    async def manifest(self, name: str, *, lineage: bool = False) -> bytes:
        """The signed manifest of a state, which is captured first if it is not stored yet."""
        keeping, state = self._keeping, self._kernel.state(name)
        if state.kind != "initial" and not state.snapshot:
            await self._kernel.processes.settled(state)
            if not await keeping.captures.capture(state):
                why = _why(keeping, state)
                raise CannotCapture(f"state {name!r} is not stored: {why}.", "Only what is stored can move.")
        await self._catalog.written()
        return await self._catalog.read(lambda store: manifest_of(store, name, lineage=lineage))

    def pieces(self, signed: bytes) -> Iterator[bytes]:
        """The export of a manifest of this kernel, to be read in a thread."""
        return pieces(self.store, signed)

    async def blob(self, digest: str) -> tuple[int, Iterator[bytes]]:
        """(the size of a blob, its content, to be read in a thread). Raises MissingBlob."""
        return await self._catalog.read(lambda store: (store.blobs.size(digest), store.blobs.pieces(digest)))

    # What comes

    def arriving(self, digest: str) -> Receiving:
        """A blob that comes in pieces. In a thread; arrived() when it is finished."""
        return self.store.blobs.receiving(digest)

    def arrived(self, digest: str) -> None:
        """The blob is there, and was verified."""
        if len(self._tokens) >= _TOKENS:
            self._tokens.clear()
        self._tokens[digest] = self.store.blobs.token(digest)

    async def receive(self, signed: bytes, name: str | None = None, *, trust: bool = False) -> Received:
        """Take the state of a manifest, or say which blobs are to be sent first. Raises as manifests.receive does."""

        def look(store: Store) -> tuple[Manifest, list[str]]:
            manifest, by = opened(signed)
            check_trust(store, by, trust=trust)
            check_fitness(manifest)
            name_for(ids, manifest, name)
            return manifest, missing_blobs(store, manifest, self._tokens)

        ids = self._ids()
        manifest, missing = await self._catalog.read(look)
        return Received(missing=missing) if missing else await self._take(manifest, name, self._tokens)

    async def take_in(self, read: Callable[[int], bytes], name: str | None = None, *, trust: bool = False) -> Received:
        """Take the state of an export, which `read` gives in a thread. Raises as exports.import_state does."""

        def store_blobs(store: Store) -> Incoming:
            incoming = Incoming(store, read, trust=trust)
            check_fitness(incoming.manifest)
            name_for(ids, incoming.manifest, name)
            incoming.receive()
            return incoming

        ids = self._ids()
        loop = asyncio.get_running_loop()
        incoming = await loop.run_in_executor(self._importing, store_blobs, self.store)
        return await self._take(incoming.manifest, name, incoming.tokens)

    async def _take(self, manifest: Manifest, wanted: str | None, tokens: dict[str, str]) -> Received:
        """All blobs are here: have the rows in the catalog, then the states in the tree."""
        async with self._one:
            return await self._take_alone(manifest, wanted, tokens)

    async def _take_alone(self, manifest: Manifest, wanted: str | None, tokens: dict[str, str]) -> Received:
        name = name_for(self._ids(), manifest, wanted)
        rows = await self._catalog.write(lambda store: take(store, manifest, {}, tokens))
        names = self._kernel.names
        states = {state.id: state for state in names.states()}
        for row in rows:
            if row.id not in states:
                states[row.id] = state_of(row, states)
            elif row.snapshot and not states[row.id].snapshot:
                states[row.id].snapshot = row.snapshot
        name_for(self._ids(), manifest, wanted)  # a cell may have made one of this name meanwhile
        free, taken = free_names(self._ids(), manifest)
        for free_name, state_id in {**free, name: rows[-1].id}.items():
            self._bind(free_name, states[state_id])
        if not await self._catalog.flush():
            raise StoreError(f"the name {name!r} is not stored yet: {self._catalog.trouble}")
        return received(manifest, name, taken)

    def _bind(self, name: str, state: State) -> None:
        if self._kernel.names.get(name) is not state:
            self._kernel.names.bind(name, state)
            self._kernel.journal.add("state_created", state_id=state.id, name=name)

    def _ids(self) -> dict[str, str]:
        return self._kernel.names.ids()

    # Keys

    async def keys(self) -> Keys:
        """The store's own public key, and those that are trusted."""

        def ask(store: Store) -> Keys:
            return Keys(store.key().public, store.catalog.trusted_keys())

        return await self._catalog.read(ask)

    async def trust(self, key: str, comment: str) -> None:
        """Take states that this key has signed. BadRequest where it is none."""
        await self._catalog.write(lambda store: store.catalog.trust_key(key, comment))

    async def distrust(self, key: str) -> bool:
        """Take no more of them; those that are here stay. False: it was not trusted."""
        return await self._catalog.write(lambda store: store.catalog.distrust_key(key))

    # Prune

    async def prune(self, keep_days: float | None = None, *, dry_run: bool = False) -> Pruned:
        """Remove what was deleted, and with `keep_days` first delete the states that were not used for so long.

        A dry run only tells. Cost: a stat for each blob, and the records of all snapshots.
        """
        async with self._one:
            await self.note_used()
            rows = await self._catalog.read(lambda store: store.catalog.states())
            dead = set(forgettable(rows, keep_days, unnamed=True)) - self._busy({row.id for row in rows})
            going = [name for name, state_id in self._ids().items() if state_id in dead]
            if not dry_run:
                for name in going:
                    self._kernel.delete(name)
                await self._catalog.write(lambda store: store.catalog.forget_states(dead))
            found = await self._catalog.read(lambda store: prune(store, dry_run=dry_run, forgotten=dead))
        return Pruned(sorted(going), len(dead), found.blobs, found.size_bytes, found.young_blobs)

    # Archive

    async def archive(self, days: float = DAYS, *, dry_run: bool = False) -> Archived:
        """Compress what was not used for so many days. In a thread of low priority; cells run on, and states come.

        Raises StoreFull, and StoreError when the kernel stops meanwhile: what was done by then stays done.
        """
        await self.note_used()
        in_use = {state.id for state in self._kernel.in_use()}

        def work() -> Archived:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)
            return archive(self.store, days, dry_run=dry_run, progress=self._go_on, in_use=in_use)

        # Its own thread: a priority that was lowered cannot be raised again.
        thread = ThreadPoolExecutor(1, "archive")
        try:
            return await asyncio.get_running_loop().run_in_executor(thread, work)
        finally:
            thread.shutdown(wait=False)

    def _go_on(self, done: int, of: int) -> None:
        if self._is_over.is_set():
            raise StoreError("the archive was not finished: the kernel stops.", "Call it again.")

    def stop(self) -> None:
        """End what goes on in threads: the kernel stops."""
        self._is_over.set()

    def _busy(self, known: set[str]) -> set[str]:
        """The states that something runs in, or came of that is not `known`; and the lineage of both."""
        new = [state for state in self._kernel.names.states() if state.id not in known]
        return {ancestor.id for state in (*self._kernel.in_use(), *new) for ancestor in state.lineage()}

    async def note_used(self) -> None:
        """Write when states were last used."""
        states = self._kernel.names.states()
        used = {state.id: state.used.astimezone(UTC).isoformat() for state in states if state.used is not None}
        if used:
            await self._catalog.write(lambda store: store.catalog.set_used(used))


def _why(keeping: Keeping, state: State) -> str:
    if state.obstacles:
        return "; ".join(state.obstacles)
    if keeping.captures.keep == "never":
        return "this kernel captures none (--keep never)"
    if keeping.trouble:
        return keeping.trouble
    return "its process has ended; run a cell in it, which makes it anew"

"""The tree on disk: what changes in it is written to the store's catalog by a thread, in the order it happened.

Invariants:
  * Nobody waits for the disk: a reply is on its way when its state is written.
  * What is noted without a pause in between is durable together, or not at all.
  * A state `is_noted`, and has its `snapshot`, when the catalog has them durably, and not before.
  * Where the store does not take it (a full disk), nothing is dropped: it is kept in memory, `trouble` says why,
    and it is written when the store takes it again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from stillframe.engine.tree import Notes, State
from stillframe.errors import MissingBlob, StateNotFound, StillframeError, StoreError
from stillframe.model import Output, Where
from stillframe.store import Catalog, Record, StateRow, Store

_AFTER_REPLY_S = 0.003
"""How long after a change it is written: not while the reply that tells of it is on its way."""
_AGAIN_S = 5.0
"""How long after a failure it is tried again, where nothing else is noted meanwhile."""

_log = logging.getLogger("stillframe")
T = TypeVar("T")


class Change(NamedTuple):
    """One change: how it is written, and what is done when it is durable."""

    write: Callable[[Catalog], object]
    done: Callable[[], None] | None = None


class Cataloging(Notes):
    """The catalog of an open store, as the supervisor writes and reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trouble = ""
        self._store: Store | None = None
        self._thread = ThreadPoolExecutor(1, "catalog")
        self._pending: list[Change] = []
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None

    @property
    def store(self) -> Store:
        assert self._store is not None, "the store was not opened"
        return self._store

    def open(self) -> list[State]:
        """Take the store, to write. Every state that it knows, parents before their children.

        Blocks: 0.5 s for 10,000 states. Raises what Store.open does.
        """
        self._store = Store.open(self.path)
        known: dict[str, State] = {}
        for row in self.store.catalog.states():
            known[row.id] = state_of(row, known)
        return list(known.values())

    # What changes

    def made(self, state: State, outputs: list[Output]) -> None:
        def done() -> None:
            state.is_noted = True

        row = _row_of(state, outputs)
        self._note(Change(lambda catalog: catalog.add_state(row), done))

    def bound(self, name: str, state: State) -> None:
        self._note(Change(lambda catalog: catalog.bind_name(name, state.id)))

    def removed(self, name: str) -> None:
        self._note(Change(lambda catalog: catalog.remove_name(name)))

    def changed(self, state: State) -> None:
        lists = (list(state.hazards), list(state.unbranchable), list(state.obstacles))
        is_pinned = state.is_pinned
        self._note(Change(lambda catalog: catalog.describe_state(state.id, *lists, is_pinned)))

    def cleared(self) -> None:
        self._note(Change(lambda catalog: catalog.forget_states(None)))

    async def captured(self, state: State, record: Record, stored: Callable[[State], None]) -> bool:
        """Note the snapshot of a state; `stored` is called when it is durable. Whether it is so now: if not, it
        will be when the store takes it.

        Raises MissingBlob where a prune has taken what nobody needed until now: it is to be captured again.
        """
        found: list[str | MissingBlob] = []

        def write(catalog: Catalog) -> None:
            found.clear()
            try:
                found.append(catalog.add_snapshot(state.id, record))
            except StateNotFound:  # it was deleted meanwhile
                pass
            except MissingBlob as error:
                found.append(error)

        def done() -> None:
            for digest in found:
                if isinstance(digest, str):
                    state.snapshot = digest
                    stored(state)

        self._note(Change(write, done))
        await self.flush()
        for error in found:
            if isinstance(error, MissingBlob):
                raise error
        return bool(state.snapshot)

    async def read(self, ask: Callable[[Store], T]) -> T:
        """What the store says, asked in a thread that no change waits for."""
        return await asyncio.to_thread(ask, self.store)

    async def write(self, change: Callable[[Store], T]) -> T:
        """Change the store at once, after all that is noted. Raises what `change` does, and StoreError."""
        await self.written()
        return await asyncio.get_running_loop().run_in_executor(self._thread, change, self.store)

    # Writing

    def _note(self, change: Change) -> None:
        self._pending.append(change)
        if self._timer is None and (self._writing is None or self._writing.done()):
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_AFTER_REPLY_S, self._begin)

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write_all())

    async def flush(self) -> bool:
        """Try to write all that is noted. Whether all of it is durable."""
        while self._pending or (self._writing is not None and not self._writing.done()):
            self._begin()
            assert self._writing is not None
            await asyncio.shield(self._writing)
            if self.trouble:
                return False
        return True

    async def written(self) -> None:
        """Wait until all that is noted is durable. Raises StoreError where the store does not take it."""
        if not await self.flush():
            raise StoreError(
                f"the store {self.path} takes nothing at the moment: {self.trouble}", store=str(self.path)
            )

    async def _write_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._pending:
            batch, self._pending = self._pending, []
            try:
                await loop.run_in_executor(self._thread, self._write, batch)
            except (StillframeError, OSError) as error:
                self._pending = batch + self._pending
                self.fail(str(error))
                self._timer = loop.call_later(_AGAIN_S, self._begin)
                return
            self.fail("")
            for change in batch:
                if change.done is not None:
                    change.done()

    def _write(self, batch: list[Change]) -> None:
        """In the thread: one transaction."""
        with self.store.catalog.transaction():
            for change in batch:
                change.write(self.store.catalog)

    def fail(self, trouble: str) -> None:
        """Say why nothing is stored at the moment; or, with nothing, that all is well again."""
        if trouble and not self.trouble:
            _log.error("states are not stored at the moment: %s", trouble)
        if self.trouble and not trouble:
            _log.warning("states are stored again")
        self.trouble = trouble

    def close(self) -> None:
        """Write what is left and close the store. Blocks."""
        self._thread.shutdown()
        if self._store is None:
            return
        try:
            if self._pending:
                self._write(self._pending)
        except (StillframeError, OSError) as error:
            _log.error("%d changes of the tree are not in the store: %s", len(self._pending), error)
        finally:
            self._store.close()


def _row_of(state: State, outputs: list[Output]) -> StateRow:
    return StateRow(
        id=state.id,
        parent=state.parent.id if state.parent is not None else None,
        code=state.code,
        created=state.created.isoformat(),
        duration_s=state.duration_s,
        outputs=outputs,
        output_digest=state.output_digest,
        effects=state.effects,
        fork_depth=state.fork_depth,
        kind=state.kind,
        details={name: value for name, value in _details_of(state).items() if value},
    )


def _details_of(state: State) -> dict[str, Any]:
    """What belongs to states inside a call, and to those that came of one."""
    return {
        "where": msgspec.to_builtins(state.where),
        "answers": state.answers,
        "resumed_with": state.resumed_with.decode(),
    }


def state_of(row: StateRow, known: dict[str, State]) -> State:
    """The state of a row, at rest in the store; `known` has its parent, by id."""
    state = State(known.get(row.parent) if row.parent else None, row.code, row.duration_s)
    state.id, state.kind = row.id, row.kind
    state.created = datetime.fromisoformat(row.created)
    state.output_digest, state.effects = row.output_digest, row.effects
    state.hazards, state.unbranchable = row.hazards, row.unbranchable
    state.obstacles, state.is_pinned = row.obstacles, row.pinned
    state.snapshot, state.names = row.snapshot, list(row.names)
    if row.details:
        where = row.details.get("where")
        state.where = msgspec.convert(where, Where) if where else None
        state.answers = tuple(row.details.get("answers", ()))
        state.resumed_with = row.details.get("resumed_with", "").encode()
    state.is_noted = True
    state.settled.set()
    return state

"""Captures: states are put into the store from their frozen processes, while nobody waits.

Invariants:
  * A state is captured in a fork of its frozen process, one at a time and at idle priority: neither a cell nor a
    reply waits for it. Where somebody waits for the state (an eviction, the stop) it has the priority of a cell.
  * A state has a snapshot when its blobs, the record that lists them and the catalog's row are durable.
  * What stands in the way of a capture is found once, and belongs to the state. Where the store takes nothing
    (a full disk), that belongs to the store: the state is captured when it takes states again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from stillframe.engine.cataloging import Cataloging
from stillframe.engine.process import Process
from stillframe.engine.processes import Processes
from stillframe.engine.protocol import Adopt, Capture, Captured
from stillframe.engine.tree import State
from stillframe.errors import MissingBlob, StillframeError
from stillframe.model import Keep
from stillframe.store.snapshots import decode, encode

_AGAIN_S = 5.0
"""How long after the store has refused a snapshot the next one is tried."""

_log = logging.getLogger("stillframe")

Tell = Callable[[str, State], None]
"""Called with the name of an event and the state that it happened to."""


class Captures:
    """Captures the states of one kernel, as `keep` says."""

    def __init__(self, processes: Processes, catalog: Cataloging, keep: Keep, tell: Tell) -> None:
        self._processes = processes
        self._catalog = catalog
        self.keep = keep
        self._tell = tell
        self._queue: dict[State, None] = {}
        self._running: dict[State, asyncio.Task[bool]] = {}
        self._idle: dict[State, asyncio.Task[Any]] = {}
        """The capture that is under way at idle priority, as long as its process is at work."""
        self._using: set[State] = set()
        """The states that are being captured."""
        self._turns = {is_urgent: asyncio.Lock() for is_urgent in (False, True)}
        """One capture at a time, and one besides that somebody waits for: it does not wait for an idle one."""
        self._worker: asyncio.Task[None] | None = None
        self.is_finishing = False
        """Somebody waits for all of them."""
        self._is_refused = False
        """The store has refused a snapshot a moment ago."""
        self._refusal = ""
        """Why the store has taken no snapshot lately."""
        self.counts = {"stored": 0, "obstructed": 0, "refused": 0}

    @property
    def trouble(self) -> str:
        """Why nothing is stored at the moment; empty where all is well."""
        return self._catalog.trouble or self._refusal

    @property
    def waiting(self) -> int:
        """States that are still to be captured."""
        return len(self._queue) + len(self._running)

    def may_capture(self, state: State) -> bool:
        """Whether a state could be captured, as far as is known."""
        return bool(
            self.keep != "never"
            and not (state.snapshot or state.obstacles)
            and state.names
            and state.kind != "initial"
            and state.settled.is_set()
            and state.frozen is not None
            and state.frozen.is_alive
        )

    def is_alone_with(self, state: State) -> bool:
        """Whether nobody uses a state, but for a capture of it."""
        return state.users == (1 if state in self._using else 0)

    def soon(self, state: State) -> None:
        """Have a state captured when those before it are."""
        if state not in self._running:
            self._queue[state] = None
            self._go_on()

    async def finish(self) -> None:
        """Wait until all that was to be captured is, or the store has refused one."""
        self.is_finishing = True
        while self._worker is not None and not self._worker.done():
            await asyncio.shield(self._worker)

    def forget(self) -> None:
        """Capture nothing more of what waits."""
        self._queue.clear()

    async def capture(self, state: State) -> bool:
        """Capture a state before those that wait. Whether its snapshot is durable."""
        while state in self._idle:  # it would take what time others leave
            self._idle[state].cancel()
            await asyncio.wait([self._idle[state]])
        return await asyncio.shield(self._begin(state, is_urgent=True))

    def _begin(self, state: State, is_urgent: bool) -> asyncio.Task[bool]:
        task = self._running.get(state)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._capture(state, is_urgent))
            self._running[state] = task
            task.add_done_callback(lambda _: self._running.pop(state, None))
        return task

    def _go_on(self) -> None:
        if not self._is_refused and (self._worker is None or self._worker.done()):
            self._worker = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        while self._queue and not self._is_refused:
            state = next(iter(self._queue))
            del self._queue[state]
            if self.may_capture(state):
                await asyncio.wait([self._begin(state, is_urgent=self.is_finishing)])
        if not self._queue:
            self._refusal = ""

    async def _capture(self, state: State, is_urgent: bool) -> bool:
        async with self._turns[is_urgent]:
            if not self.may_capture(state):  # any more
                return bool(state.snapshot)
            self._using.add(state)
            try:
                with self._processes.using(state):
                    return await self._take(state, await self._captured(state, is_urgent))
            finally:
                self._using.discard(state)

    async def _captured(self, state: State, is_urgent: bool) -> Captured:
        try:
            self._processes.check_room()
            return await self._look(state, is_urgent)
        except StillframeError as error:  # no room for a fork, or the catalog cannot be read
            return Captured(b"", [], [], str(error))

    async def _look(self, state: State, is_urgent: bool) -> Captured:
        request = Capture(str(self._catalog.path), await self._near(state), is_urgent)
        task = asyncio.current_task()
        if not is_urgent and task is not None:
            self._idle[state] = task
        try:
            said = await self._processes.look(state, request, self._processes.limits.capture_s)
        finally:
            self._idle.pop(state, None)
        if isinstance(said, Process):
            return Captured(b"", [f"capturing it failed: {said.describe_end()}"], [])
        assert isinstance(said, Captured)
        return said

    async def _near(self, state: State) -> bytes:
        """The record of the nearest ancestor that has a snapshot: what is the same is not written again."""
        ancestor = state.parent
        while ancestor is not None and not ancestor.snapshot:
            ancestor = ancestor.parent
        if ancestor is None:
            return b""
        digest = ancestor.snapshot
        return encode(await self._catalog.read(lambda store: store.catalog.get_snapshot(digest)))

    async def _take(self, state: State, said: Captured) -> bool:
        if not state.names:  # it was deleted meanwhile, and its processes ended
            return False
        if said.error:
            self._refused(state, said.error)
            return False
        if self._refusal:
            _log.warning("snapshots are stored again")
            self._refusal = ""
        if said.obstacles:
            self._obstructed(state, said.obstacles)
            return False
        # Before it is in the catalog: whoever runs a cell as soon as it is stored finds it adopted.
        tip = state.tip
        if said.buffers and tip is not None and tip.is_alive and tip in state.ready:
            tip.send(Adopt(str(self._catalog.path), said.buffers))
        try:
            return await self._catalog.captured(state, decode(said.record), self._stored)
        except MissingBlob:
            self._queue[state] = None
            # When this capture has ended: nobody may be at work on the queue.
            asyncio.get_running_loop().call_soon(self._go_on)
            return False

    def _stored(self, state: State) -> None:
        """The snapshot of a state is durable."""
        self.counts["stored"] += 1
        self._tell("state_stored", state)

    def _obstructed(self, state: State, obstacles: list[str]) -> None:
        """What is in a state stands in the way."""
        state.obstacles = obstacles
        self.counts["obstructed"] += 1
        self._catalog.changed(state)
        self._tell("state_changed", state)

    def _refused(self, state: State, why: str) -> None:
        """The store takes nothing."""
        if not self._refusal:
            _log.error("snapshots are not stored: %s", why)
        self._refusal = why
        self.counts["refused"] += 1
        self._queue[state] = None
        self._is_refused = True
        asyncio.get_running_loop().call_later(_AGAIN_S, self._again)

    def _again(self) -> None:
        self._is_refused = False
        self._go_on()

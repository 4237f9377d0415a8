"""Looks: what is seen of a state in a fork of its frozen process, which then ends.

Invariants:
  * A look changes nothing in the state, whatever a repr does.
  * What was seen is remembered, because a state never changes; who asks the same meanwhile shares the answer.
"""

from __future__ import annotations

import asyncio

from stillframe.engine.process import Process
from stillframe.engine.processes import TOO_LONG, Processes
from stillframe.engine.protocol import Captured, Evaluate, Frames, Request, Seen
from stillframe.engine.tree import State
from stillframe.engine.ways import Ways
from stillframe.errors import LookTimedOut, StateUnreachable

_SEEN_LOOKS = 256


class Looks:
    """Looks at states."""

    def __init__(self, processes: Processes, ways: Ways) -> None:
        self._processes = processes
        self._ways = ways

    async def look(self, state: State, name: str, request: Request) -> Seen:
        """What a fork of the state sees. It is seen once: a state never changes."""
        task: asyncio.Task[Seen] | None = state.seen.get(request)
        if task is None:
            while len(state.seen) >= _SEEN_LOOKS:
                state.seen.pop(next(iter(state.seen)))
            task = asyncio.get_running_loop().create_task(self._see(state, name, request))
            state.seen[request] = task
            task.add_done_callback(lambda ended: ended.exception() and state.seen.pop(request, None))
        # From this moment on, not only from when the task begins.
        with self._processes.using(state):
            return await asyncio.shield(task)

    async def _see(self, state: State, name: str, request: Request) -> Seen:
        with self._processes.using(state):
            answer = await self._look_at(state, name, request)
        if isinstance(answer, Seen):
            return answer
        assert isinstance(answer, Process)
        end = answer.describe_end()
        if end.startswith(TOO_LONG):
            raise LookTimedOut(f"looking at state {name!r} was ended: {end}.", "A repr in it may be slow.")
        raise StateUnreachable(f"looking at state {name!r} failed: {end}.", "A repr in it may have crashed.")

    async def _look_at(self, state: State, name: str, request: Request) -> Seen | Captured | Process:
        if isinstance(request, Frames | Evaluate) and state.raised is not None and state.raised.can_fork:
            state = state.raised  # before any `finally` had run
        await self._ways.frozen(state, name)
        await self._ways.make_room()
        return await self._processes.look(state, request, self._processes.limits.look_s)

"""The live changes of the tree, numbered, for whoever listens.

Invariants:
  * Numbers go up by one. The newest `KEPT` events are remembered, so that a listener that was cut off can
    go on where it was.
  * A listener that does not keep up is cut off; it never holds up the supervisor.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

KEPT = 1_000


class Event(NamedTuple):
    """One change: its number, its name, its data."""

    number: int
    name: str
    data: dict[str, Any]


class Journal:
    """Events as they happen."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=KEPT)
        self._queues: set[asyncio.Queue[Event | None]] = set()
        self.number = 0

    def add(self, event_name: str, /, **data: Any) -> None:
        """Note an event and tell the listeners."""
        self.number += 1
        event = Event(self.number, event_name, data)
        self._events.append(event)
        for queue in list(self._queues):
            if queue.full():
                self._queues.discard(queue)
                queue.get_nowait()
                queue.put_nowait(None)
            else:
                queue.put_nowait(event)

    def missed(self, after: int) -> list[Event] | None:
        """The events since number `after`, or None where not all of them are remembered."""
        if after > self.number or (self._events and after < self._events[0].number - 1):
            return None
        return [event for event in self._events if event.number > after]

    @contextmanager
    def listening(self) -> Iterator[AsyncIterator[Event]]:
        """Every event from now on, whenever it is asked for. Ends when the listener does not keep up, or the journal
        is closed."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue(KEPT)

        async def events() -> AsyncIterator[Event]:
            while (event := await queue.get()) is not None:
                yield event

        self._queues.add(queue)
        try:
            yield events()
        finally:
            self._queues.discard(queue)

    def close(self) -> None:
        """End every listener."""
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)
        self._queues.clear()

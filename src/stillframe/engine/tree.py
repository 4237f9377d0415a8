"""The tree of states, and the names that point into it.

Invariants:
  * A state's identity, parent and cell are given at birth and never change.
  * A state without a name holds no process; it is remembered as long as it is an ancestor of a named one.
"""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from stillframe.engine.process import Process
from stillframe.model import Node, WayBack

_sequence = itertools.count()


class State:
    """One state as the supervisor knows it: what it is, and by which processes it can be had."""

    def __init__(self, parent: State | None, code: str, duration_s: float = 0.0) -> None:
        self.id = uuid.uuid4().hex
        self.sequence = next(_sequence)
        self.parent = parent
        self.code = code
        self.created = datetime.now(UTC)
        self.duration_s = duration_s
        self.output_digest = ""
        self.effects: list[str] = []
        self.hazards: list[str] = []
        self.unbranchable: list[str] = []
        self.fork_depth = 0
        self.names: list[str] = []
        self.frozen: Process | None = None
        self.ready: list[Process] = []
        """Live processes in this state: its tip, and spares."""
        self.tip: Process | None = None
        """The process that ran the cell, as long as it has run no other."""
        self.settled: asyncio.Event = asyncio.Event()
        """Set when it is known whether the frozen process may be forked for running code."""
        self.users = 0
        """Executions and looks that are about to fork it: as long as there are any, it is not released."""
        self.seen: dict[Any, Any] = {}
        """What looks have seen."""

    @property
    def can_fork(self) -> bool:
        """Whether the frozen process may be forked for running code."""
        return self.frozen is not None and self.frozen.is_alive and not self.hazards

    @property
    def has_ready(self) -> bool:
        return any(process.is_alive for process in self.ready)

    def lineage(self) -> list[State]:
        """This state and its ancestors, the initial one first."""
        states = [self]
        while (parent := states[-1].parent) is not None:
            states.append(parent)
        return states[::-1]

    def replay_from(self, limit_s: float) -> tuple[State, list[State]] | str:
        """The nearest ancestor that can be forked and the states to replay from there; or why not."""
        cells: list[State] = []
        state = self
        while not state.can_fork or state is self:
            if state.parent is None:
                return "its initial state is gone"
            if state.effects:
                return f"its lineage acts on the outside: {', '.join(state.effects[:3])}"
            cells.append(state)
            state = state.parent
        cells.reverse()
        took_s = sum(cell.duration_s for cell in cells)
        if took_s > limit_s:
            return f"its lineage took {took_s:.0f} s, and the limit for a replay is {limit_s:.0f} s"
        return state, cells

    def ways_back(self, replay_s: float) -> list[WayBack]:
        """How this state can be had again, cheapest first."""
        ways: list[WayBack] = []
        if self.tip is not None and self.tip.is_alive and self.tip in self.ready:
            ways.append("tip")
        if self.can_fork:
            ways.append("fork")
        if self.parent is not None and not isinstance(self.replay_from(replay_s), str):
            ways.append("replay")
        return ways

    def processes(self) -> list[Process]:
        """The processes that hold it now."""
        held = [*self.ready, *([self.frozen] if self.frozen else [])]
        return [process for process in held if process.is_alive]

    def node(self, replay_s: float) -> Node:
        return Node(
            id=self.id,
            names=list(self.names),
            parent=self.parent.id if self.parent else None,
            code=self.code,
            created=self.created.isoformat(),
            duration_s=round(self.duration_s, 6),
            ways_back=self.ways_back(replay_s),
            hazards=self.hazards,
            unbranchable=self.unbranchable,
            effects=self.effects,
            fork_depth=self.fork_depth,
            processes=len(self.processes()),
        )


class Names:
    """Names and the states that they point to."""

    def __init__(self) -> None:
        self._states: dict[str, State] = {}
        self._counter = itertools.count(1)

    def get(self, name: str) -> State | None:
        return self._states.get(name)

    def __contains__(self, name: object) -> bool:
        return name in self._states

    def __iter__(self) -> Iterator[str]:
        """Names, those of the oldest states first."""
        return iter(sorted(self._states, key=lambda name: self._states[name].sequence))

    def fresh(self) -> str:
        """A name that nobody has."""
        return next(name for number in self._counter if (name := f"s{number}") not in self._states)

    def bind(self, name: str, state: State) -> State | None:
        """Have `name` point to `state`. Returns the state that has thereby lost its last name."""
        lost = self.remove(name) if name in self._states else None
        self._states[name] = state
        state.names.append(name)
        return lost if lost is not state else None

    def remove(self, name: str) -> State | None:
        """Forget a name. Returns the state that has thereby lost its last name."""
        state = self._states.pop(name)
        state.names.remove(name)
        return state if not state.names else None

    def states(self) -> list[State]:
        """Every named state and its ancestors, parents before their children."""
        found: dict[str, State] = {}
        for state in self._states.values():
            ancestor: State | None = state
            while ancestor is not None and ancestor.id not in found:
                found[ancestor.id] = ancestor
                ancestor = ancestor.parent
        return sorted(found.values(), key=lambda state: state.sequence)

    def clear(self) -> None:
        for state in self._states.values():
            state.names.clear()
        self._states.clear()

"""The tree of states, and the names that point into it.

Invariants:
  * A state's identity, parent and cell are given at birth and never change.
  * A state without a name holds no process; it is remembered as long as it is an ancestor of a named one.
  * Whatever changes in the tree is told to its `Notes` in the order in which it happened.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from stillframe.engine.process import Process
from stillframe.model import Kind, Node, Output, WayBack, Where

DEEPEST = 30
"""The fork depth beyond which a state is restored rather than forked: each fork in a chain of forks costs more."""
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
        self.kind: Kind = "cell" if parent is not None else "initial"
        self.where: Where | None = None
        """The place in the program at which it rests, for one that is inside a call."""
        self.answers: tuple[int, ...] = ()
        """What its cell's calls were answered (running.py): a replay answers the same."""
        self.resumed_with = b""
        """The value that its parent's call was resumed with, as JSON."""
        self.output_digest = ""
        self.effects: list[str] = []
        self.hazards: list[str] = []
        self.unbranchable: list[str] = []
        self.fork_depth = 0
        self.snapshot = ""
        """The digest of its snapshot, from the moment when that is durable."""
        self.obstacles: list[str] = []
        """What stands in the way of capturing it, each a path from a variable and a reason."""
        self.is_pinned = False
        self.used: datetime | None = None
        """When it was last run in or looked at by this server."""
        self.is_noted = False
        """Whether the catalog has it, durably."""
        self.names: list[str] = []
        self.frozen: Process | None = None
        self.raised: State | None = None
        """Of a failed cell: the frozen copy that rests where it raised what has ended it. It is in no tree."""
        self.ready: list[Process] = []
        """Live processes in this state: its tip, and spares."""
        self.standby: Process | None = None
        """A fork that has run no cell, and is not warm."""
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
    def can_begin(self) -> bool:
        """Whether a replay can begin here: a live process in this state can be had."""
        return self.can_fork or bool(self.snapshot)

    @property
    def is_stored(self) -> bool:
        """Whether it would be there again after a power cut. The initial state is a fresh interpreter."""
        return self.is_noted and (bool(self.snapshot) or self.kind == "initial")

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
        """The nearest ancestor that can be forked or restored and the states to replay from there; or why not."""
        cells: list[State] = []
        state = self
        while not state.can_begin or state is self:
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

    def replay_cost_s(self, costs: dict[State, float]) -> float:
        """How long replaying its lineage took, infinite where it cannot be replayed. `costs` are its ancestors'."""
        if self.parent is None or self.effects:
            return math.inf
        return self.duration_s + (0.0 if self.parent.can_begin else costs.get(self.parent, math.inf))

    def ways_back(self, replay_s: float, costs: dict[State, float] | None = None) -> list[WayBack]:
        """How this state can be had again, cheapest first. `costs` spare walks along its lineage."""
        if costs is None:
            is_replayable = self.parent is not None and not isinstance(self.replay_from(replay_s), str)
        else:
            is_replayable = costs[self] <= replay_s
        ways: list[WayBack] = []
        if self.tip is not None and self.tip.is_alive and self.tip in self.ready:
            ways.append("tip")
        if self.can_fork:
            ways.append("fork")
        if self.snapshot:
            ways.append("restore")
        if is_replayable:
            ways.append("replay")
        return ways

    def processes(self) -> list[Process]:
        """The processes that hold it now."""
        held = [*self.ready, self.standby, self.frozen, self.raised.frozen if self.raised is not None else None]
        return [process for process in held if process is not None and process.is_alive]

    def node(self, replay_s: float, costs: dict[State, float] | None = None) -> Node:
        return Node(
            id=self.id,
            names=list(self.names),
            parent=self.parent.id if self.parent else None,
            code=self.code,
            kind=self.kind,
            where=self.where,
            created=self.created.isoformat(),
            duration_s=round(self.duration_s, 6),
            ways_back=self.ways_back(replay_s, costs),
            hazards=self.hazards,
            unbranchable=self.unbranchable,
            effects=self.effects,
            fork_depth=self.fork_depth,
            processes=len(self.processes()),
            ready=sum(process.is_alive for process in self.ready),
            stored=self.is_stored,
            pinned=self.is_pinned,
            obstacles=self.obstacles,
        )


class Notes:
    """Who is told what changes in the tree. This one forgets it: a kernel without a store."""

    def made(self, state: State, outputs: list[Output]) -> None:
        """A state was made; its names follow."""

    def bound(self, name: str, state: State) -> None:
        """A name points to a state now, whatever it pointed to before."""

    def removed(self, name: str) -> None:
        """A name is gone."""

    def changed(self, state: State) -> None:
        """How it can be had has changed: hazards, obstacles, a pin."""

    def cleared(self) -> None:
        """Every state is gone."""


class Names:
    """Names and the states that they point to."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._states: dict[str, State] = {}
        self._counter = itertools.count(1)

    def get(self, name: str) -> State | None:
        return self._states.get(name)

    def __contains__(self, name: object) -> bool:
        return name in self._states

    def __iter__(self) -> Iterator[str]:
        """Names, those of the oldest states first."""
        return iter(sorted(self._states, key=lambda name: self._states[name].sequence))

    def ids(self) -> dict[str, str]:
        """All names, each with the id of its state."""
        return {name: state.id for name, state in self._states.items()}

    def fresh(self) -> str:
        """A name that nobody has."""
        return next(name for number in self._counter if (name := f"s{number}") not in self._states)

    def bind(self, name: str, state: State) -> State | None:
        """Have `name` point to `state`. Returns the state that has thereby lost its last name."""
        lost = self._unbind(name) if name in self._states else None
        self._states[name] = state
        state.names.append(name)
        self._notes.bound(name, state)
        return lost if lost is not state else None

    def remove(self, name: str) -> State | None:
        """Forget a name. Returns the state that has thereby lost its last name."""
        self._notes.removed(name)
        return self._unbind(name)

    def _unbind(self, name: str) -> State | None:
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

    def load(self, states: Iterable[State]) -> None:
        """Take the names of states that the catalog knows already."""
        self._states = {name: state for state in states for name in state.names}

    def clear(self) -> None:
        for state in self._states.values():
            state.names.clear()
        self._states.clear()
        self._notes.cleared()


def replay_costs_s(states: Iterable[State]) -> dict[State, float]:
    """How long replaying took for each state, its parent before it: one pass, where each alone is a walk."""
    costs: dict[State, float] = {}
    for state in states:
        costs[state] = state.replay_cost_s(costs)
    return costs

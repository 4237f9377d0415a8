"""The values that travel between the engine, its doors and its users.

Invariants:
  * Everything here is plain data: JSON in, JSON out, nothing of the user's program.
  * A state says what it is, never where it is; which process holds it is the engine's knowledge.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

INITIAL = "initial"
"""The name of the first state."""

Output = dict[str, Any]
"""One output in nbformat's form: stream, display_data, execute_result."""

WayBack = Literal["tip", "fork", "replay"]
"""How a state can be had again: its live tip, a fork of its process, its lineage's cells run anew."""

ErrorKind = Literal["user", "interrupted", "died", "refused", "reset"]
"""Whose error it is. user: the code raised. interrupted: POST /interrupt. died: the process that ran the
code ended. refused: nothing was run. reset: the kernel was reset meanwhile."""


class ExecutionError(msgspec.Struct, frozen=True):
    """Why an execution made no state."""

    ename: str
    evalue: str
    traceback: list[str] = []
    kind: ErrorKind = "user"


class Reply(msgspec.Struct, frozen=True):
    """What POST /execute answers. `state_name` is null where `error` is not."""

    output: list[Output]
    state_name: str | None
    error: ExecutionError | None
    accessed_symbols: list[str] = []
    modified_symbols: list[str] = []
    deleted_symbols: list[str] = []
    state_id: str | None = None
    duration_s: float = 0.0


class Variable(msgspec.Struct, frozen=True):
    """One variable as GET /states/{name} lists it; `repr` is cut to a stated limit."""

    type: str
    repr: str


class Value(msgspec.Struct, frozen=True):
    """One variable in full: its mime bundle, and its JSON where it has one."""

    name: str
    type: str
    data: dict[str, Any]
    metadata: dict[str, Any]
    has_json: bool
    json: Any = None


class Completion(msgspec.Struct, frozen=True):
    """What may stand between `cursor_start` and `cursor_end` (in characters of the code)."""

    matches: list[str]
    cursor_start: int
    cursor_end: int


class Inspection(msgspec.Struct, frozen=True):
    """What is known about the name under the cursor."""

    found: bool
    data: dict[str, Any]
    metadata: dict[str, Any]


class Memory(msgspec.Struct, frozen=True):
    """Memory of the processes that hold a state. Private: what would be free if it were gone."""

    resident_bytes: int
    private_bytes: int


class Node(msgspec.Struct, frozen=True):
    """One state as GET /tree shows it. Times are ISO 8601, UTC.

    `unbranchable` names what a branch does not get for itself (sockets, child processes, an open transaction);
    `hazards` names what forbids forking the state for running code (live threads).
    `names` is empty for a state that is there only as the ancestor of others.
    """

    id: str
    names: list[str]
    parent: str | None
    code: str
    created: str
    duration_s: float
    ways_back: list[WayBack]
    hazards: list[str] = []
    unbranchable: list[str] = []
    effects: list[str] = []
    fork_depth: int = 0
    processes: int = 0
    memory: Memory | None = None


class Running(msgspec.Struct, frozen=True):
    """One execution in progress."""

    exec_id: str | int
    state_name: str
    started: str
    code: str


class Tree(msgspec.Struct, frozen=True):
    """All states, parents before their children, and what runs now."""

    states: list[Node]
    executions: list[Running] = []


class Description(msgspec.Struct, frozen=True):
    """What GET /states/{name} answers."""

    name: str
    timestamp: str
    variables: dict[str, Variable]
    id: str
    parent: str | None
    code: str
    duration_s: float
    ways_back: list[WayBack]
    hazards: list[str] = []
    unbranchable: list[str] = []


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Every limit of a kernel, with its unit. Zero is never "without limit"."""

    body_bytes: int = 64 << 20
    """A request's body; above it: 413."""
    output_bytes: int = 16 << 20
    """Stream text and mime data kept of one execution; the rest is counted, not kept."""
    outputs: int = 10_000
    """Outputs kept of one execution (neighbours of one stream are one)."""
    representation_bytes: int = 4 << 20
    """One mime representation; text is cut, anything else left out, and both say so."""
    repr_chars: int = 10_000
    """A variable's repr in a state's description."""
    processes: int = 10_000
    """State processes at once; also bounded by what the machine and its descriptors allow."""
    ready_processes: int = 16
    """Live tips and warmed spares that wait for a cell; the least recently used end first."""
    reserved_memory_bytes: int = 0
    """Memory that must stay available; 0 means a sixteenth of the machine's, at least 256 MiB."""
    interrupt_grace_s: float = 1.0
    """From SIGINT to SIGKILL."""
    look_s: float = 30.0
    """Looking at a state (reprs, a value, completion)."""
    replay_s: float = 60.0
    """The lineage's recorded run time above which a state is not replayed."""
    display_max_rows: int = 200
    """Rows of a data frame shown (pandas, polars)."""
    display_max_columns: int = 100
    """Columns of a data frame shown."""
    display_max_colwidth: int = 128
    """Characters of a data frame's cell shown."""

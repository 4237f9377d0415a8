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

ALL_REJECTED = "AllRejected"
"""The ename of an execution that has ended with reject() in every branch."""

Output = dict[str, Any]
"""One output in nbformat's form: stream, display_data, execute_result."""

WayBack = Literal["tip", "fork", "restore", "replay"]
"""How a state can be had again: its live tip, a fork of its process, its snapshot, its lineage's cells run anew."""

Keep = Literal["always", "evict", "never"]
"""Which states are captured into the store. always: each new one, in the background. evict: one whose processes
are about to end. never: none; the tree is kept, and a state's cells can be replayed."""

Kind = Literal["initial", "cell", "call", "error"]
"""What a state is: the initial one, what a cell has made, one that rests inside a call of a cell, or what a cell has
left behind that has failed."""

ErrorKind = Literal["user", "interrupted", "died", "refused", "reset"]
"""Whose error it is. user: the code raised. interrupted: POST /interrupt. died: the process that ran the
code ended. refused: nothing was run. reset: the kernel was reset meanwhile."""


class ExecutionError(msgspec.Struct, frozen=True):
    """Why an execution made no state."""

    ename: str
    evalue: str
    traceback: list[str] = []
    kind: ErrorKind = "user"


class Where(msgspec.Struct, frozen=True):
    """A place in a program. A cell's file is `<ipython-input-N>`, its lines count from 1."""

    file: str
    line: int
    function: str


class Reply(msgspec.Struct, frozen=True):
    """What POST /execute and POST /resume answer. `state_name` is null where `error` is not.

    `branches` has the replies of all branches where all were asked for; this one is then the first of them.
    `error_state` is the name of the state that a failed cell has left behind, where that was to be kept.
    """

    output: list[Output]
    state_name: str | None
    error: ExecutionError | None
    accessed_symbols: list[str] = []
    modified_symbols: list[str] = []
    deleted_symbols: list[str] = []
    state_id: str | None = None
    duration_s: float = 0.0
    branches: list[Reply] = []
    error_state: str | None = None


class Variable(msgspec.Struct, frozen=True):
    """One variable as GET /states/{name} lists it; `repr` is cut to a stated limit."""

    type: str
    repr: str


class Frame(msgspec.Struct, frozen=True):
    """One frame of the program in a state inside a call. The variables of a module are the state's own."""

    file: str
    line: int
    function: str
    variables: dict[str, Variable]


class Evaluated(msgspec.Struct, frozen=True):
    """The value of an expression, or what it raised: then `type` and `repr` are null."""

    type: str | None
    repr: str | None
    error: str | None


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
    `kind` says what a state is; `where` is where one rests that is inside a call, or where its cell has failed.
    `names` is empty for a state that is there only as the ancestor of others. `stored` is true from the moment
    when the state would be there again after a power cut; `obstacles` names the variables that stand in the way.
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
    ready: int = 0
    """Live processes that wait in it, warm: its tip, and spares."""
    memory: Memory | None = None
    stored: bool = False
    pinned: bool = False
    obstacles: list[str] = []
    kind: Kind = "cell"
    where: Where | None = None


class Running(msgspec.Struct, frozen=True):
    """One execution in progress."""

    exec_id: str | int
    state_name: str
    started: str
    code: str


class Storing(msgspec.Struct, frozen=True):
    """What a kernel's store does. `trouble` is why nothing is stored at the moment, and empty where all is well."""

    path: str
    keep: Keep
    stored: int
    """Named states that are stored."""
    waiting: int
    """States that are still to be captured."""
    trouble: str = ""


class TrustedKey(msgspec.Struct, frozen=True):
    """Whose states are taken: the public key of a store, in hexadecimal, and what it is called here."""

    key: str
    comment: str = ""
    added: str = ""


class Keys(msgspec.Struct, frozen=True):
    """The public key of a kernel's store, and those that it trusts."""

    key: str
    trusted: list[TrustedKey]


class Pruned(msgspec.Struct, frozen=True):
    """What a prune has removed; or would, in a dry run."""

    names: list[str]
    """Of states that were not used for so long."""
    states: int
    """Those, and those that were deleted before."""
    blobs: int
    size_bytes: int
    """Of the blobs."""
    young_blobs: int = 0
    """Needed by nobody, but younger than an hour: a capture may be about to name them."""


class Archived(msgspec.Struct, frozen=True):
    """What an archive has compressed; or would try to, in a dry run."""

    blobs: int = 0
    """That were not archived before."""
    size_bytes: int = 0
    """Of what is in them."""
    archived_bytes: int = 0
    """What they take now; in a dry run 0: it is not known."""
    unfit_blobs: int = 0
    """That stay as they are: compressed they would take nearly as much."""
    returned_blobs: int = 0
    """That are in use again, and so have left the archive."""
    damaged_blobs: int = 0
    """That are not what they should be, and were left for `still doctor`."""


class Moved(msgspec.Struct, frozen=True):
    """A state that has come to where it was moved."""

    name: str
    """What it is called there."""
    id: str
    sent_bytes: int = 0
    """Of blobs that were not there before."""
    taken_names: list[str] = []
    """Names of ancestors that other states have there; those ancestors came without them."""
    missing_packages: dict[str, str] = {}
    """Packages that it needs and that are not there, with the versions that it was made with."""


class Tree(msgspec.Struct, frozen=True):
    """All states, parents before their children, and what runs now; `store` is null where there is none."""

    states: list[Node]
    executions: list[Running] = []
    store: Storing | None = None


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
    stored: bool = False
    pinned: bool = False
    obstacles: list[str] = []
    kind: Kind = "cell"
    where: Where | None = None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Every limit of a kernel, with its unit. Zero is never "without limit"."""

    body_bytes: int = 64 << 20
    """A request's body; above it: 413."""
    upload_bytes: int = 64 << 30
    """The same for what is imported or pushed, which goes to the disk piece by piece."""
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
    standby_processes: int = 64
    """Forks that wait unused, one in each state that has nothing else ready; some 0.3 MB and page tables each."""
    reserved_memory_bytes: int = 0
    """Memory that must stay available; 0 means a sixteenth of the machine's, at least 256 MiB."""
    process_budget: int = 1_000
    """With a store: processes that hold states at rest. The least recently used states beyond it are evicted."""
    memory_budget_bytes: int = 0
    """With a store: memory of these processes together, beyond which states are evicted; 0 means all of the
    machine's but twice the reserve."""
    capture_s: float = 600.0
    """Capturing one state into the store."""
    search_branches: int = 4
    """Branches of one search for all its endings that run at once."""
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

"""What the supervisor and a state process say to each other, and how it is framed.

    packet   ┌───────────┬──────────────────────────────┐   A message is one packet or more, on a
             │ flags (1) │ MessagePack, ≤ 64 KiB a piece│   SOCK_SEQPACKET socketpair; FIRST is set on
             └───────────┴──────────────────────────────┘   its first packet, MORE on all but its last.
                                                            Descriptors travel with the first (SCM_RIGHTS).
Invariants:
  * Both ends hold the only copies of a channel, so its end of file says that the other end is gone.
  * What a state process sends is read as untrusted: a message that is not one of these types is a
    ProtocolViolation, and the process is ended.
  * `stamp_ns` is the monotonic clock (one for the machine) just before a message is sent. It puts
    messages and what was written to descriptors 1 and 2 into one order.
  * A message that was begun and not ended (an interrupt between two packets) is dropped by the next one.
"""

from __future__ import annotations

import array
import socket
from typing import Any, Final, NamedTuple

import msgspec

PACKET_BYTES: Final = 64 << 10
MESSAGE_BYTES: Final = 256 << 20
"""The largest message: a body at its limit and what is around it."""
FIRST: Final = 1
MORE: Final = 2
_ONLY: Final = bytes((FIRST,))

# The descriptors of every state process: above those that a program's open() gives, below 1,024.
CHANNEL_FD: Final = 1000
STDOUT_READ_FD: Final = 1001
STDERR_READ_FD: Final = 1002
LIFELINE_FD: Final = 1003
OWN_LIFELINE_FD: Final = 1004
NULL_FD: Final = 1005
FIRST_FD: Final = CHANNEL_FD
LAST_FD: Final = NULL_FD
SPARE_FDS: Final = 16
"""Descriptors kept free above the soft limit, for those of a process whose user has used up all others."""

KERNEL_MARK: Final = "STILLFRAME_KERNEL"
"""The environment variable by which every descendant of a kernel is known."""


LIMITS_VARIABLE: Final = "STILLFRAME_LIMITS"
"""The environment variable that carries the kernel's limits to its root, as JSON."""


class ProtocolViolation(Exception):
    """The other end sent what is not a message."""


class Message(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The root of all messages."""


class Fork(Message, frozen=True):
    """To a frozen process: fork. Descriptors: channel, and for a process that is to run cells stdout read, write,
    stderr read, write. Any packet means this to it, so it is one; what the fork is to do, it is told itself."""


class Look(Message, frozen=True):
    """To a fork of a frozen process: answer `request`, and end."""

    request: Request
    limit: int


class Prepare(Message, frozen=True):
    """To a live process that has run no cell: walk the path of one, so that the next finds its pages there."""


class Execute(Message, frozen=True):
    """To a live process: run a cell. With `is_watched` the process says where it raises what nothing will catch."""

    code: str
    is_watched: bool = False


class Freeze(Message, frozen=True):
    """To a live process that has run a cell: fork a frozen one, for the channel that comes with this."""


class Resume(Message, frozen=True):
    """To a live process in a state that rests inside a call: the call returns a Resumed with this value, JSON. In one
    that rests where something was raised, the frame `frame` executes its statement again, after `mend` in it.
    `is_watched`: as with Execute."""

    value: bytes = b"null"
    frame: int | None = None
    mend: str = ""
    is_watched: bool = False


class Proceed(Message, frozen=True):
    """The answer to Snapshot: the state is there, and the cell goes on."""


class Chosen(Message, frozen=True):
    """The answer to Choose: go on with this option."""

    index: int


class Refused(Message, frozen=True):
    """The answer to a call that is not granted: it raises the StillframeError of this code."""

    code: str
    message: str
    hint: str


class Import(Message, frozen=True):
    """To a live process that has run no cell: import `modules`, with `path` as sys.path. Answer: Imported."""

    modules: list[str]
    path: list[str]


class Restore(Message, frozen=True):
    """To a live process that has run no cell: become the state of the snapshot whose record this is; its blobs
    are in the store at `store`. Answer: Restored."""

    store: str
    record: bytes


class Buffer(NamedTuple):
    """A large buffer that is a blob of the store."""

    address: int
    size_bytes: int
    digest: str
    is_as_frozen: bool
    """Whether the capture has left it as it was in the frozen process that was captured."""


class Adopt(Message, frozen=True):
    """To a tip at rest: map these blobs of the store over the memory that has their contents. No answer."""

    store: str
    buffers: list[Buffer]


class Born(Message, frozen=True):
    """The first word of every process."""

    pid: int


class Failed(Message, frozen=True):
    """Instead of Born: there is no such process, because the fork failed with this errno."""

    errno: int


class Streamed(Message, frozen=True):
    """What was written to stdout (1) or stderr (2) and had to be taken from its pipe to keep the order."""

    descriptor: int
    data: bytes
    stamp_ns: int


class Displayed(Message, frozen=True):
    """A display_data, execute_result or update_display_data."""

    output_type: str
    data: dict[str, Any]
    metadata: dict[str, Any]
    display_id: str | None
    stamp_ns: int


class Cleared(Message, frozen=True):
    """clear_output()."""

    wait: bool
    stamp_ns: int


class Done(Message, frozen=True):
    """A cell has ended. `error` is [ename, evalue, traceback] where it failed.

    `result` is the Displayed of its last expression, encoded, or empty: it is mostly the last thing that
    happens, and so is spared a message of its own.
    """

    result: bytes
    error: tuple[str, str, list[str]] | None
    interrupted: bool
    accessed: list[str]
    modified: list[str]
    deleted: list[str]
    effects: list[str]
    left_out: int
    stamp_ns: int
    where: tuple[str, int, str] | None = None
    """File, line and function of the innermost frame of the program, where the cell failed."""
    was_raised: bool = False
    """Whether `error` is what the process said Raised of last."""


class Snapshot(Message, frozen=True):
    """The cell calls snapshot(): make a state that rests there, called `name`. What the process says from here
    on it says when it has been answered, as with the next two. Answers: Freeze, then Proceed; or Refused."""

    name: str
    file: str
    line: int
    function: str
    effects: list[str]
    stamp_ns: int


class Raised(Message, frozen=True):
    """The cell raises what nothing is seen to catch, and whoever ordered it wants to go on from there. Answers: Freeze,
    then Proceed; or Proceed."""

    stamp_ns: int


class Choose(Message, frozen=True):
    """The cell calls choose() with so many options. Answers: Freeze, then Chosen; or Chosen, or Refused."""

    count: int
    stamp_ns: int


class Reject(Message, frozen=True):
    """The cell calls reject(): this branch is not wanted. No answer: the process is ended."""

    stamp_ns: int


class Settled(Message, frozen=True):
    """A live process has frozen a copy of itself. What stands in the way of forking that copy, and what
    its branches would share."""

    hazards: list[str]
    unbranchable: list[str]


class Warm(Message, frozen=True):
    """A live process has walked the path of a cell once, and the next one will find its pages there."""


class Broken(Message, frozen=True):
    """The last word of a process that fails for a reason that is not a cell's: our defect, or a program
    that has destroyed what its process needs."""

    report: str


class Imported(Message, frozen=True):
    """The answer to Import: those that could not be imported, each with the reason."""

    failed: list[str]


class Restored(Message, frozen=True):
    """The answer to Restore: it is in the state now, or `error` says why not. `notes` say what is not as it was."""

    error: str
    notes: list[str]


class Capture(Message, frozen=True):
    """Look: capture the state into the store at `store`. `near` is the record of a relative's snapshot, or empty.
    With `is_urgent` somebody waits for it; else it takes no time from others."""

    store: str
    near: bytes
    is_urgent: bool = False


class Captured(Message, frozen=True):
    """The answer to a look that captures: the record of the snapshot, whose blobs are durable; or `obstacles`, each
    with its path from a variable; or `error`: the store did not take it. `buffers` are the large ones, for Adopt."""

    record: bytes
    obstacles: list[str]
    buffers: list[Buffer]
    error: str = ""


class Variables(Message, frozen=True):
    """Look: every variable's type and repr."""


class Show(Message, frozen=True):
    """Look: one variable in full."""

    variable: str


class Complete(Message, frozen=True):
    """Look: what may stand at this place. `cursor` counts characters."""

    code: str
    cursor: int


class Inspect(Message, frozen=True):
    """Look: what is known of the name at this place."""

    code: str
    cursor: int
    detail: int


class Frames(Message, frozen=True):
    """Look: the frames of the program in a state inside a call, the outermost first."""


class Evaluate(Message, frozen=True):
    """Look: the value of an expression in one of these frames, as a sequence is indexed; None: in the innermost,
    or in the namespace where there is none."""

    frame: int | None
    code: str


class Seen(Message, frozen=True):
    """The answer to a look: JSON, or the names to choose from where the variable is not there."""

    found: bool
    json: bytes


Call = Snapshot | Raised | Choose | Reject
"""What a cell asks of its kernel while it runs."""
Request = Variables | Show | Complete | Inspect | Frames | Evaluate | Capture
ToProcess = Fork | Look | Prepare | Execute | Freeze | Resume | Proceed | Chosen | Refused | Import | Restore | Adopt
FromProcess = (
    Born
    | Failed
    | Streamed
    | Displayed
    | Cleared
    | Done
    | Call
    | Settled
    | Warm
    | Seen
    | Broken
    | Imported
    | Restored
    | Captured
)

displayed_decoder: msgspec.msgpack.Decoder[Displayed] = msgspec.msgpack.Decoder(Displayed)
encode = msgspec.msgpack.encode
to_process_decoder: msgspec.msgpack.Decoder[ToProcess] = msgspec.msgpack.Decoder(ToProcess)
from_process_decoder: msgspec.msgpack.Decoder[FromProcess] = msgspec.msgpack.Decoder(FromProcess)


def packets(message: Message | bytes) -> list[bytes]:
    """A message, or one that is encoded already, as the packets that carry it."""
    body = message if isinstance(message, bytes) else encode(message)
    if len(body) <= PACKET_BYTES:
        return [_ONLY + body]
    pieces = [body[i : i + PACKET_BYTES] for i in range(0, len(body), PACKET_BYTES)]
    flags = [FIRST | MORE, *[MORE] * (len(pieces) - 2), 0]
    return [bytes((flag,)) + piece for flag, piece in zip(flags, pieces, strict=True)]


class Assembly:
    """Puts packets together again. `add` gives the message's bytes when it is whole, else None."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size_bytes = 0

    def add(self, packet: bytes) -> bytes | None:
        flags = packet[0]
        if flags == FIRST:
            self._pieces.clear()
            return packet[1:]
        if flags & FIRST:
            self._pieces.clear()
            self._size_bytes = 0
        elif not self._pieces:
            raise ProtocolViolation("a message without its beginning")
        self._pieces.append(packet[1:])
        self._size_bytes += len(packet)
        if self._size_bytes > MESSAGE_BYTES:
            raise ProtocolViolation(f"a message above {MESSAGE_BYTES} bytes")
        if flags & MORE:
            return None
        whole = b"".join(self._pieces)
        self._pieces.clear()
        return whole


def rights(descriptors: list[int]) -> list[tuple[int, int, array.array[int]]]:
    """The ancillary data that passes `descriptors` on."""
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []

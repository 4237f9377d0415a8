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
from typing import Any, Final

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


class Execute(Message, frozen=True):
    """To a live process: run a cell."""

    code: str


class Freeze(Message, frozen=True):
    """To a live process that has run a cell: fork a frozen one, for the channel that comes with this."""


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


class Seen(Message, frozen=True):
    """The answer to a look: JSON, or the names to choose from where the variable is not there."""

    found: bool
    json: bytes


Request = Variables | Show | Complete | Inspect
ToProcess = Fork | Look | Execute | Freeze
FromProcess = Born | Failed | Streamed | Displayed | Cleared | Done | Settled | Warm | Seen | Broken

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

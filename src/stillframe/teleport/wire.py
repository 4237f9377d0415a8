"""What the two sides of a teleport say to each other: frames over the pipes of one command.

    +--------+----------------+-----------------+
    | kind   | size, 4 bytes  | size bytes      |
    | 1 byte | big-endian     |                 |
    +--------+----------------+-----------------+

Invariants:
  * Nobody reads ahead: a frame's reader takes its five bytes, then its payload, and not one byte more. So the
    pipe can be handed to another process between any two frames.
  * A frame of at most ATOMIC_BYTES goes out in a single write, which a pipe takes whole or not at all: writers
    that share a pipe do not mix.
  * Only the standard library is used: this file also runs where stillframe is not installed.
"""

from __future__ import annotations

import io
import json
import os
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

PROTOCOL = 1
"""Raised whenever either side would misunderstand the other."""

GREETING = b"\0stillframe "
"""What the far side says first. Whatever a login script printed before it is skipped."""

MESSAGE = b"J"
"""JSON, both ways: a question or an answer."""
DATA = b"D"
"""A piece of a stream that goes to the far side (the envelope, files). An empty one ends the stream."""
STDIN = b"I"
"""Standard input of the program. An empty one is its end."""
STDIN_TAKEN = b"A"
"""The far side has passed on this many bytes of standard input (4 bytes): as many more may be sent."""
STDOUT = b"O"
STDERR = b"E"
SIGNAL = b"S"
"""A signal for the program (1 byte)."""
WINDOW = b"W"
"""The terminal's size (JSON: rows, columns)."""
CLOSED = b"C"
"""Nobody reads the program's standard output or error (1 byte: 1 or 2) any more."""
EXIT = b"X"
"""How the program ended (JSON: {"code": ...} or {"signal": ...}). Nothing follows."""

ATOMIC_BYTES = 4096
"""PIPE_BUF on Linux."""
PIECE_BYTES = ATOMIC_BYTES - 5
"""The most of a program's input or output in one frame."""
STDIN_WINDOW_BYTES = 1 << 16
"""The most standard input that is on its way and not yet taken."""
LARGEST_PIECE_BYTES = 1 << 30
LARGEST_MESSAGE_BYTES = 1 << 26

_HEAD = struct.Struct(">cI")


class LineEnded(EOFError):
    """The other side has gone, in the middle of what it was saying or before it said anything."""


class Frame(NamedTuple):
    """One frame, as it was received."""

    kind: bytes
    payload: bytes

    def message(self) -> Any:
        """The payload as JSON."""
        return json.loads(self.payload)


def head(kind: bytes, size_bytes: int) -> bytes:
    """The five bytes before a payload."""
    return _HEAD.pack(kind, size_bytes)


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    """A small frame, ready for a single write."""
    return _HEAD.pack(kind, len(payload)) + payload


def message(value: Any, kind: bytes = MESSAGE) -> bytes:
    """A frame that holds `value` as JSON."""
    return frame(kind, json.dumps(value).encode())


def read_exactly(descriptor: int, size_bytes: int) -> bytes:
    """Exactly so many bytes. Raises LineEnded if there are fewer."""
    pieces = bytearray()
    while len(pieces) < size_bytes:
        piece = os.read(descriptor, min(size_bytes - len(pieces), 1 << 20))
        if not piece:
            raise LineEnded(f"the line ended {size_bytes - len(pieces)} bytes too early")
        pieces += piece
    return bytes(pieces)


def read_frame(descriptor: int) -> Frame:
    """The next frame. Raises LineEnded at the end of the line."""
    kind, size_bytes = _HEAD.unpack(read_exactly(descriptor, _HEAD.size))
    if size_bytes > LARGEST_MESSAGE_BYTES:
        raise LineEnded(f"a frame of kind {kind!r} claims {size_bytes} bytes: this is not the protocol")
    return Frame(kind, read_exactly(descriptor, size_bytes))


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write everything, in as few writes as the descriptor takes."""
    rest = memoryview(data).cast("B") if data else memoryview(b"")
    while rest:
        rest = rest[os.write(descriptor, rest) :]


class Incoming(io.RawIOBase):
    """A stream of DATA frames as a readable file without a position; its end is the end of the stream.

    `readinto` puts the bytes where they are to stay: nothing is held here but the head of a frame. It fills its
    target, and returns less only at the stream's end.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._left_in_piece = 0
        self._is_over = False

    def _next_piece(self) -> bool:
        """Whether there is something to read: opens the next frame where the last one is used up."""
        if self._left_in_piece == 0 and not self._is_over:
            kind, self._left_in_piece = _HEAD.unpack(read_exactly(self._descriptor, _HEAD.size))
            if kind != DATA:
                raise LineEnded(f"a frame of kind {kind!r} came in the middle of a stream")
            self._is_over = self._left_in_piece == 0
        return not self._is_over

    def readable(self) -> bool:
        return True

    def readinto(self, target: Buffer, /) -> int:
        view = memoryview(target).cast("B")
        filled = 0
        while filled < len(view) and self._next_piece():
            wanted = min(len(view) - filled, self._left_in_piece)
            count = os.readv(self._descriptor, [view[filled : filled + wanted]])
            if count == 0:
                raise LineEnded("the line ended in the middle of a stream")
            filled += count
            self._left_in_piece -= count
        return filled

    def drain(self) -> None:
        """Read and drop what is left, so that the next frame is no longer of this stream."""
        target = bytearray(1 << 16)
        while self.readinto(target):
            pass

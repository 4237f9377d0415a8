"""A stream in memory files, for a program that puts a new interpreter in its own place.

    before exec                                            after
    Writing ── memory file, memory file, … ── socket ═══► Reading: each is given back when it was read

Invariants:
  * The files outlive this process only inside the socket: where it is closed, they are gone.
  * While it is read, at most one file's worth is there twice.
"""

from __future__ import annotations

import _socket
import io
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from _typeshed import ReadableBuffer, WriteableBuffer

MOST_FILES = 250
"""Below SCM_MAX_FD (253), the most descriptors that one message can carry."""
SMALLEST_FILE_BYTES = 1 << 26


class Writing(io.RawIOBase):
    """Takes a stream of about `expected_bytes`."""

    def __init__(self, expected_bytes: int) -> None:
        self._most_bytes = max(SMALLEST_FILE_BYTES, 2 * expected_bytes // MOST_FILES)
        self._descriptors: list[int] = []
        self._room_bytes = 0

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        view = memoryview(data).cast("B")
        rest = view
        while rest:
            if not self._room_bytes:
                self._descriptors.append(os.memfd_create("stillframe", os.MFD_CLOEXEC))
                self._room_bytes = self._most_bytes
            count = os.write(self._descriptors[-1], rest[: self._room_bytes])
            self._room_bytes -= count
            rest = rest[count:]
        return len(view)

    def post(self, socket: Any) -> None:
        """Put the files into `socket`, from where whoever has its other end takes them."""
        for descriptor in self._descriptors:
            os.lseek(descriptor, 0, os.SEEK_SET)
        rights = b"".join(descriptor.to_bytes(4, sys.byteorder) for descriptor in self._descriptors)
        socket.sendmsg([b"\0"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
        self.drop()

    def drop(self) -> None:
        """Close the files here."""
        while self._descriptors:
            os.close(self._descriptors.pop())


class Reading(io.RawIOBase):
    """The stream that was posted into the socket `descriptor`."""

    def __init__(self, descriptor: int) -> None:
        there = _socket.socket(fileno=descriptor)
        _, messages, _, _ = there.recvmsg(1, _socket.CMSG_LEN(MOST_FILES * 4))
        there.close()
        data = b"".join(data for _, _, data in messages)
        self._descriptors = [int.from_bytes(data[i : i + 4], sys.byteorder) for i in range(0, len(data), 4)]

    def readable(self) -> bool:
        return True

    def readinto(self, target: WriteableBuffer, /) -> int:
        view = memoryview(target).cast("B")
        filled = 0
        while filled < len(view) and self._descriptors:
            count = os.readv(self._descriptors[0], [view[filled:]])
            if count == 0:
                os.close(self._descriptors.pop(0))
            filled += count
        return filled

    def close(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.pop())
        super().close()

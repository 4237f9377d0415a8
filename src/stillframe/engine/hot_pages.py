"""The pages that every cell writes to: reference counts and buffers of the interpreter and of IPython.

After a fork each of them is copied when it is first written, in the fork and in the process that was forked.
Which they are is found out once, in the root: a process is forked from it as any live one is, runs a cell, and
the kernel says which of its pages are its own then. They are at the same addresses in every state process, so
that a tip, when it has forked, can have them all copied before the next cell comes. A fork does not: it writes
to what it needs, which is mostly less, and the rest would be memory for as long as its state lives.

Source: Documentation/admin-guide/mm/pagemap.rst, bits 56 (exclusively mapped) and 63 (present).
"""

from __future__ import annotations

import contextlib
import os
import socket
from array import array
from collections.abc import Iterator

from stillframe.engine import protocol
from stillframe.engine.protocol import Born, Done, Execute, Fork

_PAGE = os.sysconf("SC_PAGE_SIZE")
_EXCLUSIVE, _PRESENT = 1 << 56, 1 << 63
_CELL = "0"


class Rehearsal:
    """A process's life from its fork to its first reply, asked for by the root."""

    def __init__(self) -> None:
        self._frozen, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel = there.detach()
        """For the frozen process."""

    def find(self) -> bytes:
        """The pages that a live process has written to when it has run its first cell, as pairs of address and
        length, 64 bits each. Costs some 6 ms. Empty where the kernel does not tell."""
        live, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pipes = [*os.pipe(), *os.pipe()]
        live.send(protocol.packets(Execute(_CELL))[0])
        self._frozen.sendmsg(protocol.packets(Fork()), protocol.rights([there.fileno(), *pipes]))
        there.close()
        written = b""
        with contextlib.suppress(OSError):
            pid = _pid_after_a_cell(live)
            written = _written_by(pid).tobytes() if pid else b""
        # The processes have copies of these ends, so to close them alone would end nothing.
        for channel in (live, self._frozen):
            channel.shutdown(socket.SHUT_RDWR)
            channel.close()
        for pipe in pipes:
            os.close(pipe)
        return written


def _pid_after_a_cell(live: socket.socket) -> int | None:
    """The process at the other end, when it has said Done."""
    pid = None
    while packet := live.recv(protocol.PACKET_BYTES + 1):
        message = protocol.from_process_decoder.decode(packet[1:])
        if isinstance(message, Born):
            pid = message.pid
        elif isinstance(message, Done):
            return pid
    return None


def _written_by(pid: int) -> array[int]:
    pages = array("Q")
    with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:
        for start, end in _areas():
            pagemap.seek(start // _PAGE * 8)
            flags = array("Q", pagemap.read((end - start) // _PAGE * 8))
            pages.extend(
                start + number * _PAGE
                for number, flag in enumerate(flags)
                if flag & _EXCLUSIVE and flag & _PRESENT
            )
    return _ranges(pages)


def _areas() -> Iterator[tuple[int, int]]:
    """Private writable memory: the heap, arenas, the data of libraries."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            addresses, permissions, *_ = line.split(maxsplit=2)
            if permissions == "rw-p":
                start, _, end = addresses.partition("-")
                yield int(start, 16), int(end, 16)


def _ranges(pages: array[int]) -> array[int]:
    ranges = array("Q")
    for page in pages:
        if ranges and page == ranges[-2] + ranges[-1]:
            ranges[-1] += _PAGE
        else:
            ranges.extend((page, _PAGE))
    return ranges

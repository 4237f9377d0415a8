"""A program's open descriptors, when its process is forked.

    regular files        share one offset: each fork reopens them where they stood
    epoll                shares what is watched: made anew in each fork
    pipes, both ends     (within the program) are made anew in each fork, with what lay in them
    other pipes, sockets, terminals: the other side is another process, and there is only one of it.
                         They stay with the tip; in every fork the other side has hung up.

Were a frozen process to keep its copies, a child would never see the end of its input, and a port would
stay taken after the program had closed it.

Invariants:
  * `Descriptors` is made before the fork, and says how everything stood at that moment.
  * A number that was open is open in each fork: nothing that the program opens later gets it by accident.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import stat
import termios
from array import array
from collections.abc import Collection
from typing import NamedTuple

from stillframe.engine._fork import is_same_open_file, numbers_in
from stillframe.engine.protocol import FIRST_FD, LAST_FD

_PIPE_BYTES = 1 << 20
_OPENING = os.O_CREAT | os.O_EXCL | os.O_TRUNC
_EPOLL = "anon_inode:[eventpoll]"
_SEVER, _REOPEN, _SAME_AS, _HOLD = range(4)
"""What `let_go` in _fork.c knows."""


class _File(NamedTuple):
    """A regular file as it stood. Descriptors made by dup() are one file."""

    descriptors: list[tuple[int, bool]]
    """Each with whether it is inheritable."""
    identity: tuple[int, int, int]
    """Device, inode, flags."""
    offset: int


class _Epoll(NamedTuple):
    """An epoll descriptor and what it watches: (descriptor, events)."""

    descriptor: int
    watched: list[tuple[int, int]]


class _End(NamedTuple):
    """One end of a pipe."""

    descriptor: int
    is_writing: bool
    is_inheritable: bool
    is_blocking: bool


class _Pipe(NamedTuple):
    """A pipe with both ends in the program, and what lay in it."""

    ends: list[_End]
    content: bytes


class Descriptors:
    """What a program has open, but for `ours`."""

    def __init__(self, ours: Collection[int] = ()) -> None:
        self.files: list[_File] = []
        self.pipes: list[_Pipe] = []
        self.epolls: list[_Epoll] = []
        self.severed: list[_End] = []
        self.lockable: list[int] = []
        """Descriptors on which there may be a lock."""
        self.unbranchable: list[str] = []
        """What stays with the tip, for people."""
        ends: dict[int, list[_End]] = {}
        for descriptor in numbers_in("/proc/self/fd"):
            if descriptor not in ours and not FIRST_FD <= descriptor <= LAST_FD:
                try:
                    self._sort(descriptor, ends)
                except OSError:  # a thread has closed it
                    pass
        for inode_ends in ends.values():
            self._sort_pipe(inode_ends)
        self.unbranchable.sort()

    @property
    def is_any(self) -> bool:
        """Whether a fork has to renew something."""
        return bool(self.files or self.pipes or self.epolls)

    def _sort(self, descriptor: int, ends: dict[int, list[_End]]) -> None:
        status = os.fstat(descriptor)
        kind = stat.S_IFMT(status.st_mode)
        if descriptor <= 2 and kind in (stat.S_IFIFO, stat.S_IFCHR):
            return
        if kind in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFBLK):
            self.lockable.append(descriptor)
        if kind == stat.S_IFREG:
            identity = status.st_dev, status.st_ino, fcntl.fcntl(descriptor, fcntl.F_GETFL) & ~_OPENING
            self._add_file(descriptor, identity, os.get_inheritable(descriptor))
        elif kind == stat.S_IFIFO:
            ends.setdefault(status.st_ino, []).append(_end(descriptor))
        elif kind == stat.S_IFSOCK:
            self._sever(_end(descriptor), "socket")
        elif kind == 0 and os.readlink(f"/proc/self/fd/{descriptor}") == _EPOLL:
            self.epolls.append(_Epoll(descriptor, _watched(descriptor)))
        elif kind == stat.S_IFCHR and _is_terminal(descriptor):
            self._sever(_end(descriptor), "terminal")

    def _add_file(self, descriptor: int, identity: tuple[int, int, int], is_inheritable: bool) -> None:
        for file in self.files:
            if file.identity == identity and is_same_open_file(descriptor, file.descriptors[0][0]):
                file.descriptors.append((descriptor, is_inheritable))
                return
        offset = os.lseek(descriptor, 0, os.SEEK_CUR)
        self.files.append(_File([(descriptor, is_inheritable)], identity, offset))

    def _sort_pipe(self, ends: list[_End]) -> None:
        reading = [end.descriptor for end in ends if not end.is_writing]
        writing = [end.descriptor for end in ends if end.is_writing]
        if reading and writing:
            self.pipes.append(_Pipe(ends, _peek(reading[0], writing[0])))
        else:
            for end in ends:
                self._sever(end, "pipe")

    def _sever(self, end: _End, kind: str) -> None:
        self.severed.append(end)
        self.unbranchable.append(f"{kind} (descriptor {end.descriptor})")

    def steps(self) -> bytes:
        """What a frozen process does with them, as `_fork.freeze` takes it: it lets go of all that it shares
        with the tip, and keeps the numbers."""
        if not (self.is_any or self.severed):
            return b""
        steps = array("i")
        for end in self.severed:
            steps.extend((end.descriptor, _SEVER, 0, _flags(end.is_inheritable)))
        for file in self.files:
            (first, is_inheritable), *others = file.descriptors
            steps.extend((first, _REOPEN, file.identity[2], _flags(is_inheritable)))
            for descriptor, is_inheritable in others:
                steps.extend((descriptor, _SAME_AS, first, _flags(is_inheritable)))
        held = [end.descriptor for pipe in self.pipes for end in pipe.ends]
        for descriptor in (*held, *(epoll.descriptor for epoll in self.epolls)):
            steps.extend((descriptor, _HOLD, 0, os.O_CLOEXEC))
        return steps.tobytes()

    def renew(self) -> None:
        """In every fork that runs code: offsets and pipes of its own."""
        for file in self.files:
            # A file that cannot be opened again (its permissions have changed) stays shared.
            with contextlib.suppress(OSError):
                new = os.open(f"/proc/self/fd/{file.descriptors[0][0]}", file.identity[2])
                os.lseek(new, file.offset, os.SEEK_SET)
                for descriptor, is_inheritable in file.descriptors:
                    os.dup2(new, descriptor, is_inheritable)
                os.close(new)
        for pipe in self.pipes:
            reading, writing = os.pipe()
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, max(len(pipe.content), 65536))
            os.write(writing, pipe.content)
            for end in pipe.ends:
                os.dup2(writing if end.is_writing else reading, end.descriptor, end.is_inheritable)
                os.set_blocking(end.descriptor, end.is_blocking)
            os.close(reading)
            os.close(writing)
        for epoll in self.epolls:
            new_epoll = select.epoll()
            os.dup2(new_epoll.fileno(), epoll.descriptor, inheritable=False)
            new_epoll.close()
            kept = select.epoll.fromfd(os.dup(epoll.descriptor))
            for descriptor, events in epoll.watched:
                with contextlib.suppress(OSError):  # closed since
                    kept.register(descriptor, events)
            kept.close()


def _end(descriptor: int) -> _End:
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    is_writing, is_blocking = flags & os.O_ACCMODE == os.O_WRONLY, not flags & os.O_NONBLOCK
    return _End(descriptor, is_writing, os.get_inheritable(descriptor), is_blocking)


def _flags(is_inheritable: bool) -> int:
    return 0 if is_inheritable else os.O_CLOEXEC


def _peek(reading: int, writing: int) -> bytes:
    """What lies in a pipe. It is taken out and put back: nobody else is at it while the program rests."""
    waiting = bytearray(4)
    fcntl.ioctl(reading, termios.FIONREAD, waiting)
    size_bytes = int.from_bytes(waiting, "little")
    if not 0 < size_bytes <= _PIPE_BYTES:
        return b""
    content = os.read(reading, size_bytes)
    os.write(writing, content)
    return content


def _watched(descriptor: int) -> list[tuple[int, int]]:
    """What an epoll descriptor watches, as /proc/self/fdinfo says it."""
    with open(f"/proc/self/fdinfo/{descriptor}") as info:
        fields = [line.split() for line in info if line.startswith("tfd:")]
    return [(int(field[1]), int(field[3], 16)) for field in fields]


def _is_terminal(descriptor: int) -> bool:
    return os.readlink(f"/proc/self/fd/{descriptor}").startswith(("/dev/pt", "/dev/tty"))

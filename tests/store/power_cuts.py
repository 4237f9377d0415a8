"""What a disk may hold after a power cut: a file system that loses what was not synced.

A run of a program is recorded by recorder.c. At any point of the record a crash leaves:
  * of a file: what was synced; of each later write all, nothing, or the sectors before some point, in any combination;
  * of a directory: the names that were there when it was synced; of each later change all or nothing, in any
    combination. A rename is two changes, in two directories: the new name, and the old one's end.
This is harsher than any journaling file system, and what POSIX allows.
"""

from __future__ import annotations

import random
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
CREATE, WRITE, TRUNCATE, SYNC, RENAME, UNLINK, MKDIR, LINK = range(1, 9)
_HEADER = struct.Struct("<IIIIQQ")
_SECTOR = 512
ACKS = "acks"
"""The file in which the program says what it takes for durable; it is not part of the disk."""


def build_recorder(directory: Path) -> Path:
    """Compile recorder.c. Returns what is to be preloaded."""
    library = directory / "recorder.so"
    command = [
        "cc",
        "-shared",
        "-fPIC",
        "-O1",
        "-o",
        str(library),
        str(HERE / "recorder.c"),
        "-ldl",
        "-lpthread",
    ]
    subprocess.run(command, check=True)
    return library


@dataclass
class Event:
    """One thing that the program did."""

    what: int
    inode: int
    offset: int
    first: bytes
    second: bytes

    @property
    def path(self) -> str:
        return self.first.decode()


def read_record(path: Path) -> list[Event]:
    """The events of a recorded run. A record that the program's end has cut off is left out."""
    data, at, events = path.read_bytes(), 0, []
    while at + _HEADER.size <= len(data):
        what, first, second, _, inode, offset = _HEADER.unpack_from(data, at)
        at += _HEADER.size
        if at + first + second > len(data):
            break
        events.append(
            Event(what, inode, offset, data[at : at + first], data[at + first : at + first + second])
        )
        at += first + second
    return events


@dataclass
class File:
    """One file: what is durable, and what is not yet."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    """(offset, bytes) of a write, (size, None) of a truncation."""

    def after(self, dice: random.Random | None) -> bytes:
        """What it holds: all of it, or what a crash leaves of it."""
        held = bytearray(self.durable)
        for offset, data in self.pending:
            if dice is not None and dice.random() < 0.5:
                continue
            if data is None:
                del held[offset:]
                held.extend(b"\0" * (offset - len(held)))
                continue
            if dice is not None and dice.random() < 0.3:
                edge = (offset // _SECTOR + dice.randrange(len(data) // _SECTOR + 1) + 1) * _SECTOR
                data = data[: max(0, edge - offset)]
            held.extend(b"\0" * (offset - len(held)))
            held[offset : offset + len(data)] = data
        return bytes(held)

    def sync(self) -> None:
        self.durable, self.pending = bytearray(self.after(None)), []


@dataclass
class Directory:
    """The names in one directory: those that are durable, and the changes that are not yet."""

    durable: dict[str, object] = field(default_factory=dict)
    pending: list[tuple[str, object | None]] = field(default_factory=list)

    def after(self, dice: random.Random | None) -> dict[str, object]:
        held = dict(self.durable)
        for name, target in self.pending:
            if dice is not None and dice.random() < 0.5:
                continue
            if target is None:
                held.pop(name, None)
            else:
                held[name] = target
        return held

    def sync(self) -> None:
        self.durable, self.pending = self.after(None), []


class Disk:
    """The disk as the events leave it, one after the other."""

    def __init__(self) -> None:
        self.root = Directory()
        self.files: dict[int, File] = {}
        self.acks: list[str] = []

    def directory(self, path: str) -> Directory:
        """The directory that has this path now."""
        found = self.root
        for part in Path(path).parts:
            inner = found.after(None)[part]
            assert isinstance(inner, Directory)
            found = inner
        return found

    def _parent(self, path: str) -> tuple[Directory, str]:
        return self.directory(str(Path(path).parent)), Path(path).name

    def apply(self, event: Event) -> None:
        if event.what == WRITE and event.path == ACKS:
            self.acks += event.second.decode().split("\n")[:-1]
        elif event.what in (CREATE, WRITE) and event.path == ACKS:
            pass
        elif event.what == CREATE:
            file = self.files[event.inode] = File()
            directory, name = self._parent(event.path)
            directory.pending.append((name, file))
        elif event.what == WRITE:
            self.files[event.inode].pending.append((event.offset, event.second))
        elif event.what == TRUNCATE:
            self.files[event.inode].pending.append((event.offset, None))
        elif event.what == SYNC and event.offset:
            self.directory(event.path).sync()
        elif event.what == SYNC:
            self.files[event.inode].sync()
        elif event.what == MKDIR:
            directory, name = self._parent(event.path)
            directory.pending.append((name, Directory()))
        elif event.what == UNLINK:
            directory, name = self._parent(event.path)
            directory.pending.append((name, None))
        elif event.what in (RENAME, LINK):
            source, name = self._parent(event.path)
            target, new_name = self._parent(event.second.decode())
            moved = source.after(None)[name]
            target.pending.append((new_name, moved))
            if event.what == RENAME:
                source.pending.append((name, None))

    def write_to(self, place: Path, dice: random.Random | None) -> None:
        """Make the disk real below `place`: as it is, or as a crash leaves it."""
        _write(self.root, place, dice)


def _write(directory: Directory, place: Path, dice: random.Random | None) -> None:
    place.mkdir(exist_ok=True)
    for name, target in directory.after(dice).items():
        if isinstance(target, Directory):
            _write(target, place / name, dice)
        elif isinstance(target, File):
            (place / name).write_bytes(target.after(dice))


def crashes(events: list[Event], count: int, seed: int) -> Iterator[tuple[int, Disk, random.Random]]:
    """`count` points of the record, spread over it at random, in order: each with the disk as it is then."""
    dice = random.Random(seed)
    points = sorted(dice.randrange(1, len(events) + 1) for _ in range(count))
    disk, done = Disk(), 0
    for point in points:
        for event in events[done:point]:
            disk.apply(event)
        done = point
        yield point, disk, random.Random(f"{seed} {point} {dice.random()}")

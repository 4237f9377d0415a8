"""The file of a snapshot: a header to read, then a capture.

    ┌───────────────────────────┐ 0
    │ stillframe snapshot 1\n   │ what it is, and the version of the format
    │ {…}\n                     │ the header, as JSON; then spaces
    ├───────────────────────────┤ a multiple of 4096
    │ pickle                    │ then zeros
    ├───────────────────────────┤ a multiple of 4096
    │ buffer                    │ then zeros; and so on, one after the other
    └───────────────────────────┘

Invariants:
  * A file is whole or absent: it is written beside its place, synced, then renamed.
  * Nothing is unpickled, and nothing of a snapshot is run, before its sizes, its digests and its fitness for this
    interpreter are checked. The digests cover every byte of the file.
  * A buffer is mapped privately: it is read when it is touched, and may be written to.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Sequence
from importlib.util import MAGIC_NUMBER
from typing import IO, Any

import msgspec
from blake3 import blake3

from stillframe.capture import resumed
from stillframe.capture.capturing import Contents as Contents
from stillframe.capture.packages import missing_packages as missing_packages
from stillframe.capture.packages import packages_needed as packages_needed
from stillframe.errors import CannotCapture, CorruptSnapshot, IncompatibleSnapshot

FORMAT = 1
MAGIC = b"stillframe snapshot "
PAGE = 4096
LONGEST_HEADER_BYTES = 16 << 20
_FIRST_LINE_BYTES = len(MAGIC) + 8
_CHUNK_BYTES = 1 << 20


class Interpreter(msgspec.Struct, frozen=True):
    """What must be the same where the snapshot is resumed."""

    version: str
    minor: str
    magic: str
    """Of its bytecode, in hexadecimal."""
    cache_tag: str
    is_debug: bool
    is_free_threaded: bool
    system: str
    machine: str
    byte_order: str

    @classmethod
    def here(cls) -> Interpreter:
        """This one."""
        return cls(
            version=sys.version.split()[0],
            minor=f"{sys.version_info.major}.{sys.version_info.minor}",
            magic=MAGIC_NUMBER.hex(),
            cache_tag=sys.implementation.cache_tag or "",
            is_debug=hasattr(sys, "gettotalrefcount"),
            is_free_threaded=not getattr(sys, "_is_gil_enabled", lambda: True)(),
            system=sys.platform,
            machine=os.uname().machine,
            byte_order=sys.byteorder,
        )


class Header(msgspec.Struct, kw_only=True):
    """What a snapshot tells of itself without being loaded."""

    kind: str
    """`program`, or `value`."""
    stillframe: str
    created: str
    """In UTC, as ISO 8601."""
    where: str = ""
    """`file:line in function`."""
    argv: list[str] = []
    interpreter: Interpreter = msgspec.field(default_factory=Interpreter.here)
    packages: dict[str, str] = {}
    """The distributions of which it needs modules, with their versions."""
    facts: dict[str, str] = {}
    """What else those who resume it need to know."""
    pickle_bytes: int = 0
    buffers_bytes: list[int] = []
    digest: str = ""
    """blake3 of all that follows the header."""

    @property
    def size_bytes(self) -> int:
        """The size of the pickle and its buffers."""
        return self.pickle_bytes + sum(self.buffers_bytes)


def new_header(kind: str, *, where: str = "", packages: dict[str, str] | None = None) -> Header:
    """A header for a capture that is made here and now."""
    from stillframe import __version__

    created = resumed.now()
    argv = [str(argument) for argument in getattr(sys, "argv", [])]
    return Header(
        kind=kind, stillframe=__version__, created=created, where=where, argv=argv, packages=packages or {}
    )


# --- writing


def write(path: str | os.PathLike[str], header: Header, contents: Contents) -> Header:
    """Write a snapshot, whole or not at all. An older file in its place stays until the new one is safe on disk."""
    target = os.fspath(path)
    made = beside(target, os.urandom(6).hex())
    written = write_beside(made, target, header, contents)
    put_in_place(made, target)
    return written


def beside(target: str, mark: str) -> str:
    """The name of a file that is to take the place of `target`."""
    folder, name = os.path.split(target)
    return os.path.join(folder, f".{name}.{mark}.new")


def write_beside(made: str, target: str, header: Header, contents: Contents) -> Header:
    """Write a snapshot to the file `made`, whole or not at all, as what is to be put in the place of `target`."""
    try:
        remove(made)
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _not_written(target, error) from error
    try:
        with open(descriptor, "wb", buffering=0) as file:
            written = write_stream(file, header, contents)
            os.fsync(file.fileno())
    except OSError as error:
        remove(made)
        raise _not_written(target, error) from error
    except BaseException:
        remove(made)
        raise
    return written


def put_in_place(made: str, target: str) -> None:
    """Have the file `made` be `target` from now on, whatever happens then."""
    # Not at the top: headers are also read where no frames can be.
    from stillframe.frames import _frames

    try:
        _frames.put_in_place(os.fsencode(made), os.fsencode(target))
    except OSError as error:
        remove(made)
        raise _not_written(target, error) from error


def remove(path: str) -> None:
    """Remove a file that is not needed, if it can be removed."""
    try:
        os.unlink(path)
    except OSError:
        # It may not be there, its folder may be gone or read-only by now.
        pass


def _not_written(path: str, error: OSError) -> CannotCapture:
    return CannotCapture(
        f"cannot write the snapshot {path}: {error.strerror or error}.",
        "Nothing was left behind. Choose another place, or make room.",
    )


def write_stream(stream: IO[bytes] | Any, header: Header, contents: Contents) -> Header:
    """Write a snapshot to a stream, from its first byte to its last. Returns the header with sizes and digest."""
    parts = [
        memoryview(contents.pickle).cast("B"),
        *(memoryview(buffer).cast("B") for buffer in contents.buffers),
    ]
    header = msgspec.structs.replace(
        header,
        pickle_bytes=parts[0].nbytes,
        buffers_bytes=[part.nbytes for part in parts[1:]],
        digest=_digest_of(parts),
    )
    _write_all(stream, _encode(header))
    for part in parts:
        for start in range(0, part.nbytes, _CHUNK_BYTES):
            _write_all(stream, part[start : start + _CHUNK_BYTES])
        _write_all(stream, b"\0" * _padding(part.nbytes))
    return header


def _write_all(stream: Any, data: bytes | memoryview) -> None:
    left = memoryview(data)
    while left.nbytes:
        written = stream.write(left)
        left = left[left.nbytes if written is None else written :]


def _padding(size_bytes: int) -> int:
    return -size_bytes % PAGE


def _digest_of(parts: Sequence[memoryview]) -> str:
    digest = blake3(max_threads=1)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _encode(header: Header) -> bytes:
    """First line and header, padded to whole pages; its own digest is at its end."""
    body = msgspec.json.encode(header)
    first = MAGIC + b"%d\n" % FORMAT
    check = blake3(first + body).hexdigest().encode()
    text = first + body + b"\n" + check + b"\n"
    return text + b" " * _padding(len(text))


# --- reading


def read_header(path: str | os.PathLike[str]) -> Header:
    """The header of a snapshot. Reads nothing else, and does not ask whether it fits here."""
    with _opened(path) as file:
        return _read_header(file, str(path))[0]


def open_snapshot(path: str | os.PathLike[str]) -> tuple[Header, Contents]:
    """A snapshot, checked: format, sizes, every byte, and whether it can be resumed here."""
    with _opened(path) as file:
        header, start = _read_header(file, str(path))
        check_compatible(header)
        sizes = [header.pickle_bytes, *header.buffers_bytes]
        expected = start + sum(size + _padding(size) for size in sizes)
        actual = os.fstat(file.fileno()).st_size
        if actual != expected:
            raise _damaged(path, f"it should have {expected:,} bytes, and has {actual:,}")
        parts, padding_is_clean = _map(file, start, sizes)
    if not padding_is_clean or _digest_of([memoryview(part) for part in parts]) != header.digest:
        raise _damaged(path, "its contents are not those that were written")
    return header, Contents(parts[0], parts[1:])


def read_stream(stream: IO[bytes] | Any, name: str = "the snapshot") -> tuple[Header, Contents]:
    """A snapshot from a stream, checked likewise. Its buffers are in memory of their own."""
    header, _ = _read_header(stream, name)
    check_compatible(header)
    parts = []
    for size in (header.pickle_bytes, *header.buffers_bytes):
        part = bytearray(size)
        _read_into(stream, memoryview(part), name)
        padding = bytearray(_padding(size))
        _read_into(stream, memoryview(padding), name)
        if any(padding):
            raise _damaged(name, "there is something between its parts")
        parts.append(part)
    if _digest_of([memoryview(part) for part in parts]) != header.digest:
        raise _damaged(name, "its contents are not those that were written")
    return header, Contents(parts[0], parts[1:])


def _opened(path: str | os.PathLike[str]) -> IO[bytes]:
    return open(path, "rb")


def _read_header(file: Any, name: str) -> tuple[Header, int]:
    """The header, and where the contents begin."""
    text = _read_pages(file, PAGE)
    version = _version_of(text, name)
    if version > FORMAT:
        raise IncompatibleSnapshot(
            f"{name} has format {version}; this stillframe knows formats up to {FORMAT}.",
            "Resume it with a newer stillframe.",
        )
    while text.count(b"\n") < 3:
        more = _read_pages(file, PAGE)
        if not more or len(text) > LONGEST_HEADER_BYTES:
            raise _damaged(name, "its header has no end")
        text += more
    first, body, check, rest = text.split(b"\n", 3)
    if blake3(first + b"\n" + body).hexdigest().encode() != check or rest.strip(b" ") or len(text) % PAGE:
        raise _damaged(name, "its header is not the one that was written")
    try:
        return msgspec.json.decode(body, type=Header), len(text)
    except msgspec.MsgspecError as error:
        raise _damaged(name, f"its header cannot be read ({error})") from error


def _version_of(text: bytes, name: str) -> int:
    line = text[:_FIRST_LINE_BYTES].partition(b"\n")[0]
    number = line.removeprefix(MAGIC)
    if not line.startswith(MAGIC) or not number.isdigit() or str(int(number)).encode() != number:
        raise CorruptSnapshot(
            f"{name} is not a snapshot of stillframe.", "Look whether it is the right file."
        )
    return int(number)


def _read_pages(file: Any, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = file.read(size - len(data))
        if not more:
            break
        data += more
    return data


def _read_into(stream: Any, target: memoryview, name: str) -> None:
    done = 0
    while done < target.nbytes:
        if hasattr(stream, "readinto"):
            count = stream.readinto(target[done : done + _CHUNK_BYTES])
        else:
            piece = stream.read(min(_CHUNK_BYTES, target.nbytes - done))
            count = len(piece)
            target[done : done + count] = piece
        if not count:
            raise _damaged(name, "it ends too soon")
        done += count


def _map(file: IO[bytes], start: int, sizes: Sequence[int]) -> tuple[list[Any], bool]:
    """The parts of the file, mapped, and whether there are only zeros between them."""
    if not any(sizes):
        return [b""] * len(sizes), True
    whole = memoryview(
        mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    )
    parts, is_clean = list[Any](), True
    for size in sizes:
        parts.append(whole[start : start + size])
        end = start + size + _padding(size)
        is_clean = is_clean and not any(whole[start + size : end])
        start = end
    return parts, is_clean


def _damaged(name: object, why: str) -> CorruptSnapshot:
    return CorruptSnapshot(
        f"the snapshot {name} is damaged: {why}.", "Resume an older one, or capture it again."
    )


# --- does it fit here?


def check_compatible(header: Header) -> None:
    """Raise IncompatibleSnapshot, with a sentence, unless the snapshot can be resumed by this interpreter."""
    check_interpreter(header.interpreter)
    missing = missing_packages(header.packages)
    if missing:
        raise IncompatibleSnapshot(
            f"the snapshot needs packages that are not here: {', '.join(missing)}.",
            f"Install them: python -m pip install {' '.join(missing)}",
        )


def check_interpreter(there: Interpreter) -> None:
    """The same, for the interpreter alone: microseconds."""
    here = Interpreter.here()
    if (there.system, there.machine, there.byte_order) != (here.system, here.machine, here.byte_order):
        raise IncompatibleSnapshot(
            f"the snapshot was made on {there.system} {there.machine} ({there.byte_order}-endian); "
            f"this is {here.system} {here.machine} ({here.byte_order}-endian).",
            "Resume it on a machine of its kind.",
        )
    if (there.minor, there.magic, there.cache_tag) != (here.minor, here.magic, here.cache_tag):
        raise IncompatibleSnapshot(
            f"the snapshot was made by CPython {there.version}; this is {here.version}.",
            f"Resume it with python{there.minor}.",
        )
    for what, was, now in (
        ("a debug build of CPython", there.is_debug, here.is_debug),
        ("a free-threaded CPython", there.is_free_threaded, here.is_free_threaded),
    ):
        if was != now:
            made, this = ("", "not ") if was else ("not ", "")
            raise IncompatibleSnapshot(f"the snapshot was {made}made by {what}; this is {this}one.")

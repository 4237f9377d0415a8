"""What the disk says, as errors of ours; and how a name is made durable."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from stillframe.errors import StoreError, StoreFull, StoreReadOnly
from stillframe.sizes import mebibytes

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_SYNC_FILE_RANGE_WRITE = 2

_libc = ctypes.CDLL(None)
_libc.sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


@contextlib.contextmanager
def writing_to(store: str | os.PathLike[str], needed_bytes: int = 0) -> Iterator[None]:
    """What the disk refuses inside is raised as StoreFull, StoreReadOnly or StoreError, which name the store."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise refusal(error, store, needed_bytes) from error


def refusal(error: OSError, store: str | os.PathLike[str], needed_bytes: int = 0) -> StoreError:
    """The error of ours for what the disk said."""
    place = os.fspath(store)
    if error.errno in FULL:
        return StoreFull(
            f"the store {place} has no room for {mebibytes(needed_bytes)} more ({os.strerror(error.errno)}).",
            "Nothing half was left behind. Make room, or run `still prune`.",
            store=place,
            needed_bytes=needed_bytes,
        )
    if error.errno in READ_ONLY:
        return StoreReadOnly(
            f"the store {place} cannot be written to: {os.strerror(error.errno)} ({error.filename or place}).",
            "Give this user the right to write there, or choose another store.",
            store=place,
        )
    return StoreError(
        f"the store {place} could not be written to: {error.strerror or error} ({error.filename or place}).",
        "Look at the disk, then run `still doctor` on the store.",
        store=place,
    )


def write_all(descriptor: int, data: bytes | memoryview, chunk_bytes: int = 8 << 20) -> None:
    """Write all of `data`. In pieces, since one large write holds up the disk: it begins when the write has ended."""
    left = memoryview(data)
    while left.nbytes:
        left = left[os.write(descriptor, left[:chunk_bytes]) :]


def begin_writing(descriptor: int, start: int, size_bytes: int = 0) -> None:
    """Have the disk begin with what was written to this range; 0: to the end. Waits for nothing and promises nothing:
    what goes wrong is told by the fsync that has to follow anyway."""
    _libc.sync_file_range(descriptor, start, size_bytes, _SYNC_FILE_RANGE_WRITE)


def sync_directory(path: str | os.PathLike[str]) -> None:
    """Make the names in a directory durable. A few microseconds where none has changed."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """A small file, complete or absent, and durable when this returns."""
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(new, path)
    sync_directory(path.parent)

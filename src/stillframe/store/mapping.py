"""Blobs as memory: mapped instead of read, recognised instead of hashed.

A blob that is mapped privately costs nothing until it is touched, may be written to, and is shared by all forks
as long as it is not. /proc/self/pagemap says which of its pages are still the file's (bit 61); those need not be
hashed to know what they hold.

Bit 56 says which pages are this process's alone. A fork shares them all; whoever writes to one then has one of its
own. So as long as none of a range is its own, a process knows that it has not written there since it was forked, or
forked.

Acts:
  * map_blob: the content of a blob as new memory; it lies 16 bytes into a page, as in malloc's large blocks.
  * adopt: a blob in the place of memory that has its content already, so that it can be recognised from then on.
  * Memory.digest_of: the blob that some memory is, if it is one that nobody has written to.

What holds:
  * Memory never says a digest that a hash would not: each page is the file's own by the kernel's word,
    or is compared with it. Where anything is unclear (another mapping in between, a file that was replaced,
    memory that cannot be read, no /proc) it says None.
  * adopt changes no byte that the program can see. It compares before it maps, unless whoever asks knows that the
    memory is as it was in the fork that wrote the blob, because both are as they were when they parted (is_as_forked).
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import mmap
import os
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from stillframe.errors import CorruptBlob, MissingBlob
from stillframe.store.blobs import CONTENT_AT, Blobs, is_digest

PAGE = mmap.PAGESIZE
SMALLEST_ADOPTED_BYTES = 1 << 20
"""Below this, hashing costs less than the bookkeeping of a mapping."""
MOST_COMPARED_PAGES = 64
"""So many pages that are not the file's own are compared with it; with more, a buffer counts as written to."""
_PIECE_BYTES = 16 << 20
_ENTRY_BYTES = 8
_KSM = "/sys/kernel/mm/ksm/run"
_IS_MMAPPED = 2
"""The bit in the size of a block of glibc's malloc that says: it has a mapping of its own."""
_MAP_FIXED = 0x10


def _clean_or_not() -> bytes:
    """By the highest byte of a pagemap entry: 0 where the page is the file's own, 1 where it may not be."""
    present, swapped, is_files = 0x80, 0x40, 0x20
    return bytes(
        # A page that is neither present nor swapped was not touched, or was given back: the file's either way.
        0 if not byte & swapped and (not byte & present or byte & is_files) else 1
        for byte in range(256)
    )


_IS_SUSPECT = _clean_or_not()
_IS_OWN = bytes(
    # Bit 56 of a present page that is not a file's: nobody else has it. One that is not present was never touched
    # here, and so was not there in the other one either when they parted; or is a file's.
    1 if byte & 0x40 or byte & 0xA1 == 0x81 else 0
    for byte in range(256)
)
"""By the highest byte of a pagemap entry: 0 where the page is shared with another process, untouched, or a file's."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_longlong,
)
_libc.memcmp.restype = ctypes.c_int
_libc.memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class Region(NamedTuple):
    """One line of /proc/self/maps."""

    start: int
    end: int
    permissions: str
    offset: int
    inode: int
    path: str


class _PyBuffer(ctypes.Structure):
    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


# Functions of our own: what ctypes.pythonapi has belongs to the program too, which may have said what they take.
_get_buffer = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.POINTER(_PyBuffer), ctypes.c_int)(
    ("PyObject_GetBuffer", ctypes.pythonapi)
)
_release_buffer = ctypes.PYFUNCTYPE(None, ctypes.POINTER(_PyBuffer))(("PyBuffer_Release", ctypes.pythonapi))


def address_of(data: Any) -> int:
    """Where a contiguous buffer lies. It is good as long as the buffer's owner lives and does not resize."""
    buffer = _PyBuffer()
    _get_buffer(data, ctypes.byref(buffer), 0)
    try:
        return int(buffer.buf or 0)
    finally:
        _release_buffer(ctypes.byref(buffer))


def regions() -> list[Region]:
    """What this process has mapped, in order of address. About 2 µs each."""
    found = []
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields = line.rstrip("\n").split(" ", 5)
            start, _, end = fields[0].partition("-")
            path = fields[5].strip(" ") if len(fields) > 5 else ""
            found.append(
                Region(int(start, 16), int(end, 16), fields[1], int(fields[2], 16), int(fields[4]), path)
            )
    return found


def map_blob(blobs: Blobs, digest: str) -> memoryview:
    """The content of a blob as memory: writable, private, read when it is touched. Holds no descriptor.

    Only its size is looked at; whoever asks has verified the blob, or has its token (catalog.py).
    """
    size_bytes = CONTENT_AT + blobs.size(digest)
    # The object that owns the range, and gives it back; the blob is then mapped in its place.
    owner = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    descriptor = blobs.open(digest)
    try:
        if os.fstat(descriptor).st_size != size_bytes:
            raise blobs.corrupt(digest, "its size changes")
        _map_over(address_of(owner), size_bytes, descriptor, 0)
    finally:
        os.close(descriptor)
    return memoryview(owner)[CONTENT_AT:]


def _map_over(address: int, size_bytes: int, descriptor: int, offset: int) -> None:
    """Map whole pages of a file privately over what is at `address`."""
    protection = mmap.PROT_READ | mmap.PROT_WRITE
    result = _libc.mmap(address, size_bytes, protection, mmap.MAP_PRIVATE | _MAP_FIXED, descriptor, offset)
    if result != address:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


# --- recognising


class Memory:
    """What is mapped in this process now, to ask about several buffers. Good until something is mapped."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._prefix = f"{blobs.directory}/"
        self._regions = regions()
        self._starts = [region.start for region in self._regions]

    def digest_of(self, data: Any) -> str | None:
        """The digest of the blob that a contiguous buffer is, if all of it is one of the store that nobody has
        written to. Cost: 8 ms per GB."""
        view = memoryview(data)
        address, size_bytes = address_of(view), view.nbytes
        covering = self._covering(address, address + size_bytes)
        mapped = [region for region in covering if region.inode]
        if not mapped:
            return None
        digest = mapped[0].path.removeprefix(self._prefix)[3:]
        try:
            is_this_one = is_digest(digest) and self._is_blob(digest, size_bytes, address, mapped)
            return (
                digest if is_this_one and self._is_unwritten(digest, address, size_bytes, covering) else None
            )
        except (OSError, MissingBlob, CorruptBlob):
            return None

    def _covering(self, start: int, end: int) -> list[Region]:
        """The regions that hold all of these addresses, or none if there is a gap, or one that is not plain."""
        index = bisect_right(self._starts, start) - 1
        found: list[Region] = []
        at = start
        while at < end:
            if not 0 <= index < len(self._regions):
                return []
            region = self._regions[index]
            if not region.start <= at < region.end or not region.permissions.startswith("r"):
                return []
            if not region.permissions.endswith("p") or (
                not region.inode and region.path not in ("", "[heap]")
            ):
                return []
            found.append(region)
            at, index = region.end, index + 1
        return found

    def is_replaceable(self, start: int, end: int) -> bool:
        """Whether all of it is private memory that may be read and written: anonymous, or blobs of this store."""
        covering = self._covering(start, end)
        return bool(covering) and all(
            region.permissions == "rw-p"
            and (region.path.startswith(self._prefix) if region.inode else not region.path)
            for region in covering
        )

    def is_mapped(self, digest: str, address: int, start: int, end: int) -> bool:
        """Whether all from `start` to `end` is a mapping of this blob, whose content would begin at `address`."""
        path = str(self._blobs.path(digest))
        return all(
            region.path == path and region.start - region.offset == address - CONTENT_AT
            for region in self._covering(start, end)
        )

    def _is_blob(self, digest: str, size_bytes: int, address: int, mapped: list[Region]) -> bool:
        """Whether all of `mapped` is this blob of the store, whose content would begin at `address`."""
        path = self._blobs.path(digest)
        found = os.stat(path)
        return found.st_size == CONTENT_AT + size_bytes and all(
            region.path == str(path)
            and region.inode == found.st_ino
            and region.start - region.offset == address - CONTENT_AT
            for region in mapped
        )

    def _is_unwritten(self, digest: str, address: int, size_bytes: int, covering: list[Region]) -> bool:
        """Whether each page is the file's own, or has its bytes."""
        suspects: list[int] = []
        for region in covering:
            start, end = max(region.start, address - address % PAGE), min(region.end, address + size_bytes)
            if not region.inode:
                suspects += range(start, end, PAGE)
            else:
                suspects += _not_the_files_own(start, end)
            if len(suspects) > MOST_COMPARED_PAGES:
                return False
        if not suspects:
            return True
        end = address + size_bytes
        with _read(self._blobs, digest) as descriptor:
            return all(
                _equal(descriptor, max(page, address), min(page + PAGE, end), address) for page in suspects
            )


def _not_the_files_own(start: int, end: int) -> list[int]:
    """The pages of a private mapping of a file that may have been written to."""
    marks = _marks(start, end).translate(_IS_SUSPECT)
    found: list[int] = []
    index = marks.find(1)
    while index >= 0 and len(found) <= MOST_COMPARED_PAGES:
        found.append(start + index * PAGE)
        index = marks.find(1, index + 1)
    return found


def _marks(start: int, end: int) -> bytes:
    """Of each page, the highest byte of its pagemap entry."""
    count = -(-(end - start) // PAGE)
    with open("/proc/self/pagemap", "rb", buffering=0) as file:
        entries = os.pread(file.fileno(), count * _ENTRY_BYTES, start // PAGE * _ENTRY_BYTES)
    if len(entries) != count * _ENTRY_BYTES:
        raise OSError("the kernel does not tell about all pages")
    return entries[_ENTRY_BYTES - 1 :: _ENTRY_BYTES]


def is_as_forked(address: int, size_bytes: int) -> bool:
    """Whether nothing was written to the whole pages in this private memory since this process was forked, or has
    forked: the later of the two. The other one must still be there; where it is not, or anything is unclear, the
    answer is False. Cost: 3 ms per GB.
    """
    first, last = _whole_pages(address, size_bytes)
    try:
        is_told = _tells_own_pages() and not _merges_pages()
        return is_told and first < last and 1 not in _marks(first, last).translate(_IS_OWN)
    except OSError:
        return False


@functools.cache
def _tells_own_pages() -> bool:
    """Whether the kernel says of a page that it is this process's alone, where it is. Linux does, from 4.2 on."""
    with mmap.mmap(-1, PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as page:
        page[0] = 1
        start = address_of(page)
        return _marks(start, start + PAGE).translate(_IS_OWN) == b"\1"


def _merges_pages() -> bool:
    """Whether the system merges equal pages: then one that was written to may be shared with whoever has an equal."""
    try:
        with open(_KSM) as file:
            return file.read().strip() != "0"
    except FileNotFoundError:
        return False


def _whole_pages(address: int, size_bytes: int) -> tuple[int, int]:
    """Where the whole pages in this memory begin and end. What is before and behind shares its pages with others."""
    return address - address % PAGE + PAGE, (address + size_bytes) // PAGE * PAGE


@contextlib.contextmanager
def _read(blobs: Blobs, digest: str) -> Iterator[int]:
    descriptor = blobs.open(digest)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _equal(descriptor: int, start: int, end: int, content: int) -> bool:
    """Whether memory has the bytes of the blob whose content would begin at the address `content`."""
    theirs = os.pread(descriptor, end - start, CONTENT_AT + start - content)
    return len(theirs) == end - start and theirs == ctypes.string_at(start, end - start)


# --- adopting


def adopt(
    blobs: Blobs,
    address: int,
    size_bytes: int,
    digest: str,
    *,
    is_known: bool = False,
    memory: Memory | None = None,
    go_on: Callable[[], bool] = lambda: True,
) -> bool:
    """Map the blob over memory that has its content, so that the memory is recognised from then on.

    Only a large block of malloc's (its neighbourhood says so) is taken: whole pages of it, in private memory that may
    be read and written, anonymous or blobs already. Other allocators give pages back and count on zeros in them
    afterwards. The first and the last page are shared with other bytes, and stay as they are.

    Memory that is not, or no longer, the blob's content is left alone, and the answer is False: what was captured
    in a copy of this process may have changed here since. Nothing else may write to it meanwhile: call it while
    no other thread of the program runs. Cost: one comparison, about 0.2 s per GB, in pieces of 16 MiB; between
    two pieces `go_on` is asked. What is mapped by then stays so. `is_known`: the caller knows that it is the blob's
    content, and nothing is compared: 2 ms per GB, and 20 ms where it lies in small pages. `memory` saves looking at
    what is mapped again for each of several buffers.
    """
    if size_bytes < SMALLEST_ADOPTED_BYTES or not blobs.is_plain(digest, size_bytes):
        return False
    first, last = _whole_pages(address, size_bytes)
    memory = memory or Memory(blobs)
    if not memory.is_replaceable(address - CONTENT_AT, last) or not _is_large_block(address, size_bytes):
        return False
    if memory.is_mapped(digest, address, first, last):
        return True
    with _read(blobs, digest) as descriptor:
        if os.fstat(descriptor).st_size != CONTENT_AT + size_bytes:
            return False
        for start in range(first, last, _PIECE_BYTES):
            size = min(_PIECE_BYTES, last - start)
            at = CONTENT_AT + start - address
            if not go_on() or not (is_known or _has_content(descriptor, at, start, size)):
                return False
            _map_over(start, size, descriptor, at)
    return True


def _has_content(descriptor: int, at: int, start: int, size_bytes: int) -> bool:
    """Whether memory has the bytes that the file has from `at`, where a page begins."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_POPULATE
    with mmap.mmap(descriptor, size_bytes, flags=flags, prot=mmap.PROT_READ, offset=at) as piece:
        return bool(_libc.memcmp(start, address_of(piece), size_bytes) == 0)


def overlay(blobs: Blobs, address: int, size_bytes: int, digest: str) -> bool:
    """Give memory that was just allocated, and holds nothing yet, the content of a blob: its whole pages are mapped,
    and the rest of the first and the last one is copied. As with adopt, only a large block of malloc's is taken.

    False: nothing was done. Cost: some 20 µs; nothing else is read. Whoever asks has verified the blob.
    """
    first, last = _whole_pages(address, size_bytes)
    if size_bytes < SMALLEST_ADOPTED_BYTES or not _is_large_block(address, size_bytes):
        return False
    with _read(blobs, digest) as descriptor:
        if os.fstat(descriptor).st_size != CONTENT_AT + size_bytes:
            raise blobs.corrupt(digest, "its size is another")
        for start, end in ((address, first), (last, address + size_bytes)):
            rest = (ctypes.c_char * (end - start)).from_address(start)
            os.preadv(descriptor, [rest], CONTENT_AT + start - address)
        _map_over(first, last - first, descriptor, CONTENT_AT + first - address)
    return True


def _is_large_block(address: int, size_bytes: int) -> bool:
    """Whether glibc's malloc has mapped a block for this buffer alone: its size stands before it, with a mark."""
    if address % PAGE != CONTENT_AT:
        return False
    before, size = (ctypes.c_size_t * 2).from_address(address - CONTENT_AT)
    needed = CONTENT_AT + size_bytes
    return before == 0 and size & 7 == _IS_MMAPPED and needed <= size & ~7 < needed + 2 * PAGE

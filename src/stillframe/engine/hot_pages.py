"""The pages that every cell writes to: reference counts and buffers of the interpreter and of IPython.

After a fork each of them is copied when it is first written, and some 450 page faults are 1.5 ms. Which
they are is found out once, in the root: a fork of it runs a cell, and the kernel says which of its pages
are no longer shared. They are at the same addresses in every state process, so that a fork can have them
all copied in one go.

Source: Documentation/admin-guide/mm/pagemap.rst, bits 56 (exclusively mapped) and 63 (present).
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterator

_PAGE = os.sysconf("SC_PAGE_SIZE")
_EXCLUSIVE, _PRESENT = 1 << 56, 1 << 63


def find(run: Callable[[], None]) -> bytes:
    """The pages that `run` makes a fork of this process write to, as pairs of address and length, 64 bits
    each. Costs 20 ms. Empty where the kernel does not tell."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, _written_by(run).tobytes())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        ranges = pipe.read()
    os.waitpid(pid, 0)
    return ranges


def _written_by(run: Callable[[], None]) -> array[int]:
    areas = list(_areas())
    before = [_flags(start, end) for start, end in areas]
    run()
    pages = []
    for (start, end), old in zip(areas, before, strict=True):
        new = _flags(start, end)
        pages += [
            start + number * _PAGE
            for number in range(min(len(old), len(new)))
            if new[number] & _EXCLUSIVE and old[number] & _PRESENT and not old[number] & _EXCLUSIVE
        ]
    return _ranges(pages)


def _areas() -> Iterator[tuple[int, int]]:
    """Private writable memory: the heap, arenas, the data of libraries."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            addresses, permissions, *_ = line.split(maxsplit=2)
            if permissions == "rw-p":
                start, _, end = addresses.partition("-")
                yield int(start, 16), int(end, 16)


def _flags(start: int, end: int) -> array[int]:
    with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        pagemap.seek(start // _PAGE * 8)
        flags = array("Q")
        flags.frombytes(pagemap.read((end - start) // _PAGE * 8))
    return flags


def _ranges(pages: list[int]) -> array[int]:
    ranges = array("Q")
    for page in pages:
        if ranges and page == ranges[-2] + ranges[-1]:
            ranges[-1] += _PAGE
        else:
            ranges.extend((page, _PAGE))
    return ranges

"""A memory file in which a program waits while a new interpreter takes the place of its own.

    before exec                                      after
    make() ── the envelope ── one memory file ═════► Reading: what was read is given back, part by part

Invariants:
  * The file has no name: where its descriptor is closed, and where an exec fails, it is gone.
  * While it is read, at most one part is there twice.
"""

from __future__ import annotations

import io
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PART_BYTES = 1 << 26
"""A multiple of any page's size."""


def make() -> int:
    """The descriptor of an empty one, which lives through an exec. A copy of this process may write to it too."""
    return os.memfd_create("stillframe", 0)


class Reading(io.FileIO):
    """All of the memory file `descriptor`, from its beginning; closes it at the end."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "rb")
        self.seek(0)

    def readinto(self, target: WriteableBuffer, /) -> int:
        at = self.tell()
        left_in_part = PART_BYTES - at % PART_BYTES
        count = super().readinto(memoryview(target).cast("B")[:left_in_part])
        if count == left_in_part:
            self._give_back(at - at % PART_BYTES)
        return count or 0

    def _give_back(self, start: int) -> None:
        import mmap

        with mmap.mmap(self.fileno(), PART_BYTES, offset=start) as part:
            part.madvise(mmap.MADV_REMOVE)

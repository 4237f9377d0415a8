"""Where a pickle with its buffers is written: large bytearrays are buffers too, as large arrays are.

Pickle offers only what has a `PickleBuffer` to be kept out of band; an exact bytearray it writes itself, without
asking. But one of 64 KiB or more it hands to the file as it is, in a write of its own, after its opcode and length.
There it is taken out, and what takes it from the buffers at the load is written in its place.

    BYTEARRAY8, u64 n │ n bytes           becomes           GLOBAL bytearray, NEXT_BUFFER, TUPLE1, REDUCE

Invariants:
  * What is loaded is the same, in the same place of the memo: a bytearray that owns its memory.
  * Only a write that is a bytearray is looked at, and pickle makes none of its own. Where what was written before is
    not its opcode and length (another CPython might do otherwise), it stays in the pickle.
"""

from __future__ import annotations

import io

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_BYTEARRAY8 = b"\x96"
_FROM_BUFFER = b"cbuiltins\nbytearray\n\x97\x85R"


class PickleFile(io.BytesIO):
    """A file for a pickler whose buffers go into `buffers`, in memory."""

    def __init__(self, buffers: list[memoryview]) -> None:
        super().__init__()
        self._buffers = buffers

    def write(self, data: Any) -> int:
        """What the pickler calls, in the order of the pickle: that of its buffers, too."""
        if type(data) is bytearray and self._take_back(_BYTEARRAY8 + len(data).to_bytes(8, "little")):
            self._buffers.append(memoryview(data))
            data = _FROM_BUFFER
        return super().write(data)

    def _take_back(self, written: bytes) -> bool:
        """Remove what was written last. False: it was something else."""
        at = self.tell() - len(written)
        if at < 0 or self.getbuffer()[at:] != written:
            return False
        self.truncate(at)
        self.seek(at)
        return True

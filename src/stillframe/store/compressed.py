"""A blob in the archive: its content compressed, in a file that is named by the digest of the plain content.

    ┌──────────────────────┐ 0
    │ "stillframe zstd\\n"  │ 16 bytes
    ├──────────────────────┤ 16
    │ u64                  │ the size of the content in bytes
    ├──────────────────────┤ 24
    │ a zstd frame         │ the content
    └──────────────────────┘

Invariants:
  * It is written and read as a stream, 1 MiB at a time: no content lies in memory.
  * Reading never makes more than the size that the file says. Whether the bytes are right is for the digest to say.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable, Iterator
from typing import BinaryIO

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAGIC = b"stillframe zstd\n"
PIECE_BYTES = 1 << 20
LEVEL = 3
LEAST_SAVED = 0.1
"""Of the content: what saves less stays plain, and can be mapped at once."""
_TRIED_BYTES = 16 << 20
"""After so much of the content it is looked at whether the rest is worth it."""
_HEADER = struct.Struct("<16sQ")
_WINDOW_LOG_MAX = 27


class Damaged(Exception):
    """A file of the archive is not what it should be; it says why."""


def write(file: BinaryIO, content: Iterable[bytes], size_bytes: int) -> bool:
    """Write content of this size. False: it would save too little, and what was written is to be thrown away."""
    compressor = zstd.ZstdCompressor(LEVEL)
    read = 0
    written = file.write(_HEADER.pack(MAGIC, size_bytes))
    for piece in content:
        written += file.write(compressor.compress(piece))
        read += len(piece)
        if read >= _TRIED_BYTES and written > (1 - LEAST_SAVED) * read:
            return False
    written += file.write(compressor.flush())
    return written <= (1 - LEAST_SAVED) * size_bytes


def size(file: BinaryIO) -> int:
    """The size of the content in bytes; what follows is the frame. Raises Damaged."""
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        raise Damaged("it is truncated")
    magic, size_bytes = _HEADER.unpack(header)
    if magic != MAGIC:
        raise Damaged("its first bytes are not those of an archived blob")
    return int(size_bytes)


def read(file: BinaryIO) -> Iterator[bytes]:
    """The content, in pieces. Raises Damaged, at the latest at its end."""
    left = size(file)
    decompressor = zstd.ZstdDecompressor(
        options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG_MAX}
    )
    try:
        while not decompressor.eof:
            data = file.read(PIECE_BYTES) if decompressor.needs_input else b""
            if decompressor.needs_input and not data:
                raise Damaged("it is truncated")
            content = decompressor.decompress(data, max_length=PIECE_BYTES)
            left -= len(content)
            if left < 0:
                break
            if content:
                yield content
    except (zstd.ZstdError, MemoryError) as error:
        raise Damaged(f"it cannot be expanded ({error})") from error
    if left or decompressor.unused_data or file.read(1):
        raise Damaged("its content has another size")

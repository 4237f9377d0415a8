"""The file of an export: a manifest to read, then the blobs.

    ┌──────────────────────────────┐ 0
    │ stillframe export 1 LENGTH\n │ the version of the format, and the length of the manifest in bytes
    │ {…}                          │ the signed manifest, as JSON
    ├──────────────────────────────┤
    │ u32 n, n bytes               │ a zstd frame in pieces; its content is the first blob, by digest
    │ …                            │
    │ u32 0                        │ the end of the frame
    ├──────────────────────────────┤
    │ …                            │ the next blob; after the last one the file ends
    └──────────────────────────────┘

Invariants:
  * It is written and read as a stream, a few MiB at a time: no blob lies in memory.
  * Reading never makes more of a blob than the manifest says, and names none whose bytes are not its digest's.
  * Who only looks reads the manifest, and nothing of what follows.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from stillframe.errors import BadRequest, CorruptSnapshot, IncompatibleSnapshot
from stillframe.store.disk import sync_directory, write_all
from stillframe.store.manifests import (
    LONGEST_BYTES,
    Manifest,
    Received,
    Signed,
    check_trust,
    free_names,
    missing_blobs,
    name_for,
    opened,
    received,
    take,
)
from stillframe.store.opened import Store

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FORMAT = 1
MAGIC = b"stillframe export "
PIECE_BYTES = 1 << 20
_AGAIN = "Get the file again."
_LONGEST_PIECE_BYTES = 16 << 20
_FIRST_LINE_BYTES = len(MAGIC) + 32
_LEVEL = 3
_WINDOW_LOG_MAX = 27
_LENGTH = struct.Struct("<I")

Read = Callable[[int], bytes]
"""At most so many of the bytes that follow; none at the end."""
Progress = Callable[[int], object]
"""Called with the number of bytes of blobs that were dealt with since the last call."""


def _ignore(size_bytes: int) -> None:
    """Nobody watches."""


# --- writing


def pieces(store: Store, signed: bytes, progress: Progress = _ignore) -> Iterator[bytes]:
    """The bytes of the file for a signed manifest of this store. Raises CorruptBlob, MissingBlob on the way."""
    manifest, _ = opened(signed)
    yield b"%s%d %d\n" % (MAGIC, FORMAT, len(signed))
    yield signed
    for digest in sorted(manifest.blobs):
        compressor = zstd.ZstdCompressor(_LEVEL)
        for content in store.blobs.pieces(digest):
            yield from _framed(compressor.compress(content))
            progress(len(content))
        yield from _framed(compressor.flush())
        yield _LENGTH.pack(0)


def _framed(data: bytes) -> Iterator[bytes]:
    if data:
        yield _LENGTH.pack(len(data))
        yield data


def write_file(path: Path, content: Iterator[bytes]) -> int:
    """Write a file, whole or not at all; an older one stays until the new one is safe. Returns its size in bytes."""
    size_bytes = 0
    with _told(path):
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    try:
        # Without a buffer: one would be written again, and refused again, when the file is closed.
        with open(descriptor, "wb", buffering=0):
            for piece in content:
                with _told(path):
                    write_all(descriptor, piece)
                size_bytes += len(piece)
            with _told(path):
                os.fsync(descriptor)
        with _told(path):
            os.replace(name, path)
            sync_directory(path.parent)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return size_bytes


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """What the disk refuses inside is raised as an error of ours."""
    try:
        yield
    except OSError as error:
        raise BadRequest(f"{path} cannot be written: {error.strerror}.", "Nothing half is left behind.") from error


# --- reading


def is_export(path: Path) -> bool:
    """Whether the file begins as an export does."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def read_manifest(path: Path) -> tuple[Manifest, Signed]:
    """What an export tells of itself. The signature is checked, the blobs are not touched.

    Raises CorruptSnapshot, IncompatibleSnapshot, UntrustedSnapshot (a wrong signature).
    """
    with path.open("rb") as file:
        return opened(_signed(_Reader(file.read)))


def import_state(
    store: Store,
    read: Read,
    *,
    name: str | None = None,
    trust: bool = False,
    progress: Progress = _ignore,
) -> Received:
    """Take the state of an export into a store that no server has open. What goes wrong leaves nothing named.

    Raises CorruptSnapshot, IncompatibleSnapshot, UntrustedSnapshot, NameTaken, StoreFull.
    """
    incoming = Incoming(store, read, trust=trust)
    names = store.catalog.names()
    used = name_for(names, incoming.manifest, name)
    incoming.receive(progress)
    free, taken = free_names(names, incoming.manifest)
    take(store, incoming.manifest, {**free, used: incoming.manifest.state.id}, incoming.tokens)
    return received(incoming.manifest, used, taken)


class Incoming:
    """An export that comes in: its manifest first, whose signer must be trusted; then its blobs."""

    def __init__(self, store: Store, read: Read, *, trust: bool = False) -> None:
        self._store = store
        self._reader = _Reader(read)
        self.manifest, signed = opened(_signed(self._reader))
        check_trust(store, signed, trust=trust)
        self.tokens: dict[str, str] = {}
        """Of the blobs that were verified."""

    def receive(self, progress: Progress = _ignore) -> None:
        """Store the blobs that are not here. Each is verified before it is named."""
        missing = set(missing_blobs(self._store, self.manifest, self.tokens))
        for digest, size_bytes in sorted(self.manifest.blobs.items()):
            if digest in missing:
                self._store_blob(digest, size_bytes, progress)
            else:
                while self._reader.piece():
                    pass
                progress(size_bytes)
        if self._reader.read(1):
            raise CorruptSnapshot("something follows the export's last blob.", _AGAIN)

    def _store_blob(self, digest: str, size_bytes: int, progress: Progress) -> None:
        decompressor = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG_MAX})
        left = size_bytes
        with self._store.blobs.receiving(digest) as receiving:
            while piece := self._reader.piece():
                for content in _decompressed(decompressor, piece):
                    left -= len(content)
                    if left < 0:
                        raise CorruptSnapshot(f"the blob {digest[:12]} is larger than the export says.", _AGAIN)
                    receiving.write(content)
                    progress(len(content))
            if left or not decompressor.eof or decompressor.unused_data:
                raise CorruptSnapshot(f"the blob {digest[:12]} is not as large as the export says.", _AGAIN)
            receiving.finish()
        self.tokens[digest] = self._store.blobs.token(digest)


def _decompressed(decompressor: zstd.ZstdDecompressor, piece: bytes) -> Iterator[bytes]:
    """What a piece of a frame holds, in pieces of bounded size, whatever it says."""
    try:
        if decompressor.eof:
            raise CorruptSnapshot("something follows a blob of the export.", _AGAIN)
        while True:
            content = decompressor.decompress(piece, max_length=PIECE_BYTES)
            if content:
                yield content
            if decompressor.eof or (decompressor.needs_input and not content):
                return
            piece = b""
    except (zstd.ZstdError, MemoryError) as error:
        raise CorruptSnapshot(f"a blob of the export cannot be read: {error}.", _AGAIN) from error


class _Reader:
    """Reads what an export is made of. Raises CorruptSnapshot where it ends too soon."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._rest = b""

    def read(self, size_bytes: int) -> bytes:
        """At most so many bytes; none at the end."""
        if self._rest:
            found, self._rest = self._rest[:size_bytes], self._rest[size_bytes:]
            return found
        return self._read(size_bytes)

    def exactly(self, size_bytes: int) -> bytes:
        """So many bytes."""
        found = bytearray()
        while len(found) < size_bytes:
            piece = self.read(min(size_bytes - len(found), PIECE_BYTES))
            if not piece:
                raise CorruptSnapshot("the export is truncated.", _AGAIN)
            found += piece
        return bytes(found)

    def line(self) -> bytes:
        """The first line, without its end."""
        found = b""
        while b"\n" not in found and len(found) < _FIRST_LINE_BYTES:
            piece = self.read(_FIRST_LINE_BYTES)
            if not piece:
                break
            found += piece
        line, _, self._rest = found.partition(b"\n")
        return line

    def piece(self) -> bytes:
        """The next piece of a frame; none at its end."""
        (size_bytes,) = _LENGTH.unpack(self.exactly(_LENGTH.size))
        if size_bytes > _LONGEST_PIECE_BYTES:
            raise CorruptSnapshot("a piece of the export is too large.", _AGAIN)
        return self.exactly(size_bytes)


def _signed(reader: _Reader) -> bytes:
    line = reader.line()
    if not line.startswith(MAGIC):
        raise CorruptSnapshot("this is no export of stillframe.", "Make one with `still export STATE FILE`.")
    version, _, length = line.removeprefix(MAGIC).partition(b" ")
    if not version.isdigit() or not length.isdigit() or int(length) > LONGEST_BYTES:
        raise CorruptSnapshot("the first line of the export makes no sense.", _AGAIN)
    if int(version) > FORMAT:
        raise IncompatibleSnapshot(
            f"the export has format {int(version)}; this stillframe knows formats up to {FORMAT}.",
            "Use a newer stillframe.",
        )
    return reader.exactly(int(length))


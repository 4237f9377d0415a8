"""A snapshot: the record that lists the parts of a captured state, and how they are stored.

    Record
    ├── header    JSON of the capture room; the store carries it and does not read it
    ├── pickle    Part: a blob; or, close to that of a relative, a patch to it
    └── buffers   Parts: each a blob, so that it can be mapped

Invariants:
  * A record names contents by digest; its own digest is that of its bytes. It is never changed.
  * A patch is made against a part that is stored whole, never against another patch: two blobs give any part.
  * What is read is verified: the digest of a part is that of its content, however it is stored.
  * Nothing here unpickles.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import msgspec

from stillframe.errors import CorruptSnapshot, IncompatibleSnapshot
from stillframe.store.blobs import Batch, Blobs, digest_of, flat, is_digest
from stillframe.store.mapping import SMALLEST_ADOPTED_BYTES, Memory

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FORMAT = 1
SMALLEST_PATCHED_BYTES = 4096
"""A smaller pickle is written whole: a file takes this much on the disk anyway."""
LARGEST_PATCH = 0.3
"""Of the whole: above this, a patch saves too little, and the next ones are made against what is newer."""
LARGEST_PATCHED_BYTES = 1 << 30
"""Both sides of a patch lie in memory, and zstd's window must reach over both."""
_WINDOW_LOGS = range(20, 32)


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """A piece of a snapshot, and where its bytes are."""

    digest: str
    """Of the content."""
    size_bytes: int
    """Of the content."""
    blob: str = ""
    """The blob of the patch that makes it out of `near`; empty: the content is a blob itself."""
    near: str = ""
    """The digest of the part that the patch is made to; a blob."""

    def blobs(self) -> tuple[str, ...]:
        """The blobs that it takes to read it."""
        return (self.blob, self.near) if self.blob else (self.digest,)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The list of a snapshot's parts, and what the capture room says of it."""

    format: int = FORMAT
    header: msgspec.Raw
    pickle: Part
    buffers: list[Part] = []

    def blobs(self) -> set[str]:
        """The digests of all blobs that it takes to restore it."""
        return {digest for part in (self.pickle, *self.buffers) for digest in part.blobs()}

    @property
    def size_bytes(self) -> int:
        """Of all its parts."""
        return self.pickle.size_bytes + sum(part.size_bytes for part in self.buffers)


class _Format(msgspec.Struct):
    format: int


def encode(record: Record) -> bytes:
    """A record's bytes: JSON, always the same for the same record."""
    return msgspec.json.encode(record)


def decode(data: bytes) -> Record:
    """The inverse of encode. Raises CorruptSnapshot, or IncompatibleSnapshot for a newer format."""
    try:
        version = msgspec.json.decode(data, type=_Format).format
        if version > FORMAT:
            raise IncompatibleSnapshot(
                f"the snapshot has format {version}; this stillframe knows formats up to {FORMAT}.",
                "Use a newer stillframe.",
            )
        record = msgspec.json.decode(data, type=Record)
        msgspec.json.decode(record.header)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptSnapshot(
            f"the record of a snapshot cannot be read: {error}.", "Use another copy."
        ) from error
    parts = (record.pickle, *record.buffers)
    names = [name for part in parts for name in part.blobs()] + [part.digest for part in parts]
    is_sound = all(map(is_digest, names)) and all(part.size_bytes >= 0 for part in parts)
    # A buffer is mapped, and so is never a patch.
    if version != FORMAT or not is_sound or any(part.blob or part.near for part in record.buffers):
        raise CorruptSnapshot("the record of a snapshot makes no sense.", "Use another copy.")
    return record


def snapshot_digest(record: Record) -> str:
    """What a snapshot is called: the digest of its record."""
    return digest_of(encode(record))


# --- writing


def write_snapshot(
    blobs: Blobs, header: bytes, pickle: Any, buffers: Iterable[Any] = (), near: Record | None = None
) -> Record:
    """Store a capture. All its blobs are durable when this returns; naming the record is for the catalog.

    `header` is JSON. `buffers` are contiguous and stay as they are meanwhile; those that are blobs mapped and not
    written to are neither hashed nor written. `near` is the record of a snapshot whose pickle is much the same; it
    is in the catalog, so that its blobs are durable.
    Raises StoreFull, StoreReadOnly, StoreError; nothing half stays behind.
    """
    memory: Memory | None = None
    parts = []
    # What is mapped was restored from a snapshot in the catalog, or adopted from one that was durable.
    durable = near.blobs() if near is not None else set()
    # One of a size that the relative has none of is new, in all likelihood.
    sizes = {part.size_bytes for part in near.buffers} if near is not None else set()
    with Batch(blobs, durable) as batch:
        for buffer in buffers:
            view = flat(buffer)
            digest = None
            if view.nbytes >= SMALLEST_ADOPTED_BYTES:
                memory = memory or Memory(blobs)
                digest = memory.digest_of(view)
                if digest is not None:
                    durable.add(digest)
            digest = batch.put(view, digest=digest, is_new=view.nbytes not in sizes)
            parts.append(Part(digest, view.nbytes))
        main = _put_pickle(batch, blobs, flat(pickle), near)
    return Record(header=msgspec.Raw(header), pickle=main, buffers=parts)


def _put_pickle(batch: Batch, blobs: Blobs, pickle: memoryview, near: Record | None) -> Part:
    digest = digest_of(pickle)
    if near is not None and near.pickle.digest == digest:
        if all(blobs.has(name) for name in near.pickle.blobs()):
            for name in near.pickle.blobs():
                batch.keep(name)
            return near.pickle
    elif near is not None and not blobs.has(digest, pickle.nbytes):
        whole = near.pickle.near or near.pickle.digest
        patch = _patch_between(blobs, whole, pickle)
        if patch is not None:
            batch.keep(whole)
            return Part(digest, pickle.nbytes, batch.put(patch), whole)
    return Part(batch.put(pickle, digest=digest), pickle.nbytes)


def _patch_between(blobs: Blobs, whole: str, pickle: memoryview) -> bytes | None:
    """What makes `pickle` out of the blob `whole`, or None where that is not worth its while."""
    if not SMALLEST_PATCHED_BYTES <= pickle.nbytes <= LARGEST_PATCHED_BYTES or not blobs.has(whole):
        return None
    if not SMALLEST_PATCHED_BYTES <= blobs.size(whole) <= LARGEST_PATCHED_BYTES:
        return None
    try:
        content = blobs.get(whole)
    except CorruptSnapshot:
        # A patch to a damaged blob would be damaged too; written whole, this state is safe.
        return None
    patch = patch_of(content, pickle)
    return patch if len(patch) <= LARGEST_PATCH * pickle.nbytes else None


def patch_of(near: bytes, content: Any) -> bytes:
    """A zstd frame that holds `content`, with `near` (8 bytes or more) as what came before it. 100 MB/s or more."""
    parameter = zstd.CompressionParameter
    options: dict[int, int] = {
        parameter.compression_level: 1,
        parameter.window_log: _window_log(len(near) + len(content)),
        parameter.enable_long_distance_matching: 1,
        parameter.checksum_flag: 0,
    }
    return zstd.compress(content, options=options, zstd_dict=zstd.ZstdDict(near, is_raw=True).as_prefix)


def _window_log(reach_bytes: int) -> int:
    """The logarithm of a window of at least this many bytes."""
    return next((log for log in _WINDOW_LOGS if 1 << log >= reach_bytes), _WINDOW_LOGS[-1])


# --- reading


def read_pickle(blobs: Blobs, part: Part) -> bytes:
    """The content of a part, verified. Raises MissingBlob, CorruptBlob, CorruptSnapshot."""
    if not part.blob:
        content = blobs.get(part.digest)
    else:
        content = apply_patch(blobs.get(part.near), blobs.get(part.blob), part.size_bytes)
    if len(content) != part.size_bytes or digest_of(content) != part.digest:
        raise CorruptSnapshot(
            f"the part {part.digest[:12]} of a snapshot in {blobs.store} is not what was stored.",
            "Run `still doctor` on the store; the state can be had by replay only.",
        )
    return content


def apply_patch(near: bytes, patch: bytes, size_bytes: int) -> bytes:
    """The inverse of patch_of. Never makes more than `size_bytes`, whatever the patch says."""
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOGS[-1]}
    try:
        decompressor = zstd.ZstdDecompressor(zstd.ZstdDict(near, is_raw=True).as_prefix, options)
        # One byte more than expected tells a longer one.
        content = decompressor.decompress(patch, max_length=size_bytes + 1)
    except (zstd.ZstdError, ValueError, MemoryError) as error:
        raise CorruptSnapshot(f"a patch cannot be applied: {error}.", "Use another copy.") from error
    return content

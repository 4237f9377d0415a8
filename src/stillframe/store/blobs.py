"""Blobs on disk, each in a file that is named by the digest of its content.

    ┌──────────────────────┐ 0
    │ "stillframe blob\\n"  │ 16 bytes
    ├──────────────────────┤ CONTENT_AT
    │ content              │ its blake3 is the blob's digest, and the name of the file
    └──────────────────────┘

The first 16 bytes make the content begin where glibc's large blocks of memory begin, 16 bytes into a page, so
that a blob can be mapped over the memory that it was written from (mapping.py).

Invariants:
  * A blob is never changed. Writing it again changes nothing.
  * A file is complete or absent: bytes go to a file in new/, are synced, then renamed to their name.
  * What put() or the end of a Batch returned is durable: the bytes, the name, and the directory of the name.
  * get() returns bytes that hash to the digest asked for, or raises CorruptBlob or MissingBlob.

Several processes may put at the same time; no lock is needed for that.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Container, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

from blake3 import blake3

from stillframe.errors import CorruptBlob, MissingBlob
from stillframe.store.disk import sync_directory, write_all, writing_to

MAGIC = b"stillframe blob\n"
CONTENT_AT = len(MAGIC)
DIGEST_CHARS = 64
_HEX = frozenset("0123456789abcdef")
_THREADS_FROM_BYTES = 1 << 20
"""Above this size a blob is hashed by all cores, and written by a thread while the next one is hashed."""


def digest_of(data: Any) -> str:
    """The digest of these bytes: blake3, in hexadecimal. Several GB/s."""
    view = flat(data)
    threads = blake3.AUTO if view.nbytes >= _THREADS_FROM_BYTES else 1
    return blake3(view, max_threads=threads).hexdigest()


def is_digest(text: str) -> bool:
    """Whether `text` has the form of a digest (and so is safe as the name of a file)."""
    return len(text) == DIGEST_CHARS and _HEX.issuperset(text)


def flat(data: Any) -> memoryview:
    """A contiguous buffer as plain bytes, not copied."""
    view = memoryview(data)
    return view.cast("B") if view.nbytes else memoryview(b"")


class Blobs:
    """The blobs of the store at `path`, which must be there. Needs neither the lock nor the catalog."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.store = Path(path).resolve()
        self.directory = self.store / "blobs"
        self.new = self.store / "new"

    def create(self) -> None:
        """Make the directories, durably. Those that are there stay."""
        with writing_to(self.store):
            for directory in (self.directory, self.new):
                directory.mkdir(exist_ok=True)
            for number in range(256):
                (self.directory / f"{number:02x}").mkdir(exist_ok=True)
            sync_directory(self.directory)
            sync_directory(self.store)

    def path(self, digest: str) -> Path:
        """Where the blob is, or would be."""
        if not is_digest(digest):
            raise MissingBlob(
                f"{digest[:80]!r} is no digest.", "It should be 64 hexadecimal digits.", digest=digest
            )
        return self.directory / digest[:2] / digest

    def put(self, data: Any, *, digest: str | None = None) -> str:
        """Store these bytes. Returns their digest; they are durable then.

        `digest` saves hashing where the caller has just done it. Cost: a hash and, for a blob that is there
        already, a stat; else one write, two syncs. Raises StoreFull, StoreReadOnly, StoreError.
        """
        with Batch(self) as batch:
            return batch.put(data, digest=digest)

    def receiving(self, digest: str) -> Receiving:
        """Take in a blob in pieces, as it comes; see Receiving."""
        return Receiving(self, digest)

    def has(self, digest: str, size_bytes: int | None = None) -> bool:
        """Whether the blob is there (and has this size, where one is given). A stat; nothing is read."""
        try:
            found = os.stat(self.path(digest)).st_size - CONTENT_AT
        except (FileNotFoundError, NotADirectoryError):
            return False
        return found >= 0 and size_bytes in (None, found)

    def size(self, digest: str) -> int:
        """The size of its content, in bytes."""
        try:
            found = os.stat(self.path(digest)).st_size - CONTENT_AT
        except FileNotFoundError as error:
            raise self._missing(digest) from error
        if found < 0:
            raise self.corrupt(digest, "it is truncated")
        return found

    def token(self, digest: str) -> str:
        """What changes when the blob's file is changed or replaced: its inode, ctime and size."""
        try:
            found = os.stat(self.path(digest))
        except FileNotFoundError as error:
            raise self._missing(digest) from error
        return f"{found.st_ino}:{found.st_ctime_ns}:{found.st_size}"

    def open(self, digest: str) -> int:
        """A descriptor of its file, for reading or mapping; the content begins at CONTENT_AT. Not verified."""
        try:
            return os.open(self.path(digest), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise self._missing(digest) from error

    def get(self, digest: str) -> bytes:
        """Its content, verified. Raises MissingBlob, CorruptBlob."""
        with open(self.open(digest), "rb", buffering=0) as file:
            magic, content = file.read(CONTENT_AT), file.readall()
        if magic != MAGIC:
            raise self.corrupt(digest, "its first bytes are not those of a blob")
        if digest_of(content) != digest:
            raise self.corrupt(digest, "its content has another digest")
        return content

    def verify(self, digest: str) -> None:
        """Read it and compare its digest. Raises MissingBlob, CorruptBlob. Holds no more than 8 MiB of it."""
        hasher = blake3()
        with open(self.open(digest), "rb", buffering=0) as file:
            if file.read(CONTENT_AT) != MAGIC:
                raise self.corrupt(digest, "its first bytes are not those of a blob")
            while piece := file.read(8 << 20):
                hasher.update(piece)
        if hasher.hexdigest() != digest:
            raise self.corrupt(digest, "its content has another digest")

    def digests(self) -> Iterator[str]:
        """All that are there, in order."""
        for directory in sorted(self.directory.iterdir()):
            if directory.is_dir():
                yield from sorted(name for name in os.listdir(directory) if is_digest(name))

    def _missing(self, digest: str) -> MissingBlob:
        return MissingBlob(
            f"the store {self.store} has no blob {digest[:12]}.",
            "Run `still doctor` on the store; states that need this blob can be had by replay only.",
            digest=digest,
        )

    def corrupt(self, digest: str, why: str) -> CorruptBlob:
        """The error for a blob that is not what its digest says."""
        return CorruptBlob(
            f"the blob {digest[:12]} of the store {self.store} is damaged: {why}.",
            "Run `still doctor --repair` on the store; states that need this blob can be had by replay only.",
            digest=digest,
            path=str(self.path(digest)),
        )


class Batch:
    """Several blobs that become durable together, at the end of the `with` block, or not at all.

    While one is written and synced by a thread, the next one is hashed. The data must stay as it is until the
    end of the block. An exception in the block, or a disk that refuses, leaves nothing behind.
    """

    def __init__(self, blobs: Blobs, durable: Container[str] = ()) -> None:
        """`durable`: digests of blobs that are known to be durable, if they are there: a snapshot in the catalog
        names them. The others among those that are there already cost a sync of their directories, some 3 ms each."""
        self._blobs = blobs
        self._durable = durable
        self._written: dict[str, Future[Path] | Path] = {}
        self._directories: set[Path] = set()
        self._pool: ThreadPoolExecutor | None = None
        self.written_bytes = 0
        """Bytes of content that the store did not have."""

    def put(self, data: Any, *, digest: str | None = None) -> str:
        """Have these bytes stored at the end of the block. Returns their digest."""
        view = flat(data)
        digest = digest or digest_of(view)
        path = self._blobs.path(digest)
        # One of another size is damaged; a whole one takes its place.
        if digest in self._written or self._blobs.has(digest, view.nbytes):
            self.keep(digest)
            return digest
        self._directories.add(path.parent)
        self.written_bytes += view.nbytes
        if view.nbytes < _THREADS_FROM_BYTES:
            self._written[digest] = self._write(view)
        else:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(2, thread_name_prefix="stillframe-blobs")
            self._written[digest] = self._pool.submit(self._write, view)
        return digest

    def keep(self, digest: str) -> None:
        """Have a blob that is there durable at the end of the block: another process may have named it just now."""
        if digest not in self._durable:
            self._directories.add(self._blobs.path(digest).parent)

    def _write(self, data: memoryview) -> Path:
        """The bytes in a file in new/, synced."""
        path = self._blobs.new / secrets.token_hex(16)
        with writing_to(self._blobs.store, data.nbytes):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
            try:
                write_all(descriptor, MAGIC)
                write_all(descriptor, data)
                os.fsync(descriptor)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
            finally:
                os.close(descriptor)
        return path

    def __enter__(self) -> Batch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=kind is not None)
        try:
            if kind is None:
                self._name_all()
        finally:
            self._remove_unnamed()

    def _name_all(self) -> None:
        written = {d: w.result() if isinstance(w, Future) else w for d, w in self._written.items()}
        with writing_to(self._blobs.store):
            # All bytes are synced by now; only then does any of them get its name.
            for digest, path in written.items():
                os.rename(path, self._blobs.path(digest))
                del self._written[digest]
            # A name is durable only after its directory is synced too.
            for directory in self._directories:
                sync_directory(directory)

    def _remove_unnamed(self) -> None:
        for waiting in self._written.values():
            if isinstance(waiting, Future):
                if waiting.cancelled() or waiting.exception() is not None:
                    continue
                waiting = waiting.result()
            waiting.unlink(missing_ok=True)


class Receiving:
    """A blob that comes in pieces. Nothing is named before finish() has seen that it is the right one.

    Use it in a `with` block: what was not finished by its end is removed. Never holds more than a piece.
    """

    def __init__(self, blobs: Blobs, digest: str) -> None:
        self._blobs, self._digest = blobs, digest
        self._target = blobs.path(digest)
        self._path = blobs.new / secrets.token_hex(16)
        self._hasher = blake3()
        self.size_bytes = 0
        """Of the content, so far."""
        with writing_to(blobs.store):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o444)
            self._write(MAGIC)

    def write(self, data: bytes | memoryview) -> None:
        """The next piece. Raises StoreFull, StoreReadOnly, StoreError."""
        self._hasher.update(data)
        self._write(data)
        self.size_bytes += len(data)

    def _write(self, data: bytes | memoryview) -> None:
        with writing_to(self._blobs.store, len(data)):
            try:
                write_all(self._descriptor, data)
            except BaseException:
                self._remove()
                raise

    def finish(self) -> None:
        """All pieces are there: verify, make durable, name. Raises CorruptBlob; then nothing of it stays."""
        if self._hasher.hexdigest() != self._digest:
            raise CorruptBlob(
                f"what came as blob {self._digest[:12]} has another digest.",
                "Send it again.",
                digest=self._digest,
            )
        with writing_to(self._blobs.store, self.size_bytes):
            os.fsync(self._descriptor)
            os.rename(self._path, self._target)
            sync_directory(self._target.parent)

    def __enter__(self) -> Receiving:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
        self._remove()

    def _remove(self) -> None:
        self._path.unlink(missing_ok=True)

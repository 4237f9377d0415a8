"""Blobs on disk, each in a file that is named by the digest of its content.

    ┌──────────────────────┐ 0
    │ "stillframe blob\\n"  │ 16 bytes
    ├──────────────────────┤ CONTENT_AT
    │ content              │ its blake3 is the blob's digest, and the name of the file
    └──────────────────────┘

The first 16 bytes make the content begin where glibc's large blocks of memory begin, 16 bytes into a page, so
that a blob can be mapped over the memory that it was written from (mapping.py). A blob that was not needed for long
may lie compressed in the archive instead (compressed.py, archive.py): it is read from there as it is, and expanded
to a plain one again when it is to be mapped.

Invariants:
  * A blob is never changed. Writing it again changes nothing.
  * A file is complete or absent: bytes go to a file in new/, are synced, then renamed to their name.
  * What put() or the end of a Batch returned is durable: the bytes, the name, and the directory of the name.
  * get() returns bytes that hash to the digest asked for, or raises CorruptBlob or MissingBlob.
  * A blob is there as long as either of its files is. One is removed only when the other is durable.

Several processes may put at the same time; no lock is needed for that.
"""

from __future__ import annotations

import contextlib
import io
import os
import secrets
from collections.abc import Container, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from blake3 import blake3

from stillframe.errors import CorruptBlob, MissingBlob
from stillframe.store import compressed
from stillframe.store.compressed import PIECE_BYTES as PIECE_BYTES
from stillframe.store.disk import begin_writing, sync_directory, write_all, writing_to
from stillframe.store.locks import shared

MAGIC = b"stillframe blob\n"
CONTENT_AT = len(MAGIC)
DIGEST_CHARS = 64
_HEX = frozenset("0123456789abcdef")
_THREADS_FROM_BYTES = 1 << 20
"""Above this size a blob is hashed by all cores, where the hash alone is asked for."""
_BEGIN_BYTES = 8 << 20
"""So much is written before the disk is told to begin with it."""
_MOST_UNSYNCED = 32
"""Files that a batch has open before it syncs them."""


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
        self.archive = self.store / "archive"

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
        """Where the plain blob is, or would be."""
        if not is_digest(digest):
            raise MissingBlob(
                f"{digest[:80]!r} is no digest.", "It should be 64 hexadecimal digits.", digest=digest
            )
        return self.directory / digest[:2] / digest

    def archived_path(self, digest: str) -> Path:
        """Where the blob is if it is archived, or would be."""
        return self.archive / self.path(digest).relative_to(self.directory)

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

    def files(self, digest: str) -> list[Path]:
        """The files of the blob that are there: the plain one, the archived one."""
        return [path for path in (self.path(digest), self.archived_path(digest)) if path.exists()]

    def has(self, digest: str, size_bytes: int | None = None) -> bool:
        """Whether the blob is there (and has this size, where one is given). Only its size is read."""
        if self.is_plain(digest, size_bytes):
            return True
        try:
            return self.size(digest) == size_bytes or size_bytes is None
        except (MissingBlob, CorruptBlob):
            return False

    def is_plain(self, digest: str, size_bytes: int | None = None) -> bool:
        """As has(), of its plain file: the one that can be mapped. A stat."""
        try:
            found = os.stat(self.path(digest)).st_size - CONTENT_AT
        except (FileNotFoundError, NotADirectoryError):
            return False
        return found >= 0 and size_bytes in (None, found)

    def size(self, digest: str) -> int:
        """The size of its content, in bytes."""
        try:
            found = os.stat(self.path(digest)).st_size - CONTENT_AT
        except (FileNotFoundError, NotADirectoryError):
            file, archived = self._open_either(digest)
            with file, self._told(digest):
                found = compressed.size(file) if archived else os.stat(file.fileno()).st_size - CONTENT_AT
        if found < 0:
            raise self.corrupt(digest, "it is truncated")
        return found

    def token(self, digest: str) -> str:
        """What changes when the blob's file is changed or replaced: its inode, ctime and size."""
        try:
            found = os.stat(self.path(digest))
        except (FileNotFoundError, NotADirectoryError):
            with self._open_either(digest)[0] as file:
                found = os.stat(file.fileno())
        return f"{found.st_ino}:{found.st_ctime_ns}:{found.st_size}"

    def open(self, digest: str) -> int:
        """A descriptor of its plain file, for mapping; the content begins at CONTENT_AT. Not verified.

        An archived one is expanded first. Raises what expand() does.
        """
        path = self.path(digest)
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            # While this is held, nobody archives it again.
            with shared(self.store):
                self.expand(digest)
                return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def expand(self, digest: str) -> bool:
        """Have a plain file of the blob, durably. Whether there was none: then its bytes were verified just now.

        Cost: a stat; 2 to 5 s/GB where it is archived. What is in the archive stays there (archive.py). Raises
        MissingBlob, CorruptBlob, StoreFull, StoreReadOnly.
        """
        if self.is_plain(digest):
            return False
        with self.receiving(digest) as receiving:
            for piece in self.pieces(digest):
                receiving.write(piece)
            receiving.finish()
        return True

    def get(self, digest: str) -> bytes:
        """Its content, verified. Raises MissingBlob, CorruptBlob."""
        file, archived = self._open_either(digest)
        with file, self._told(digest):
            content = b"".join(compressed.read(file)) if archived else self._after_magic(file, digest).readall()
        if digest_of(content) != digest:
            raise self.corrupt(digest, "its content has another digest", archived)
        return content

    def pieces(self, digest: str) -> Iterator[bytes]:
        """Its content in pieces of at most 1 MiB; where it is not what its digest says, CorruptBlob is raised at the
        end. Raises MissingBlob."""
        file, archived = self._open_either(digest)
        hasher = blake3()
        with file, self._told(digest):
            for piece in compressed.read(file) if archived else _read(self._after_magic(file, digest)):
                hasher.update(piece)
                yield piece
        if hasher.hexdigest() != digest:
            raise self.corrupt(digest, "its content has another digest", archived)

    def verify(self, digest: str) -> None:
        """Read it and compare its digest. Raises MissingBlob, CorruptBlob. Holds no more than 1 MiB of it."""
        for _ in self.pieces(digest):
            pass

    def verify_archived(self, path: Path, digest: str, *, is_quick: bool = False) -> None:
        """As verify(), of a file of the archive, whatever it is called yet. `is_quick`: read its first bytes only."""
        hasher = blake3()
        try:
            with self._told(digest), path.open("rb", buffering=0) as file:
                if is_quick:
                    compressed.size(file)
                    return
                for piece in compressed.read(file):
                    hasher.update(piece)
        except FileNotFoundError as error:
            raise self._missing(digest) from error
        if hasher.hexdigest() != digest:
            raise self.corrupt(digest, "its content has another digest", path)

    def digests(self) -> Iterator[str]:
        """All that are there, each once."""
        archived = set(self.archived())
        for digest in _named(self.directory):
            archived.discard(digest)
            yield digest
        yield from sorted(archived)

    def archived(self) -> Iterator[str]:
        """Those that are in the archive, in order; some may be plain too."""
        if self.archive.is_dir():
            yield from _named(self.archive)

    def _open_either(self, digest: str) -> tuple[io.FileIO, Path | None]:
        """Its file; and the path of that if it is the archived one."""
        plain, archived = self.path(digest), self.archived_path(digest)
        # The last look is for a blob that was expanded, and its archived file removed, between the first two.
        for path in (plain, archived, plain):
            try:
                file = io.FileIO(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
                return file, path if path is archived else None
            except (FileNotFoundError, NotADirectoryError):
                continue
        raise self._missing(digest)

    def _after_magic(self, file: io.FileIO, digest: str) -> io.FileIO:
        if file.read(CONTENT_AT) != MAGIC:
            raise self.corrupt(digest, "its first bytes are not those of a blob")
        return file

    @contextlib.contextmanager
    def _told(self, digest: str) -> Iterator[None]:
        """What is wrong with an archived file is raised as CorruptBlob."""
        try:
            yield
        except compressed.Damaged as error:
            raise self.corrupt(digest, str(error), self.archived_path(digest)) from error

    def _missing(self, digest: str) -> MissingBlob:
        return MissingBlob(
            f"the store {self.store} has no blob {digest[:12]}.",
            "Run `still doctor` on the store; states that need this blob can be had by replay only.",
            digest=digest,
        )

    def corrupt(self, digest: str, why: str, path: Path | None = None) -> CorruptBlob:
        """The error for a blob that is not what its digest says."""
        return CorruptBlob(
            f"the blob {digest[:12]} of the store {self.store} is damaged: {why}.",
            "Run `still doctor --repair` on the store; states that need this blob can be had by replay only.",
            digest=digest,
            path=str(path or self.path(digest)),
        )


def _read(file: io.FileIO) -> Iterator[bytes]:
    return iter(lambda: file.read(PIECE_BYTES), b"")


def _named(directory: Path) -> Iterator[str]:
    """The digests that name files two levels below, in order."""
    for inner in sorted(directory.iterdir()):
        if inner.is_dir():
            yield from sorted(name for name in os.listdir(inner) if is_digest(name))


class Batch:
    """Several blobs that become durable together, at the end of the `with` block, or not at all.

    A new one is read once: a piece of it is hashed, and written while it is in the core's cache; the disk works on it
    while the next pieces are hashed. All are synced at the end, when most of them are on the disk: one commit of the
    file system's journal, not one for each. It takes one core, and no threads: a cell that runs has the others. The
    data must stay as it is until the end of the block. An exception in the block, or a disk that refuses, leaves
    nothing behind.
    """

    def __init__(self, blobs: Blobs, durable: Container[str] = ()) -> None:
        """`durable`: digests of blobs that are known to be durable, if they are there: a snapshot in the catalog
        names them. The others among those that are there already cost a sync of their directories, some 3 ms each."""
        self._blobs = blobs
        self._durable = durable
        self._written: dict[str, Path] = {}
        self._unsynced: list[int] = []
        """Descriptors: what the disk has refused is told to those that are open since before it was written."""
        self._directories: set[Path] = set()
        self.written_bytes = 0
        """Bytes of content that the store did not have."""

    def put(self, data: Any, *, digest: str | None = None, is_new: bool = False) -> str:
        """Have these bytes stored at the end of the block. Returns their digest.

        Those that are there already cost a hash, unless their `digest` is given. Where the store is thought not to
        have them (`is_new`), they are hashed as they are written; if it has them, that is dropped again.
        """
        view = flat(data)
        if digest is None and not (is_new and view.nbytes > PIECE_BYTES):
            digest = digest_of(view)
        if digest is not None and self._has(digest, view.nbytes):
            self.keep(digest)
            return digest
        path, written = self._write(view, blake3() if digest is None else None)
        digest = digest or written
        if self._has(digest, view.nbytes):
            os.close(self._unsynced.pop())
            path.unlink()
            self.keep(digest)
            return digest
        self._written[digest] = path
        self._directories.add(self._blobs.path(digest).parent)
        self.written_bytes += view.nbytes
        if len(self._unsynced) >= _MOST_UNSYNCED:
            self._sync()
        return digest

    def keep(self, digest: str) -> None:
        """Have a blob that is there durable at the end of the block: another process may have named it just now."""
        if digest not in self._durable:
            self._directories.add(self._blobs.path(digest).parent)

    def _has(self, digest: str, size_bytes: int) -> bool:
        # One of another size is damaged; a whole one takes its place. One that is only archived is needed again.
        return digest in self._written or self._blobs.is_plain(digest, size_bytes)

    def _write(self, data: memoryview, hasher: Any) -> tuple[Path, str]:
        """The bytes in a file in new/, on their way to the disk; and their digest, where there is a `hasher`."""
        path = self._blobs.new / secrets.token_hex(16)
        with writing_to(self._blobs.store, data.nbytes):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
            try:
                write_all(descriptor, MAGIC)
                # Places in the file: a piece ends where a page of it does.
                begun = 0
                for end in range(PIECE_BYTES, CONTENT_AT + data.nbytes + PIECE_BYTES, PIECE_BYTES):
                    piece = data[max(0, end - PIECE_BYTES - CONTENT_AT) : end - CONTENT_AT]
                    if hasher is not None:
                        hasher.update(piece)
                    write_all(descriptor, piece)
                    if end - begun >= _BEGIN_BYTES:
                        begin_writing(descriptor, begun, end - begun)
                        begun = end
                begin_writing(descriptor, begun)
            except BaseException:
                os.close(descriptor)
                path.unlink(missing_ok=True)
                raise
        self._unsynced.append(descriptor)
        return path, hasher.hexdigest() if hasher is not None else ""

    def _sync(self) -> None:
        with writing_to(self._blobs.store, self.written_bytes):
            while self._unsynced:
                descriptor = self._unsynced.pop(0)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    def __enter__(self) -> Batch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._sync()
                self._name_all()
        finally:
            for descriptor in self._unsynced:
                os.close(descriptor)
            for path in self._written.values():
                path.unlink(missing_ok=True)

    def _name_all(self) -> None:
        with writing_to(self._blobs.store):
            # All bytes are synced by now; only then does any of them get its name.
            for digest, path in list(self._written.items()):
                os.rename(path, self._blobs.path(digest))
                del self._written[digest]
            # A name is durable only after its directory is synced too.
            for directory in self._directories:
                sync_directory(directory)


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

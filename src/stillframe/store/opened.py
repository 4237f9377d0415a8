"""A store that is open: its directory, its blobs, its catalog, its key.

    DIR/version          "stillframe store 1", or 2: there is an archive
    DIR/key              the private key; only its owner may read it
    DIR/lock             held by the one process that writes; its pid
    DIR/prune.lock       held for a moment, see locks.py
    DIR/catalog.sqlite   and its log, see catalog.py
    DIR/catalog.commits  how many commits the catalog has had, see sealed.py
    DIR/blobs/ab/abcd…   see blobs.py
    DIR/archive/ab/abcd… blobs, compressed, see archive.py
    DIR/new/             files that have no name yet; what a crash has left there is removed at opening
    DIR/damaged/         what `still doctor --repair` has put aside

Invariants:
  * One process at a time writes to the catalog. Anybody may put blobs, and read.
  * A store of a newer version is not touched.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from types import TracebackType

from stillframe.errors import StoreDamaged, StoreError, StoreTooNew
from stillframe.store.blobs import Blobs
from stillframe.store.catalog import Catalog
from stillframe.store.disk import sync_directory, write_file, writing_to
from stillframe.store.keys import Key
from stillframe.store.locks import WriterLock
from stillframe.store.snapshots import Record

VERSION = 2
"""The newest that is known here. A store is made with version 1, and has 2 from when it has an archive: who knows
version 1 only would take what is archived for missing."""
ARCHIVE_VERSION = 2
FIRST_LINE = b"stillframe store "


class Store:
    """An open store. Use open(); close() it, or use it in a `with` block."""

    def __init__(self, path: Path, lock: WriterLock | None) -> None:
        self.path = path
        self._lock = lock
        self._key: Key | None = None
        self.blobs = Blobs(path)
        try:
            self.catalog = Catalog(path / "catalog.sqlite", self.blobs, self.key, writer=lock is not None)
        except BaseException:
            if lock is not None:
                lock.release()
            raise

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, create: bool = True, writer: bool = True) -> Store:
        """Open the store in this directory, and make it if there is none and `create` is set.

        With `writer`, this process alone may write to it until it is closed. Raises StoreInUse, StoreTooNew,
        StoreDamaged, StoreReadOnly, StoreError (no store there). About 10 ms; 50 with 10,000 states.
        """
        place = Path(path).resolve()
        is_there = check_version(place)
        if not is_there and not (create and writer):
            raise StoreError(
                f"there is no store in {place}.", "Make one with `still serve --store`.", store=str(place)
            )
        if not writer:
            return cls(place, None)
        if not is_there:
            _create(place)
        lock = WriterLock(place)
        store = cls(place, lock)
        try:
            store._remove_leftovers()
            # SQLite syncs the name of its log, but not that of the catalog, which may be new.
            with writing_to(place):
                sync_directory(place)
        except BaseException:
            store.close()
            raise
        return store

    @property
    def is_writer(self) -> bool:
        """Whether it may be written to by this."""
        return self._lock is not None

    def key(self) -> Key:
        """The store's own key; its writer makes it when it is asked for first. Raises StoreDamaged, StoreError."""
        if self._key is None:
            path = self.path / "key"
            self._key = Key.create(path) if self.is_writer and not path.exists() else Key.load(path)
        return self._key

    def check_blobs(self, record: Record) -> None:
        """That each blob of the snapshot is there, with the bytes that it should have. Raises MissingBlob, CorruptBlob.

        Files that are as they were when they were last verified are taken as they are (one stat each); others are
        read and hashed, about 1 s per GB, and noted.
        """
        noted = self.catalog.tokens(record.blobs())
        fresh = {}
        for digest in record.blobs():
            # The token is taken before the bytes are read: a change meanwhile makes it a wrong one.
            token = self.blobs.token(digest)
            if noted.get(digest) != token:
                self.blobs.verify(digest)
                fresh[digest] = token
        for part in record.buffers:
            if self.blobs.size(part.digest) != part.size_bytes:
                raise self.blobs.corrupt(part.digest, "it has another size than the snapshot says")
        if fresh and self.is_writer:
            self.catalog.set_tokens(fresh)

    def expand(self, record: Record) -> None:
        """Have all blobs of the snapshot plain, to be mapped. Cost: a stat each; 2 to 5 s/GB of what is archived.

        Raises MissingBlob, CorruptBlob, StoreFull, StoreReadOnly.
        """
        fresh = {digest: self.blobs.token(digest) for digest in record.blobs() if self.blobs.expand(digest)}
        if fresh and self.is_writer:
            self.catalog.set_tokens(fresh)

    def close(self) -> None:
        """Close the catalog and let others write. A second time does nothing."""
        self.catalog.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _remove_leftovers(self) -> None:
        """What a crash has left in new/. Nobody else writes there now but captures of a server that is just ending."""
        with contextlib.suppress(OSError):
            for path in self.blobs.new.iterdir():
                path.unlink(missing_ok=True)


def check_version(place: Path) -> bool:
    """Whether there is a store of a version that is known. Raises StoreTooNew, StoreDamaged."""
    return version_of(place) > 0


def raise_version(place: Path, version: int) -> None:
    """Have the store say that it has at least this version, durably."""
    if version_of(place) < version:
        with writing_to(place):
            write_file(place / "version", b"%s%d\n" % (FIRST_LINE, version))


def version_of(place: Path) -> int:
    """The version of the store there; 0: there is none. Raises StoreTooNew, StoreDamaged."""
    path = place / "version"
    try:
        line = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError as error:
        raise StoreError(f"the store {place} cannot be read: {error.strerror}.", store=str(place)) from error
    number = line.removeprefix(FIRST_LINE).rstrip(b"\n")
    if not line.startswith(FIRST_LINE) or not number.isdigit() or not 0 < int(number) < 10**6:
        raise StoreDamaged(
            f"{path} does not say what a store's version file says.",
            "Look whether this is the right directory; `still doctor --repair` writes the file anew.",
            store=str(place),
        )
    if int(number) > VERSION:
        raise StoreTooNew(
            f"the store {place} has version {int(number)}; this stillframe knows versions up to {VERSION}.",
            "Use the newer stillframe that made it. Nothing was touched.",
            store=str(place),
        )
    return int(number)


def _create(place: Path) -> None:
    """Make the directories; the version file comes last: without it there is no store."""
    with writing_to(place):
        above = [parent for parent in place.parents if not parent.exists()]
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A crash may have left a part of what is made here.
        if {path.name for path in place.iterdir()} - {"blobs", "new", "version.new"}:
            raise StoreError(
                f"{place} is neither empty nor a store.", "Choose another directory.", store=str(place)
            )
        Blobs(place).create()
        for directory in (place.parent, *(parent.parent for parent in above)):
            sync_directory(directory)
        write_file(place / "version", b"%s%d\n" % (FIRST_LINE, 1))

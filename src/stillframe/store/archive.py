"""The archive: blobs that only states unused for long need are kept compressed, and expanded again when they are used.

    plain ──archive()──► plain and archived ──► archived ──expand(), at a restore──► plain and archived ──► …

Invariants:
  * At any moment, and after any crash, at least one of a blob's two files is there, whole. The one is removed only
    under the exclusive prune lock, when the other was read, has the right digest, and its name is durable.
  * A plain file that is mapped somewhere may be removed: it stays as long as the mapping does.
  * What is archived is never mapped, and its digest is that of the plain content.
  * The catalog says nothing of it: a store whose archive is expanded by hand is the same store.

A blob that was expanded has both files, until the next archive() removes the one that is not needed then: the
plain one if it has rested again, which costs no compression, or the archived one.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from stillframe.errors import CorruptBlob, MissingBlob
from stillframe.model import Archived
from stillframe.store import compressed
from stillframe.store.blobs import CONTENT_AT, PIECE_BYTES, Blobs
from stillframe.store.catalog import Catalog
from stillframe.store.disk import sync_directory, writing_to
from stillframe.store.locks import exclusive
from stillframe.store.opened import ARCHIVE_VERSION, Store, raise_version
from stillframe.store.prune import days_ago, is_unused

DAYS = 30.0
"""How long a state must not have been used, unless told otherwise."""
SMALLEST_BYTES = 8192
"""A smaller blob takes one or two blocks of the disk however it is stored."""

Progress = Callable[[int, int], None]
"""Is told how many bytes of content were dealt with, of how many. What it raises ends the work, and nothing is half."""


def archive(
    store: Store,
    days: float = DAYS,
    *,
    dry_run: bool = False,
    progress: Progress = lambda done, of: None,
    in_use: Iterable[str] = (),
) -> Archived:
    """Archive the blobs that only states need that were not used for so many days, and that are not pinned.

    `in_use` are ids of states that count as used. Safe beside a running server, its captures and its restores, and
    beside prune. What was interrupted is gone on with by the next call. Raises StoreDamaged, StoreFull,
    StoreReadOnly. Cost: 4 to 10 s/GB: a blob is read, compressed, written, and read back. What turns out not to be
    compressible is given up after 16 MiB, at each call.
    """
    blobs, counts = store.blobs, Counter[str]()
    cold, warm = _needed(store.catalog, days, set(in_use))
    archived = set(blobs.archived())
    todo = {digest: _plain_bytes(blobs, digest) for digest in sorted(cold | (archived & warm))}
    of, done = sum(todo.values()), 0

    def told(content: Iterable[bytes]) -> Iterator[bytes]:
        for before, piece in zip(itertools.count(done, PIECE_BYTES), content, strict=False):
            progress(before, of)
            yield piece

    for digest, size_bytes in todo.items():
        # What has no plain file is archived already.
        try:
            if size_bytes and digest in warm:
                if not dry_run:
                    _return(blobs, digest)
                counts["returned_blobs"] += 1
            elif size_bytes >= SMALLEST_BYTES:
                tried = {"blobs": 1, "size_bytes": size_bytes}
                counts.update(tried if dry_run else _archive(blobs, digest, size_bytes, told))
        except (CorruptBlob, MissingBlob):
            counts["damaged_blobs"] += 1
        done += size_bytes
        progress(done, of)
    return Archived(**counts)


def _needed(catalog: Catalog, days: float, in_use: set[str]) -> tuple[set[str], set[str]]:
    """The blobs that only unused states need, and those that others need too."""
    limit = days_ago(days)
    cold, warm = set[str](), set[str]()
    with catalog.reading():
        for row in catalog.states():
            if row.snapshot:
                rests = is_unused(row, limit) and not row.pinned and row.id not in in_use
                (cold if rests else warm).update(catalog.signed(row.snapshot).record.blobs())
    return cold - warm, warm


def _plain_bytes(blobs: Blobs, digest: str) -> int:
    """The size of the content, if there is a plain file; else 0."""
    try:
        return blobs.path(digest).stat().st_size - CONTENT_AT
    except FileNotFoundError:
        return 0


def _archive(
    blobs: Blobs, digest: str, size_bytes: int, told: Callable[[Iterable[bytes]], Iterable[bytes]]
) -> dict[str, int]:
    """Have the blob in the archive only. What there is to count of it."""
    if not _is_sound(blobs, digest) and not _compress(blobs, digest, told(blobs.pieces(digest)), size_bytes):
        return {"unfit_blobs": 1}
    path = blobs.archived_path(digest)
    with contextlib.suppress(FileNotFoundError):  # a prune beside this has taken both
        archived_bytes = path.stat().st_size
        _remove(blobs, blobs.path(digest), other=path)
        return {"blobs": 1, "size_bytes": size_bytes, "archived_bytes": archived_bytes}
    return {}


def _return(blobs: Blobs, digest: str) -> None:
    """Have the blob plain only."""
    blobs.verify(digest)
    _remove(blobs, blobs.archived_path(digest), other=blobs.path(digest))


def _is_sound(blobs: Blobs, digest: str) -> bool:
    """Whether the blob is in the archive, and is what it should be there."""
    try:
        blobs.verify_archived(blobs.archived_path(digest), digest)
    except (CorruptBlob, MissingBlob):
        return False
    return True


def _compress(blobs: Blobs, digest: str, content: Iterable[bytes], size_bytes: int) -> bool:
    """Have the blob in the archive, beside the plain one. False: it is not worth it."""
    new, target = blobs.new / secrets.token_hex(16), blobs.archived_path(digest)
    with writing_to(blobs.store, size_bytes):
        try:
            with new.open("xb") as file:
                if not compressed.write(file, content, size_bytes):
                    return False
                file.flush()
                os.fsync(file.fileno())
            new.chmod(0o444)
            # What will be the only copy is read once before it is.
            blobs.verify_archived(new, digest)
            _make_directory(target.parent, blobs)
            raise_version(blobs.store, ARCHIVE_VERSION)
            new.rename(target)
        finally:
            new.unlink(missing_ok=True)
    return True


def _make_directory(directory: Path, blobs: Blobs) -> None:
    if not directory.is_dir():
        directory.mkdir(parents=True, exist_ok=True)
        sync_directory(blobs.archive)
        sync_directory(blobs.store)


def _remove(blobs: Blobs, path: Path, *, other: Path) -> None:
    """Remove one of a blob's two files; both were there, and the other one is right."""
    with exclusive(blobs.store), writing_to(blobs.store):
        # Another call may have removed the other one meanwhile.
        if other.exists():
            # A name is durable only after its directory is synced, whoever has made it.
            sync_directory(other.parent)
            path.unlink(missing_ok=True)

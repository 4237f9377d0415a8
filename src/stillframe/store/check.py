"""Check a store, and repair what can be repaired: `still doctor STORE`.

Repair never removes what may still be of use: a damaged blob or catalog is put aside, in DIR/damaged/. A state whose
snapshot cannot be restored loses it, and says why; it may still be had by replay.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from stillframe.errors import CorruptBlob, MissingBlob, SnapshotRefused, StoreDamaged
from stillframe.store.blobs import Blobs, is_digest
from stillframe.store.catalog import MIGRATIONS, TABLES, StateRow
from stillframe.store.disk import sync_directory, write_file, writing_to
from stillframe.store.keys import is_private
from stillframe.store.opened import FIRST_LINE, VERSION, Store, check_version
from stillframe.store.prune import Progress, needed_blobs
from stillframe.store.sealed import SEAL_BYTES, Sealed, seal_of

Weight = Literal["note", "warning", "error"]


class Finding(msgspec.Struct, frozen=True):
    """One thing that was found in a store."""

    weight: Weight
    """note: worth knowing. warning: nothing is lost. error: something cannot be had as it was stored."""
    what: str
    """A sentence: what, which, why."""
    remedy: str = ""
    is_repaired: bool = False

    def __str__(self) -> str:
        return f"{self.weight}: {self.what} {'Repaired.' if self.is_repaired else self.remedy}".rstrip()


def check(
    path: str | os.PathLike[str],
    *,
    repair: bool = False,
    verify: bool = True,
    progress: Progress | None = None,
) -> list[Finding]:
    """Look through a store. Empty: all is well. `verify` reads every blob (1 s per GB), else only sizes are looked at.

    Without `repair` nothing is written, and a server may run. With it the store must not be in use: StoreInUse.
    Raises StoreTooNew, StoreError (no store there), StoreReadOnly.
    """
    place = Path(path).resolve()
    findings: list[Finding] = []
    try:
        check_version(place)
    except StoreDamaged as error:
        if repair:
            with writing_to(place):
                write_file(place / "version", b"%s%d\n" % (FIRST_LINE, VERSION))
        findings.append(Finding("warning", error.message, error.hint, repair))
        if not repair:
            return findings
    try:
        store = Store.open(place, create=False, writer=repair)
    except StoreDamaged as error:
        if not repair:
            return [*findings, Finding("error", error.message, error.hint)]
        findings += _salvage(place, error)
        store = Store.open(place, create=False)
    with store:
        findings += _key(store, repair)
        try:
            findings += _states(store, repair)
            findings += _blobs(store, repair, verify, progress)
        except StoreDamaged as error:
            # A row that is not as it was written shows only when it is read.
            findings.append(Finding("error", error.message, error.hint))
            if not repair:
                return findings
            store.close()
            findings[-1:] = _salvage(place, error)
            return findings + check(place, repair=True, verify=verify, progress=progress)
    return findings


# --- the key


def _key(store: Store, repair: bool) -> Iterator[Finding]:
    path = store.path / "key"
    if not path.exists():
        if store.catalog.snapshots():
            yield from _new_key(store, repair, f"the key of the store {store.path} is gone.")
        return
    if not is_private(path):
        if repair:
            path.chmod(0o600)
        yield Finding("warning", f"others may read the store's key ({path}).", f"chmod 600 {path}", repair)
    try:
        store.key()
    except StoreDamaged as error:
        if repair:
            _put_aside(store.path, path)
        yield from _new_key(store, repair, error.message)


def _new_key(store: Store, repair: bool, what: str) -> Iterator[Finding]:
    """A lost key signs no more. What it has signed here goes on to be trusted, by its public key."""
    if repair:
        for public in sorted({store.catalog.signed(digest).key for digest in store.catalog.snapshots()}):
            store.catalog.trust_key(public, "the key that this store had before it was repaired")
        store.key()
    yield Finding("error", what, "Put back a copy of it, or run `still doctor --repair`.", repair)


# --- the catalog


def _states(store: Store, repair: bool) -> Iterator[Finding]:
    """What the rows say of each other, and whether each snapshot's record is sound and signed."""
    catalog = store.catalog
    rows = catalog.states()
    ids = {row.id for row in rows}
    for name, state_id in catalog.names().items():
        if state_id not in ids:
            if repair:
                catalog.remove_name(name)
            yield Finding("error", f"the name {name!r} points to a state that is not there.", _AGAIN, repair)
    for row in rows:
        if row.parent and row.parent not in ids:
            if repair:
                lost = f"its parent {row.parent} is lost"
                mended = msgspec.structs.replace(row, parent=None, obstacles=[*row.obstacles, lost])
                catalog.add_state(msgspec.structs.replace(mended, outputs=catalog.outputs(row.id)))
            yield Finding("error", f"the parent of state {_called(row)} is not there.", _AGAIN, repair)
        if row.snapshot:
            try:
                catalog.get_snapshot(row.snapshot)
            except SnapshotRefused as error:
                yield Finding("error", f"state {_called(row)}: {error.message}", error.hint)


_AGAIN = "Run `still doctor --repair`."


def _called(row: StateRow) -> str:
    return row.names[0] if row.names else row.id


# --- the blobs


def _blobs(store: Store, repair: bool, verify: bool, progress: Progress | None) -> list[Finding]:
    findings: list[Finding] = []
    needed = needed_blobs(store.catalog)
    present = set(store.blobs.digests())
    broken: dict[str, str] = {}
    damaged: dict[Path, SnapshotRefused] = {}
    verified: dict[str, str] = {}
    for done, digest in enumerate(sorted(needed | present)):
        damage, token = _look_at(store.blobs, digest, verify)
        damaged |= damage
        if not token:
            broken[digest] = next(iter(damage.values())).message
        elif verify and not damage:
            verified[digest] = token
        if progress is not None:
            progress(done + 1, len(needed | present))
    if repair and verified:
        store.catalog.set_tokens(verified)
    for path, error in damaged.items():
        if repair and path.exists():
            _put_aside(store.path, path)
        # Of a blob that is archived and expanded one file is enough.
        weight: Weight = "error" if path.name in needed and path.name in broken else "warning"
        findings.append(Finding(weight, error.message, _AGAIN, repair))
    findings += _broken_snapshots(store, broken, repair)
    unneeded = len(present - needed)
    if unneeded:
        what = f"{unneeded:,} blobs are needed by no snapshot."
        findings.append(Finding("note", what, "Remove them: `still prune`."))
    findings += _strangers(store)
    return findings


def _look_at(blobs: Blobs, digest: str, verify: bool) -> tuple[dict[Path, SnapshotRefused], str]:
    """What is wrong with each of a blob's files, and the token that it has; none where none of them is right."""
    damage: dict[Path, SnapshotRefused] = {}
    token = ""
    try:
        found = blobs.token(digest)
        for path in blobs.files(digest):
            try:
                if path == blobs.path(digest):
                    blobs.verify(digest) if verify else blobs.size(digest)
                else:
                    blobs.verify_archived(path, digest, is_quick=not verify)
                token = found
            except CorruptBlob as error:
                damage[path] = error
    except MissingBlob as error:
        damage[blobs.path(digest)] = error
    return damage, token


def _broken_snapshots(store: Store, broken: dict[str, str], repair: bool) -> Iterator[Finding]:
    for row in store.catalog.states() if broken else ():
        if not row.snapshot:
            continue
        lost = sorted(store.catalog.signed(row.snapshot).record.blobs() & set(broken))
        if lost:
            if repair:
                store.catalog.drop_snapshot(row.id, f"its snapshot was damaged: {broken[lost[0]]}")
            what = (
                f"state {_called(row)} cannot be restored: {len(lost)} of its blobs are missing or damaged."
            )
            yield Finding("error", what, "It can be had by replay only.", repair)


def _strangers(store: Store) -> Iterator[Finding]:
    """Files that are no blobs, and what a crash has left."""
    archived = store.blobs.archive.iterdir() if store.blobs.archive.is_dir() else ()
    for directory in sorted([*store.blobs.directory.iterdir(), *archived]):
        names = os.listdir(directory) if directory.is_dir() else [""]
        for name in sorted(names):
            if not is_digest(name) or name[:2] != directory.name:
                yield Finding(
                    "warning", f"{directory / name} is no blob.", "Look whose it is, and move it away."
                )
    left = [path for path in store.blobs.new.iterdir() if time.time() - path.stat().st_mtime > 3600]
    if left:
        yield Finding(
            "note", f"{len(left)} files in {store.blobs.new} have no name.", "The next server removes them."
        )


# --- repair


def _put_aside(place: Path, path: Path) -> None:
    """Move a file into DIR/damaged/, beside what is there already."""
    aside = place / "damaged"
    with writing_to(place):
        aside.mkdir(exist_ok=True)
        target, number = aside / path.name, 0
        while target.exists():
            number += 1
            target = aside / f"{path.name}.{number}"
        os.rename(path, target)
        sync_directory(aside)
        sync_directory(path.parent)


def _salvage(place: Path, damage: StoreDamaged) -> list[Finding]:
    """A new catalog from the rows of a damaged one whose seals are right; the damaged one is put aside."""
    old, new = place / "catalog.sqlite", place / "catalog.mended.sqlite"
    if not old.exists():
        return [Finding("error", damage.message, damage.hint)]
    for leftover in place.glob("catalog.mended.*"):
        leftover.unlink()
    kept = {table: list(_sound_rows(old, table)) for table in TABLES}
    rows = Sealed(new, TABLES, MIGRATIONS, writer=True)
    try:
        with rows.transaction():
            for table, found in kept.items():
                for key, value in found:
                    rows.put(table, key, value)
    finally:
        rows.close()
    # The old one's log belongs to it, and must not be taken for the new one's.
    for path in sorted(place.glob("catalog.sqlite*")):
        _put_aside(place, path)
    for note in (old, new):
        note.with_suffix(".commits").unlink(missing_ok=True)
    with writing_to(place):
        os.rename(new, old)
        sync_directory(place)
    states = {key for key, _ in kept["states"]}
    what = f"{damage.message} {len(states):,} states were sound and are kept; the old one is in {place / 'damaged'}."
    return [Finding("error", what, "", is_repaired=True)]


def _sound_rows(path: Path, table: str) -> Iterator[tuple[str, bytes]]:
    """The rows whose seals are right, as far as SQLite can read the table from either end."""
    found: dict[str, bytes] = {}
    for order in ("ASC", "DESC"):
        with contextlib.suppress(sqlite3.Error, UnicodeDecodeError):
            connection = sqlite3.connect(path, isolation_level=None)
            try:
                for row in connection.execute(f"SELECT key, seal, value FROM {table} ORDER BY seq {order}"):
                    key, seal, value = row
                    is_whole = isinstance(key, str) and isinstance(value, bytes) and isinstance(seal, bytes)
                    if is_whole and seal_of(table, key, value).to_bytes(SEAL_BYTES, "big") == seal:
                        found.setdefault(key, value)
            finally:
                connection.close()
    yield from found.items()

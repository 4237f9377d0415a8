"""Tables whose rows are sealed: what is read is what was written, or StoreDamaged is raised.

SQLite keeps no checksums of its pages; a flipped bit in a text would be read as another text, and one in the page
of an index would hide a row. So each row carries a seal, the digest of its table, key and value; and one row more
carries the exclusive or of all seals and the number of commits. A row that is changed, missing or too many is seen
without trusting any index: there is none, the keys are held in memory.

    tables   seq INTEGER PRIMARY KEY, key TEXT, seal BLOB, value BLOB     the seal first: it is read without the value
    sealing  id = 1, total BLOB, commits INTEGER

A torn end of the log is how a power cut looks, and SQLite drops it without a word; so does a flipped bit in the
log. To tell them apart the number of the last commit is noted in a file after it is durable: a catalog that knows
of fewer commits than that has lost some.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from blake3 import blake3

from stillframe.errors import StoreDamaged, StoreError, StoreFull, StoreReadOnly, StoreTooNew

SEAL_BYTES = 16
_BUSY_S = 30.0
_LOG_PAGES = 256
"""Above this the log is copied into the catalog's file: 1 MiB."""


class Migration(NamedTuple):
    """What brings a catalog from one version of the schema to the next."""

    version: int
    """The one that it leads to."""
    script: str
    rewrite: Callable[[Sealed], None] | None = None
    """Changes rows, by get() and put(), after the script."""


class Place(NamedTuple):
    """Where a row is, and the seal that it must have."""

    seq: int
    seal: int


def seal_of(table: str, key: str, value: bytes) -> int:
    """The seal of a row. 1 µs."""
    name = key.encode("utf-8", "surrogatepass")
    hasher = blake3(b"%s\n%d\n" % (table.encode(), len(name)))
    hasher.update(name)
    hasher.update(value)
    return int.from_bytes(hasher.digest(SEAL_BYTES), "big")


class Sealed:
    """The sealed tables of one SQLite file. May be used by several threads, one at a time."""

    def __init__(
        self, path: Path, tables: tuple[str, ...], migrations: tuple[Migration, ...], *, writer: bool
    ) -> None:
        self.path = path
        self._tables = tables
        self._lock = threading.RLock()
        self._is_in_transaction = self._is_writing = False
        self._noted = path.with_suffix(".commits")
        self._places: dict[str, dict[str, Place]] = {}
        self._total = self._commits = 0
        self._version: int | None = None
        self._is_changed = False
        with self.told():
            self.connection = _connect(path, writer)
        try:
            with self.told():
                self._migrate(migrations, writer)
            # Before the rows: a writer beside this one notes a commit after it has made it.
            noted = self._noted_commits()
            self._version = None
            with self.reading():
                pass
            if noted > self._commits:
                raise self.damage(f"its log has lost {noted - self._commits} changes that were stored")
        except BaseException:
            self.connection.close()
            raise

    def close(self) -> None:
        """Close; the log is copied into the file first, if nobody else has it open."""
        with self._lock:
            self.connection.close()

    # --- opening

    def _migrate(self, migrations: tuple[Migration, ...], writer: bool) -> None:
        version = self.connection.execute("PRAGMA user_version").fetchone()[0]
        latest = migrations[-1].version
        if version > latest:
            raise StoreTooNew(
                f"the catalog of the store {self.path.parent} has version {version}; this stillframe knows versions "
                f"up to {latest}.",
                "Use the newer stillframe that made it. Nothing was touched.",
                store=str(self.path.parent),
            )
        if version == latest:
            return
        if not writer:
            raise StoreError(
                f"the catalog of the store {self.path.parent} has version {version}, and must be brought to {latest}.",
                "Open it once for writing, by `still serve --store` or `still doctor`.",
                store=str(self.path.parent),
            )
        if version == 0 and self.connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            raise self.damage("it is no catalog")
        self.connection.execute("BEGIN IMMEDIATE")
        self._is_in_transaction = self._is_writing = True
        try:
            for migration in (migration for migration in migrations if migration.version > version):
                for statement in migration.script.split(";"):
                    self.connection.execute(statement)
                self._load()
                if migration.rewrite is not None:
                    migration.rewrite(self)
            self.connection.execute(f"PRAGMA user_version = {latest}")
            self._commit()
        finally:
            self._is_in_transaction = self._is_writing = False

    def _load(self) -> None:
        """The keys and seals of all rows. About 15 ms for 10,000."""
        # Until all of it is read, nothing of it counts.
        self._version = None
        version, total = self._data_version(), 0
        found: dict[str, dict[str, Place]] = {}
        for table in self._tables:
            places = found[table] = {}
            for seq, key, seal in self.connection.execute(f"SELECT seq, key, seal FROM {table} ORDER BY seq"):
                if not isinstance(key, str) or not isinstance(seal, bytes) or key in places:
                    raise self.damage(f"row {seq} of {table} is not as it was written")
                places[key] = Place(seq, int.from_bytes(seal, "big"))
                total ^= places[key].seal
        rows = self.connection.execute("SELECT total, commits FROM sealing WHERE id = 1").fetchall()
        if len(rows) != 1 or not isinstance(rows[0][0], bytes) or not isinstance(rows[0][1], int):
            raise self.damage("it has no seal")
        if int.from_bytes(rows[0][0], "big") != total:
            raise self.damage("rows are missing, or are not as they were written")
        self._places, self._total, self._commits, self._version = found, total, rows[0][1], version

    def _noted_commits(self) -> int:
        """The number of the last commit that was noted; 0 where none is, or not whole: it is written without a sync."""
        try:
            text = self._noted.read_text("ascii")
        except (FileNotFoundError, UnicodeDecodeError):
            return 0
        number = text.rstrip("\n")
        return int(number) if number.isdecimal() and text.endswith("\n") else 0

    def _data_version(self) -> int:
        return int(self.connection.execute("PRAGMA data_version").fetchone()[0])

    # --- errors

    def damage(self, why: str) -> StoreDamaged:
        """The error for a catalog that is not as it was written."""
        return StoreDamaged(
            f"the catalog {self.path} is damaged: {why}.",
            "Run `still doctor --repair` on the store: it keeps all that is sound. Nothing was changed.",
            store=str(self.path.parent),
        )

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """What SQLite says inside is raised as an error of ours."""
        store = str(self.path.parent)
        try:
            yield
        except sqlite3.OperationalError as error:
            name = getattr(error, "sqlite_errorname", "")
            if name.startswith("SQLITE_FULL"):
                raise StoreFull(
                    f"the store {store} has no room for the catalog's next change.",
                    "The change was not made. Make room, or run `still prune`.",
                    store=store,
                ) from error
            if name.startswith(("SQLITE_READONLY", "SQLITE_PERM")):
                raise StoreReadOnly(
                    f"the catalog {self.path} cannot be written to: {error}.",
                    "Give this user the right to write there, or choose another store.",
                    store=store,
                ) from error
            if name.startswith(
                ("SQLITE_IOERR", "SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CANTOPEN", "SQLITE_NOMEM")
            ):
                raise StoreError(
                    f"the catalog {self.path} could not be used: {error} ({name}).",
                    "Look at the disk, and whether another program has the file open.",
                    store=store,
                ) from error
            raise self.damage(str(error)) from error
        except (sqlite3.DatabaseError, UnicodeDecodeError, OverflowError) as error:
            raise self.damage(str(error)) from error

    # --- reading

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Rows read inside are of one moment, and what another process has written is seen."""
        with self._lock, self.told():
            if self._is_in_transaction:
                yield
                return
            self.connection.execute("BEGIN")
            self._is_in_transaction = True
            try:
                # A read is what begins a deferred transaction; only then is the version that of what is read.
                self.connection.execute("SELECT commits FROM sealing").fetchall()
                if self._data_version() != self._version:
                    self._load()
                yield
            finally:
                self._is_in_transaction = False
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")

    def keys(self, table: str) -> list[str]:
        """The keys of a table, in the order in which they were added."""
        with self.reading():
            return list(self._places[table])

    def has(self, table: str, key: str) -> bool:
        """Whether there is a row with this key."""
        with self.reading():
            return key in self._places[table]

    def get(self, table: str, key: str) -> bytes | None:
        """The value of a key, or None."""
        with self.reading():
            place = self._places[table].get(key)
            if place is None:
                return None
            row = self.connection.execute(
                f"SELECT key, value FROM {table} WHERE seq = ?", (place.seq,)
            ).fetchone()
            if row is None:
                raise self.damage(f"row {place.seq} of {table} is missing")
            return self._checked(table, key, row[0], row[1], place.seal)

    def items(self, table: str) -> list[tuple[str, bytes]]:
        """All keys and values of a table, in the order in which they were added."""
        with self.reading():
            places = self._places[table]
            found = []
            for key, value in self.connection.execute(f"SELECT key, value FROM {table} ORDER BY seq"):
                if key not in places:
                    raise self.damage(f"{table} has a row too many")
                found.append((key, self._checked(table, key, key, value, places[key].seal)))
            if len(found) != len(places):
                raise self.damage(f"rows of {table} are missing")
            return found

    def _checked(self, table: str, key: str, found: object, value: object, seal: int) -> bytes:
        if found != key or not isinstance(value, bytes) or seal_of(table, key, value) != seal:
            raise self.damage(f"the row {key!r} of {table} is not as it was written")
        return value

    # --- writing

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """What is written inside becomes durable together at the end, or not at all if it raises."""
        with self._lock:
            if self._is_writing:
                yield
                return
            assert not self._is_in_transaction, "what is read only cannot be written to in the middle"
            with self.told():
                self.connection.execute("BEGIN IMMEDIATE")
            self._is_in_transaction = self._is_writing = True
            try:
                with self.told():
                    if self._data_version() != self._version:
                        self._load()
                yield
                with self.told():
                    self._commit()
            except BaseException:
                self._take_back()
                raise
            finally:
                self._is_in_transaction = self._is_writing = False

    def _commit(self) -> None:
        if not self._is_changed:
            self.connection.execute("COMMIT")
            return
        self._commits += 1
        self.connection.execute(
            "UPDATE sealing SET total = ?, commits = ? WHERE id = 1",
            (self._total.to_bytes(SEAL_BYTES, "big"), self._commits),
        )
        self.connection.execute("COMMIT")
        self._is_changed = False
        self._note()

    def _take_back(self) -> None:
        self._is_changed = False
        # A disk that refused may refuse this too; the error under way says what happened.
        with contextlib.suppress(sqlite3.Error):
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
        with contextlib.suppress(sqlite3.Error, StoreDamaged):
            self._load()  # and if not now, then when it is read next

    def _note(self) -> None:
        """Note the number of the last commit: after it is durable, so that the note is never ahead of the disk."""
        with contextlib.suppress(OSError):
            descriptor = os.open(self._noted, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                os.pwrite(descriptor, b"%020d\n" % self._commits, 0)
            finally:
                os.close(descriptor)

    def touch(self) -> None:
        """Say that something else than a sealed row was changed. Inside transaction()."""
        self._is_changed = True

    def put(self, table: str, key: str, value: bytes) -> None:
        """Write a row, or replace the value of one. Inside transaction()."""
        assert self._is_writing, "a row is written in a transaction"
        seal = seal_of(table, key, value)
        data = seal.to_bytes(SEAL_BYTES, "big")
        place = self._places[table].get(key)
        with self.told():
            if place is None:
                insert = f"INSERT INTO {table} (key, seal, value) VALUES (?, ?, ?)"
                seq = self.connection.execute(insert, (key, data, value)).lastrowid
                assert seq is not None
            else:
                seq = place.seq
                update = f"UPDATE {table} SET seal = ?, value = ? WHERE seq = ?"
                if self.connection.execute(update, (data, value, seq)).rowcount != 1:
                    raise self.damage(f"row {seq} of {table} is missing")
        self._is_changed = True
        self._total ^= seal ^ (place.seal if place else 0)
        self._places[table][key] = Place(seq, seal)

    def delete(self, table: str, key: str) -> bool:
        """Remove a row. Whether there was one. Inside transaction()."""
        assert self._is_writing, "a row is removed in a transaction"
        place = self._places[table].get(key)
        if place is None:
            return False
        with self.told():
            if self.connection.execute(f"DELETE FROM {table} WHERE seq = ?", (place.seq,)).rowcount != 1:
                raise self.damage(f"row {place.seq} of {table} is missing")
        self._is_changed = True
        self._total ^= place.seal
        del self._places[table][key]
        return True


def _connect(path: Path, writer: bool) -> sqlite3.Connection:
    mode = "rwc" if writer else "ro"
    if not writer and not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists():
        # A log needs a file beside it, which cannot be made here; and none is there.
        mode = "ro&immutable=1"
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        timeout=_BUSY_S,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.text_factory = str
        if writer:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            # The log is synced at each commit: what was acknowledged survives a power cut.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}").fetchall()
        # A hostile file runs nothing: no triggers, views or functions of its own.
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
    except BaseException:
        connection.close()
        raise
    return connection

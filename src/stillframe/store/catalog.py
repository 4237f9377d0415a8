"""The catalog: which states there are, what they are called, and which snapshot each has. One SQLite file, in WAL mode.

    states      by id: a StateRow, as JSON, without its outputs
    outputs     by state id: JSON
    names       by name: the id of the state that it points to
    snapshots   by digest: the record, the key that signed it, and the signature
    keys        by public key: a TrustedKey, why and since when it is
    verified    by blob: the token that its file had when its bytes were last verified; a cache, not sealed

Invariants:
  * What a method wrote is durable when it returns, or when the transaction() around it ends.
  * A snapshot is in the catalog only if all its blobs are in the store, and they were durable before.
  * A snapshot whose last state is forgotten is forgotten with it; prune takes its blobs.
  * What is read is what was written (sealed.py), and a snapshot is handed out only if its signature is right and
    from the store's own key or a trusted one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from stillframe.errors import (
    BadRequest,
    CorruptSnapshot,
    StateNotFound,
    StoreDamaged,
    StoreError,
    StoreReadOnly,
    UntrustedSnapshot,
)
from stillframe.model import Kind, TrustedKey
from stillframe.store.blobs import Blobs
from stillframe.store.keys import Key, is_public_key, is_signed
from stillframe.store.locks import shared
from stillframe.store.sealed import Migration, Sealed
from stillframe.store.snapshots import Record, decode, encode, snapshot_digest

TABLES = ("states", "outputs", "names", "snapshots", "keys")
MIGRATIONS = (
    Migration(
        1,
        "CREATE TABLE sealing (id INTEGER PRIMARY KEY, total BLOB NOT NULL, commits INTEGER NOT NULL);"
        "INSERT INTO sealing VALUES (1, zeroblob(16), 0);"
        "CREATE TABLE verified (blob TEXT PRIMARY KEY, token TEXT NOT NULL) WITHOUT ROWID;"
        + ";".join(
            f"CREATE TABLE {table} "
            "(seq INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, seal BLOB NOT NULL, value BLOB NOT NULL)"
            for table in TABLES
        ),
    ),
)
"""Every version of the schema there ever was, the first one first; each is brought to the last one at opening."""


class StateRow(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What the catalog knows of a state. It says what the state is, and nothing of processes."""

    id: str
    parent: str | None = None
    code: str = ""
    created: str = ""
    """In UTC, as ISO 8601."""
    duration_s: float = 0.0
    outputs: list[dict[str, Any]] = []
    """As add_state() is given them; states() leaves them out, outputs() has them."""
    output_digest: str = ""
    effects: list[str] = []
    hazards: list[str] = []
    unbranchable: list[str] = []
    fork_depth: int = 0
    kind: Kind = "cell"
    snapshot: str = ""
    """Its digest; empty: none."""
    obstacles: list[str] = []
    """Why it has no snapshot: each with its path from a variable."""
    pinned: bool = False
    used: str = ""
    """When it was last used, in UTC, as ISO 8601."""
    names: list[str] = []
    details: dict[str, Any] = {}
    """What else the engine keeps with it, as JSON; the store does not look at it."""


class Signed(msgspec.Struct, frozen=True):
    """A snapshot's record, and who says that it is what was captured."""

    record: Record
    key: str
    """The public key, in hexadecimal."""
    signature: str
    """In hexadecimal."""

    def is_right(self, digest: str) -> bool:
        """Whether this is the snapshot `digest`, and the key's holder has signed it."""
        try:
            signature = bytes.fromhex(self.signature)
        except ValueError:
            return False
        return snapshot_digest(self.record) == digest and is_signed(digest, self.key, signature)


class Catalog:
    """The catalog of an open store. Several threads may use it; each call, or transaction, has it to itself."""

    def __init__(self, path: Path, blobs: Blobs, key: Callable[[], Key], *, writer: bool) -> None:
        """`key` gets the store's own key."""
        self._blobs = blobs
        self._key = key
        self._is_writer = writer
        self._inside = threading.local()
        self._rows = Sealed(path, TABLES, MIGRATIONS, writer=writer)

    def close(self) -> None:
        """Close the file. Nothing that was written is lost."""
        self._rows.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside becomes durable together when it ends: one sync instead of many.

        If it raises, nothing of it was written.
        """
        if not self._is_writer:
            store = str(self._blobs.store)
            raise StoreReadOnly(
                f"the store {store} is open for reading only.", "Open it as its writer.", store=store
            )
        if getattr(self._inside, "is_writing", False):
            yield
            return
        # Nobody removes blobs before what names them is committed. This lock is taken first: a prune by another
        # thread holds it while it reads the catalog.
        with shared(self._blobs.store), self._rows.transaction():
            self._inside.is_writing = True
            try:
                yield
            finally:
                self._inside.is_writing = False

    @contextmanager
    def reading(self) -> Iterator[None]:
        """What is read inside is of one moment, whatever others write meanwhile. Nothing may be written inside."""
        with self._rows.reading():
            yield

    # --- states

    def add_state(self, row: StateRow) -> None:
        """Add a state, its outputs and its names; or replace the one with this id."""
        with self.transaction():
            plain = msgspec.structs.replace(row, outputs=[], names=[])
            self._rows.put("states", row.id, msgspec.json.encode(plain))
            if row.outputs:
                self._rows.put("outputs", row.id, msgspec.json.encode(row.outputs))
            else:
                self._rows.delete("outputs", row.id)
            for name in row.names:
                self.bind_name(name, row.id)

    def states(self) -> list[StateRow]:
        """All states, in the order in which they were added, with their names and without outputs. 10,000: 0.1 s."""
        with self._rows.reading():
            rows = {key: self._decoded(value) for key, value in self._rows.items("states")}
            for name, state_id in self._rows.items("names"):
                row = rows.get(state_id.decode())
                if row is not None:
                    row.names.append(name)
        return list(rows.values())

    def state(self, state_id: str) -> StateRow:
        """One state, without outputs and names. Raises StateNotFound."""
        value = self._rows.get("states", state_id)
        if value is None:
            raise StateNotFound(f"the store {self._blobs.store} has no state {state_id!r}.")
        return self._decoded(value)

    def outputs(self, state_id: str) -> list[dict[str, Any]]:
        """What the state's cell has put out."""
        value = self._rows.get("outputs", state_id)
        return [] if value is None else msgspec.json.decode(value, type=list[dict[str, Any]])

    def _decoded(self, value: bytes) -> StateRow:
        try:
            return msgspec.json.decode(value, type=StateRow)
        except msgspec.MsgspecError as error:
            raise self._rows.damage(f"a state cannot be read ({error})") from error

    def describe_state(
        self, state_id: str, hazards: list[str], unbranchable: list[str], obstacles: list[str], pinned: bool
    ) -> None:
        """Note what became known of a state after it was added, or was decided. An unknown state is ignored."""
        self._change(state_id, hazards=hazards, unbranchable=unbranchable, obstacles=obstacles, pinned=pinned)

    def set_used(self, used: dict[str, str]) -> None:
        """Note when states were last used, by id. Unknown ones are ignored."""
        with self.transaction():
            for state_id, when in used.items():
                self._change(state_id, used=when)

    def _change(self, state_id: str, **fields: Any) -> None:
        with self.transaction():
            value = self._rows.get("states", state_id)
            # A state may have been forgotten while something was found out about it.
            if value is not None:
                row = msgspec.structs.replace(self._decoded(value), **fields)
                self._rows.put("states", state_id, msgspec.json.encode(row))

    def forget_states(self, ids: Iterable[str] | None = None) -> None:
        """Forget these states, or all, with their names, and their snapshots unless another state has them too.

        Their blobs stay until prune.
        """
        with self.transaction():
            gone = set(self._rows.keys("states") if ids is None else ids)
            for name, target in self.names().items():
                if target in gone:
                    self._rows.delete("names", name)
            dropped = set()
            for state_id in gone & set(self._rows.keys("states")):
                dropped.add(self.state(state_id).snapshot)
                self._rows.delete("states", state_id)
                self._rows.delete("outputs", state_id)
            self._drop_snapshots(dropped)

    def _drop_snapshots(self, digests: set[str]) -> None:
        """Forget those of the snapshots that no state has."""
        if digests - {""}:
            needed = {self._decoded(value).snapshot for _, value in self._rows.items("states")}
            for digest in digests - needed:
                self._rows.delete("snapshots", digest)

    # --- names

    def bind_name(self, name: str, state_id: str) -> None:
        """Have the name point to the state, wherever it pointed to before. An unknown state is ignored."""
        with self.transaction():
            if self._rows.has("states", state_id):
                self._rows.put("names", name, state_id.encode())

    def remove_name(self, name: str) -> None:
        """Forget the name, if there is one; its state stays."""
        with self.transaction():
            self._rows.delete("names", name)

    def names(self) -> dict[str, str]:
        """All names, each with the id of its state."""
        return {name: state_id.decode() for name, state_id in self._rows.items("names")}

    # --- snapshots

    def add_snapshot(self, state_id: str, record: Record) -> str:
        """Give the state this snapshot, signed by the store's key. Returns its digest.

        The blobs must be durable: write_snapshot, or put. Raises, before anything is written: MissingBlob if one is
        not there (any more: a prune beside this may have taken one that nobody needed until now; capture again),
        StateNotFound.
        """
        digest = snapshot_digest(record)
        with self.transaction():
            before = self.state(state_id).snapshot
            # Those that were written just now were hashed from memory, and are since as they were synced.
            tokens = {blob: self._blobs.token(blob) for blob in record.blobs()}
            self._add_record(digest, record, tokens)
            self._change(state_id, snapshot=digest, obstacles=[])
            if before != digest:
                self._drop_snapshots({before})
        return digest

    def _add_record(self, digest: str, record: Record, tokens: dict[str, str]) -> None:
        key = self._key()
        signed = Signed(record, key.public, key.sign(digest).hex())
        self._rows.put("snapshots", digest, msgspec.json.encode(signed))
        with self._rows.told():
            # Those that are known keep the token of their last verification.
            self._rows.connection.executemany("INSERT OR IGNORE INTO verified VALUES (?, ?)", tokens.items())

    def take(self, rows: list[StateRow], records: dict[str, Record]) -> None:
        """Add states that come from elsewhere, parents first, and those snapshots (by state id), all or nothing.

        States that are known already stay as they are, and get a snapshot only if they have none. The snapshots
        are signed with the store's own key: whoever calls this has checked that they may be trusted, and that
        their blobs are durable. Raises MissingBlob.
        """
        with self.transaction():
            known = set(self._rows.keys("states"))
            for row in rows:
                if row.id not in known:
                    self.add_state(msgspec.structs.replace(row, snapshot="", names=[]))
            for state_id, record in records.items():
                if self.state(state_id).snapshot:
                    continue
                for blob in record.blobs():
                    self._blobs.size(blob)  # raises MissingBlob
                digest = snapshot_digest(record)
                self._add_record(digest, record, {})
                self._change(state_id, snapshot=digest, obstacles=[])

    def drop_snapshot(self, state_id: str, obstacle: str) -> None:
        """Take a snapshot that cannot be restored from its state, and note why."""
        with self.transaction():
            row = self.state(state_id)
            self._change(state_id, snapshot="", obstacles=[*row.obstacles, obstacle])
            self._drop_snapshots({row.snapshot})

    def get_snapshot(self, digest: str) -> Record:
        """The record of a snapshot; its signature is right, and trusted. Raises UntrustedSnapshot, CorruptSnapshot."""
        signed = self.signed(digest)
        self.check_trust(digest, signed)
        return signed.record

    def signed(self, digest: str) -> Signed:
        """The record with its signature, neither checked."""
        value = self._rows.get("snapshots", digest)
        if value is None:
            raise CorruptSnapshot(
                f"the store {self._blobs.store} has no snapshot {digest[:12]}.",
                "Run `still doctor` on the store.",
            )
        try:
            signed = msgspec.json.decode(value, type=Signed)
        except msgspec.MsgspecError as error:
            raise self._rows.damage(f"a snapshot cannot be read ({error})") from error
        return msgspec.structs.replace(signed, record=decode(encode(signed.record)))

    def snapshots(self) -> list[str]:
        """The digests of all snapshots."""
        return self._rows.keys("snapshots")

    # --- trust

    def check_trust(self, digest: str, signed: Signed) -> None:
        """Raise UntrustedSnapshot unless the signature is right, and from a key that is trusted here."""
        if not signed.is_right(digest):
            raise UntrustedSnapshot(
                f"the signature of snapshot {digest[:12]} is wrong: it is not what was signed, or by nobody.",
                "Do not restore it. Get it again from where it was made.",
                key=signed.key,
            )
        if not self.is_trusted(signed.key):
            raise UntrustedSnapshot(
                f"snapshot {digest[:12]} is signed by the key {signed.key[:16]}…, which is not trusted here. To "
                "restore a snapshot is to run what is in it.",
                f"If you know whose it is: `still trust {signed.key}`, or import it with --trust.",
                key=signed.key,
            )

    def is_trusted(self, public: str) -> bool:
        """Whether snapshots that this key has signed are restored here."""
        if self._rows.has("keys", public):
            return True
        try:
            return public == self._key().public
        except StoreDamaged:
            raise
        except StoreError:
            return False  # who only reads may have no right to read the key

    def trust_key(self, public: str, comment: str) -> None:
        """Trust whoever holds this key: what they have captured runs here when it is restored."""
        if not is_public_key(public):
            raise BadRequest(f"{public[:80]!r} is no public key.", "It should be 64 hexadecimal digits.")
        with self.transaction():
            added = datetime.now(UTC).isoformat(timespec="seconds")
            self._rows.put("keys", public, msgspec.json.encode(TrustedKey(public, comment, added)))

    def distrust_key(self, public: str) -> bool:
        """No longer trust the key. Whether it was trusted."""
        with self.transaction():
            return self._rows.delete("keys", public)

    def trusted_keys(self) -> list[TrustedKey]:
        """The keys that are trusted besides the store's own."""
        return [msgspec.json.decode(value, type=TrustedKey) for _, value in self._rows.items("keys")]

    # --- verification

    def tokens(self, digests: Iterable[str]) -> dict[str, str]:
        """The tokens that these blobs had when they were last verified, as far as they were."""
        found = {}
        with self._rows.reading():
            for digest in digests:
                row = self._rows.connection.execute(
                    "SELECT token FROM verified WHERE blob = ?", (digest,)
                ).fetchone()
                if row is not None:
                    found[digest] = str(row[0])
        return found

    def set_tokens(self, tokens: dict[str, str]) -> None:
        """Note the tokens of blobs whose bytes were just verified; an empty one: forget it."""
        with self.transaction(), self._rows.told():
            self._rows.touch()
            for digest, token in tokens.items():
                self._rows.connection.execute("DELETE FROM verified WHERE blob = ?", (digest,))
                if token:
                    self._rows.connection.execute("INSERT INTO verified VALUES (?, ?)", (digest, token))

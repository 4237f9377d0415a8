"""A manifest: what is told of a state when it travels, in a file or from store to store. Its blobs follow it.

    Manifest
    ├── name        what the state is called
    ├── states      the rows of its lineage, each after its parent; the last one is the state
    ├── snapshots   records by state id: the state's own, and those of ancestors where they travel too
    └── blobs       the digests of all that it takes, with their sizes

    Signed          the manifest's bytes, the key of the store that they come from, and its signature

Invariants:
  * The signature covers every byte: the snapshots, and the cells too, because a replay runs them.
  * What comes from outside is checked before it is used, and nothing of it is stored before its signer is trusted.
  * A state that is known already stays as it is, whatever a manifest says of it.
  * Nothing is unpickled.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import msgspec

from stillframe.errors import (
    BadRequest,
    CannotCapture,
    CorruptBlob,
    CorruptSnapshot,
    IncompatibleSnapshot,
    MissingBlob,
    NameTaken,
    StateNotFound,
    UntrustedSnapshot,
)
from stillframe.model import INITIAL, Where
from stillframe.names import is_name
from stillframe.store.blobs import digest_of, is_digest
from stillframe.store.catalog import StateRow
from stillframe.store.fitness import Header, header_of, missing_packages, unfit
from stillframe.store.keys import MANIFEST, is_signed
from stillframe.store.opened import Store
from stillframe.store.snapshots import Record, decode, encode

FORMAT = 1
LONGEST_BYTES = 64 << 20
"""Of a signed manifest: it lies in memory while it is read."""
OUTPUTS_BYTES = 16 << 20
"""Outputs that travel with the cells; those of the youngest first."""
_AGAIN = "Get it again from where it was made."
_ID = re.compile(r"[0-9a-f]{32}")


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What travels of a state besides blobs."""

    format: int = FORMAT
    name: str
    created: str
    """When the manifest was made: in UTC, as ISO 8601."""
    states: list[StateRow]
    snapshots: dict[str, Record]
    blobs: dict[str, int]
    """Size in bytes by digest."""

    @property
    def state(self) -> StateRow:
        """The state that travels."""
        return self.states[-1]

    @property
    def size_bytes(self) -> int:
        """Of all blobs."""
        return sum(self.blobs.values())


class Signed(msgspec.Struct, frozen=True):
    """A manifest as it travels."""

    manifest: msgspec.Raw
    key: str
    """The public key of the store that it comes from, in hexadecimal."""
    signature: str
    """In hexadecimal."""


class Received(msgspec.Struct, frozen=True):
    """What came of a manifest: the state is there, or first these blobs are wanted."""

    name: str = ""
    """What the state is called here, once it is there."""
    id: str = ""
    missing: list[str] = []
    """Digests of blobs to send; then the manifest again."""
    taken_names: list[str] = []
    """Names of ancestors that other states have here; those ancestors came without them."""
    missing_packages: dict[str, str] = {}
    """Packages that it needs and that are not here, with the versions that it was made with."""


class _Format(msgspec.Struct):
    format: int


# --- making one


def manifest_of(store: Store, name: str, *, lineage: bool = False) -> bytes:
    """The signed manifest of the state that `name` points to. With `lineage`, ancestors' snapshots and names too.

    Raises StateNotFound; CannotCapture where the state has no snapshot; MissingBlob, CorruptBlob.
    """
    names = store.catalog.names()
    if name not in names:
        raise StateNotFound.among(name, names)
    rows = _lineage(store, names[name])
    if rows[-1].kind == "initial":
        raise BadRequest(f"{name!r} is a fresh interpreter: every kernel has one.", "Move a state made from it.")
    if not rows[-1].snapshot:
        why = f": {'; '.join(rows[-1].obstacles)}" if rows[-1].obstacles else ""
        raise CannotCapture(f"state {name!r} has no snapshot{why}.", "Only states that are stored can be moved.")
    travelling = rows if lineage else rows[-1:]
    records = {row.id: _record(store, row.snapshot) for row in travelling if row.snapshot}
    for record in records.values():
        store.check_blobs(record)
    digests = {digest for record in records.values() for digest in record.blobs()}
    manifest = Manifest(
        name=name,
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        states=_travelling(store, rows, lineage, name),
        snapshots=records,
        blobs={digest: store.blobs.size(digest) for digest in sorted(digests)},
    )
    return _signed(store, msgspec.json.encode(manifest))


def _record(store: Store, digest: str) -> Record:
    """A snapshot that is the store's own, or trusted by it; it may be open for reading only."""
    signed = store.catalog.signed(digest)
    if signed.key != store.key().public or not signed.is_right(digest):
        store.catalog.check_trust(digest, signed)
    return signed.record


def _signed(store: Store, data: bytes) -> bytes:
    key = store.key()
    return msgspec.json.encode(Signed(msgspec.Raw(data), key.public, key.sign(digest_of(data), MANIFEST).hex()))


def _lineage(store: Store, state_id: str) -> list[StateRow]:
    rows = {row.id: row for row in store.catalog.states()}
    found = [rows[state_id]]
    while (parent := found[-1].parent) is not None and parent in rows:
        found.append(rows[parent])
    return found[::-1]


def _travelling(store: Store, rows: list[StateRow], lineage: bool, name: str) -> list[StateRow]:
    """The rows without what is true only here; with their outputs as far as these are not too much."""
    room, found = OUTPUTS_BYTES, []
    for row in reversed(rows):
        outputs = store.catalog.outputs(row.id)
        room -= len(msgspec.json.encode(outputs))
        found.append(
            msgspec.structs.replace(
                row,
                snapshot="",
                outputs=outputs if room >= 0 else [],
                fork_depth=0,
                pinned=False,
                used="",
                names=[name] if row is rows[-1] else row.names if lineage and row.kind != "initial" else [],
            )
        )
    return found[::-1]


# --- reading one


def opened(data: bytes) -> tuple[Manifest, Signed]:
    """A signed manifest, its signature checked, but not whether its signer is trusted.

    Raises CorruptSnapshot, IncompatibleSnapshot (a newer format), UntrustedSnapshot (a wrong signature).
    """
    try:
        signed = msgspec.json.decode(data, type=Signed)
        version = msgspec.json.decode(signed.manifest, type=_Format).format
        if version > FORMAT:
            raise IncompatibleSnapshot(
                f"the manifest has format {version}; this stillframe knows formats up to {FORMAT}.",
                "Use a newer stillframe.",
            )
        manifest = msgspec.json.decode(signed.manifest, type=Manifest)
        records = {state_id: decode(encode(record)) for state_id, record in manifest.snapshots.items()}
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise CorruptSnapshot(f"the manifest cannot be read: {error}.", _AGAIN) from error
    _check(manifest, version, records)
    if not _is_signed(signed):
        raise UntrustedSnapshot(
            "the signature of the manifest is wrong: it is not what was signed, or by nobody.",
            _AGAIN,
            key=signed.key,
        )
    return manifest, signed


def _is_signed(signed: Signed) -> bool:
    try:
        signature = bytes.fromhex(signed.signature)
    except ValueError:
        return False
    return is_signed(digest_of(bytes(signed.manifest)), signed.key, signature, MANIFEST)


def _check(manifest: Manifest, version: int, records: Mapping[str, Record]) -> None:
    """Raise CorruptSnapshot unless it makes sense."""
    rows = manifest.states
    parents = [None, *(row.id for row in rows)]
    needed = {digest for record in records.values() for digest in record.blobs()}
    is_sound = (
        version == FORMAT
        and rows
        and [row.parent for row in rows] == parents[:-1]
        and len({row.id for row in rows}) == len(rows)
        and all(_is_sound(row) and row.kind == ("initial" if row is rows[0] else row.kind) for row in rows)
        and all(row.kind != "initial" for row in rows[1:])
        and len(rows) > 1
        and rows[-1].id in records
        and set(records) <= {row.id for row in rows}
        and set(manifest.blobs) == needed
        and all(is_digest(digest) and size >= 0 for digest, size in manifest.blobs.items())
        and is_name(manifest.name)
        and _is_time(manifest.created)
    )
    if not is_sound:
        raise CorruptSnapshot("the manifest makes no sense.", _AGAIN)


class _Details(msgspec.Struct):
    """What the engine keeps of states inside a call, and of those that came of one."""

    where: Where | None = None
    answers: list[int] = []
    resumed_with: str = ""


def _is_sound(row: StateRow) -> bool:
    try:
        msgspec.convert(row.details, _Details)
    except msgspec.ValidationError:
        return False
    return (
        _ID.fullmatch(row.id) is not None
        and _is_time(row.created)
        and math.isfinite(row.duration_s)
        and row.duration_s >= 0
        and not row.snapshot
        and all(map(is_name, row.names))
    )


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


# --- taking one


def header(manifest: Manifest) -> Header:
    """What the state's own snapshot tells of itself."""
    return header_of(manifest.snapshots[manifest.state.id].header)


def check_fitness(manifest: Manifest) -> None:
    """Raise IncompatibleSnapshot where this interpreter could not restore the state."""
    why = unfit(header(manifest))
    if why:
        raise IncompatibleSnapshot(
            f"state {manifest.name!r} could not be restored here: {why}.",
            "Take it into a kernel of that Python, or with --store into a store that such a one will serve.",
        )


def received(manifest: Manifest, name: str, taken_names: list[str]) -> Received:
    """What there is to say of a state that is here now."""
    missing = missing_packages(header(manifest).packages)
    return Received(name, manifest.state.id, taken_names=taken_names, missing_packages=missing)


def check_trust(store: Store, signed: Signed, *, trust: bool = False) -> None:
    """Raise UntrustedSnapshot unless the signer is this store or trusted by it, or `trust` says so."""
    if not trust and not store.catalog.is_trusted(signed.key):
        raise UntrustedSnapshot(
            f"the state comes from the store with the key {signed.key}, which is not trusted here. To restore a "
            "state is to run what is in it.",
            f"If you know whose it is: `still trust {signed.key}` on the side that takes it; import and pull "
            "take it once with --trust.",
            key=signed.key,
        )


def missing_blobs(store: Store, manifest: Manifest, tokens: dict[str, str]) -> list[str]:
    """The digests of the blobs that are not here, or are damaged here.

    `tokens` has those of blobs that were verified a moment ago, and is given those that are verified now: about
    1 s per GB. Others that are as they were when they were last verified cost a stat each.
    """
    noted = store.catalog.tokens(manifest.blobs)
    missing = []
    for digest, size_bytes in manifest.blobs.items():
        try:
            token = store.blobs.token(digest)
            if store.blobs.size(digest) != size_bytes:
                missing.append(digest)
            elif token not in (tokens.get(digest), noted.get(digest)):
                store.blobs.verify(digest)
                tokens[digest] = token
        except (MissingBlob, CorruptBlob):
            missing.append(digest)
    return missing


def name_for(names: Mapping[str, str], manifest: Manifest, wanted: str | None) -> str:
    """What the state will be called. Raises NameTaken where another state has that name."""
    name = wanted or manifest.name
    if names.get(name, manifest.state.id) != manifest.state.id:
        raise NameTaken(f"another state is called {name!r} here.", "Give the one that comes another name, with --as.")
    return name


def free_names(names: Mapping[str, str], manifest: Manifest) -> tuple[dict[str, str], list[str]]:
    """The names of ancestors (with their ids) that are free here, or theirs; and those that others have."""
    wanted = {name: row.id for row in manifest.states[:-1] for name in row.names}
    free = {name: state_id for name, state_id in wanted.items() if names.get(name, state_id) == state_id}
    return free, sorted(set(wanted) - set(free))


def take(store: Store, manifest: Manifest, names: Mapping[str, str], tokens: dict[str, str]) -> list[StateRow]:
    """Have the states of a manifest here, durably; all blobs are, and its signer is trusted.

    The initial state becomes this store's own, where it has one. `names` are bound. The snapshots are signed by
    this store: who was trusted once needs no trust later. Returns the rows of the lineage as they are here.
    Raises MissingBlob where a prune has just taken a blob: send it, and the manifest, again.
    """
    here = {row.id: row for row in store.catalog.states()}
    rows = [msgspec.structs.replace(row, names=[]) for row in manifest.states]
    own = here.get(rows[0].id) or _initial(here.values())
    bound = dict(names)
    if own is None:
        bound[INITIAL] = rows[0].id
    else:
        rows[0] = own
        rows[1] = msgspec.structs.replace(rows[1], parent=own.id)
    with store.catalog.transaction():
        store.catalog.set_tokens({digest: token for digest, token in tokens.items() if digest in manifest.blobs})
        store.catalog.take(rows, manifest.snapshots)
        for name, state_id in bound.items():
            store.catalog.bind_name(name, state_id)
    return [store.catalog.state(row.id) for row in rows]


def _initial(rows: Iterable[StateRow]) -> StateRow | None:
    found = [row for row in rows if row.kind == "initial"]
    return next((row for row in found if INITIAL in row.names), found[0] if found else None)


def receive(
    store: Store, data: bytes, *, name: str | None = None, trust: bool = False, tokens: dict[str, str] | None = None
) -> Received:
    """Take the state of a signed manifest into a store that no server has open, or say which blobs are missing.

    Raises what opened() does, UntrustedSnapshot, NameTaken.
    """
    tokens = {} if tokens is None else tokens
    manifest, signed = opened(data)
    check_trust(store, signed, trust=trust)
    names = store.catalog.names()
    used = name_for(names, manifest, name)
    missing = missing_blobs(store, manifest, tokens)
    if missing:
        return Received(missing=missing)
    free, taken = free_names(names, manifest)
    take(store, manifest, {**free, used: manifest.state.id}, tokens)
    return received(manifest, used, taken)

"""Exports: what comes out of a file is what went in, or a clear refusal; nothing is unpickled on the way."""

from __future__ import annotations

import io
import pickle
import random
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from stillframe.errors import (
    BadRequest,
    CannotCapture,
    CorruptSnapshot,
    IncompatibleSnapshot,
    NameTaken,
    SnapshotRefused,
    StateNotFound,
    StillframeError,
    UntrustedSnapshot,
)
from stillframe.store import Store
from stillframe.store.blobs import digest_of
from stillframe.store.exports import import_state, is_export, pieces, read_manifest, write_file, zstd
from stillframe.store.keys import MANIFEST
from stillframe.store.manifests import Manifest, Signed, manifest_of, opened
from store_moving.stores import Hostile, contents, grown, is_empty, row


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Store]:
    with grown(tmp_path / "here", "first", "second", "third") as store:
        yield store


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "there") as store:
        yield store


def export(store: Store, name: str, *, lineage: bool = False) -> bytes:
    return b"".join(pieces(store, manifest_of(store, name, lineage=lineage)))


def taken(store: Store, data: bytes, **options: object) -> str:
    return import_state(store, io.BytesIO(data).read, **{"trust": True, **options}).name  # type: ignore[arg-type]


# Round trips


def test_a_state_comes_out_of_a_file_as_it_went_in(here: Store, there: Store) -> None:
    assert taken(there, export(here, "third")) == "third"
    assert contents(there, "third") == contents(here, "third")
    found, made = (store.catalog.state(store.catalog.names()["third"]) for store in (there, here))
    assert (found.code, found.created, found.id) == (made.code, made.created, made.id)
    assert there.catalog.outputs(found.id) == here.catalog.outputs(made.id) != []


def test_the_cells_of_the_lineage_travel_always_and_its_snapshots_when_asked(here: Store, there: Store) -> None:
    taken(there, export(here, "third"))
    rows = there.catalog.states()
    assert [state.code for state in rows] == ["", "x = 1", "x = 2", "x = 3"]
    assert [bool(state.snapshot) for state in rows] == [False, False, False, True]
    assert set(there.catalog.names()) == {"initial", "third"}
    taken(there, export(here, "third", lineage=True))
    assert [bool(state.snapshot) for state in there.catalog.states()] == [False, True, True, True]
    assert set(there.catalog.names()) == {"initial", "first", "second", "third"}
    assert contents(there, "first") == contents(here, "first")


def test_an_export_again_changes_nothing(here: Store, there: Store) -> None:
    taken(there, export(here, "third"))
    before = there.catalog.states()
    taken(there, export(here, "third"))
    assert there.catalog.states() == before


def test_a_state_that_comes_back_is_the_one_that_left(here: Store, there: Store) -> None:
    taken(there, export(here, "third"))
    before = here.catalog.states()
    taken(here, export(there, "third"))
    assert here.catalog.states() == before


def test_what_comes_hangs_from_the_initial_state_that_is_there(here: Store, tmp_path: Path) -> None:
    with grown(tmp_path / "there", "mine", first=100) as there:
        taken(there, export(here, "second"))
        rows = {state.id: state for state in there.catalog.states()}
        names = there.catalog.names()
        first = rows[rows[names["second"]].parent or ""]
        assert first.code == "x = 1" and first.parent == names["initial"]
        assert sum(state.kind == "initial" for state in rows.values()) == 1


def test_a_name_that_another_state_has_is_refused_and_another_one_will_do(here: Store, tmp_path: Path) -> None:
    with grown(tmp_path / "there", "second", "first", first=100) as there:
        before = contents(there, "second")
        with pytest.raises(NameTaken, match="--as"):
            taken(there, export(here, "second"))
        received = import_state(there, io.BytesIO(export(here, "second", lineage=True)).read, name="other", trust=True)
        assert received.taken_names == ["first"]
        assert contents(there, "second") == before and contents(there, "other") == contents(here, "second")


def test_an_export_is_written_whole_or_not_at_all(here: Store, tmp_path: Path) -> None:
    file = tmp_path / "state.export"
    file.write_bytes(b"older")

    def broken() -> Iterator[bytes]:
        yield b"new"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_file(file, broken())
    assert file.read_bytes() == b"older" and set(tmp_path.iterdir()) == {file, here.path}
    data = export(here, "third")
    assert write_file(file, iter([data])) == len(data) and file.read_bytes() == data
    assert is_export(file) and not is_export(here.path / "version")


def test_what_cannot_be_exported_is_refused_by_name(here: Store) -> None:
    with pytest.raises(StateNotFound, match="Did you mean 'third'"):
        manifest_of(here, "thrid")
    with pytest.raises(BadRequest, match="fresh interpreter"):
        manifest_of(here, "initial")
    here.catalog.add_state(row(50, f"{3:032x}", names=["bare"], obstacles=["x (socket): it is connected"]))
    with pytest.raises(CannotCapture, match=r"'bare' has no snapshot: x \(socket\)"):
        manifest_of(here, "bare")


# Trust


def test_a_foreign_state_is_refused_until_its_key_is_trusted(here: Store, there: Store) -> None:
    data, key = export(here, "third"), here.key().public
    with pytest.raises(UntrustedSnapshot, match=f"still trust {key}") as caught:
        taken(there, data, trust=False)
    assert caught.value.key == key and is_empty(there) and not list(there.blobs.digests())
    there.catalog.trust_key(key, "here")
    assert taken(there, data, trust=False) == "third"
    assert contents(there, "third") == contents(here, "third")


def test_who_was_trusted_once_needs_no_trust_later(here: Store, there: Store) -> None:
    taken(there, export(here, "third"))
    assert contents(there, "third") == contents(here, "third")
    assert there.catalog.trusted_keys() == []


def changed(data: bytes, key: object = None, **fields: object) -> bytes:
    """An export whose manifest says something else; signed anew where a store's key is given."""
    line, _, rest = data.partition(b"\n")
    length = int(line.split()[-1])
    signed = msgspec.json.decode(rest[:length], type=Signed)
    manifest = msgspec.json.encode({**msgspec.json.decode(signed.manifest), **fields})
    made = msgspec.structs.replace(signed, manifest=msgspec.Raw(manifest))
    if key is not None:
        made = msgspec.structs.replace(made, signature=key.sign(digest_of(manifest), MANIFEST).hex())  # type: ignore[attr-defined]
    text = msgspec.json.encode(made)
    return b"stillframe export 1 %d\n" % len(text) + text + rest[length:]


def rows_of(data: bytes) -> list[dict[str, object]]:
    line, _, rest = data.partition(b"\n")
    found: list[dict[str, object]] = msgspec.json.decode(
        msgspec.json.decode(rest[: int(line.split()[-1])], type=Signed).manifest
    )["states"]
    return found


def test_a_changed_cell_is_seen_even_where_everybody_is_trusted(here: Store, there: Store) -> None:
    data = export(here, "third")
    rows = rows_of(data)
    rows[1]["code"] = "import os; os.system('evil')"
    with pytest.raises(UntrustedSnapshot, match="signature"):
        taken(there, changed(data, states=rows))
    assert is_empty(there)


# Hostile and damaged files


@pytest.mark.parametrize(
    "fields",
    [
        {"states": []},
        {"name": ""},
        {"blobs": {}},
        {"blobs": {"../../etc/passwd": 1}},
        {"snapshots": {}},
        {"created": "yesterday"},
        {"states": 3},
        {"format": 0},
        {"format": -1},
        {"format": "1"},
    ],
    ids=str,
)
def test_a_manifest_that_makes_no_sense_is_refused_whoever_signed_it(
    here: Store, there: Store, fields: dict[str, object]
) -> None:
    with pytest.raises(CorruptSnapshot):
        taken(there, changed(export(here, "third"), here.key(), **fields))
    assert is_empty(there)


@pytest.mark.parametrize(
    ("number", "field", "value"),
    [
        (1, "id", "../../../etc/passwd"),
        (1, "id", f"{2:032x}"),
        (1, "parent", f"{9:032x}"),
        (0, "parent", f"{3:032x}"),
        (1, "kind", "initial"),
        (0, "kind", "cell"),
        (1, "created", "2026-01-01"),
        (1, "created", "never"),
        (1, "duration_s", -1.0),
        (3, "snapshot", "0" * 64),
        (1, "names", [""]),
        (1, "effects", "none"),
    ],
)
def test_a_row_that_makes_no_sense_is_refused_whoever_signed_it(
    here: Store, there: Store, number: int, field: str, value: object
) -> None:
    data = export(here, "third")
    rows = rows_of(data)
    rows[number][field] = value
    with pytest.raises(CorruptSnapshot):
        taken(there, changed(data, here.key(), states=rows))
    assert is_empty(there)


def test_a_newer_format_is_refused_by_its_number(here: Store, there: Store) -> None:
    data = export(here, "third")
    with pytest.raises(IncompatibleSnapshot, match="format 2"):
        taken(there, data.replace(b"stillframe export 1 ", b"stillframe export 2 ", 1))
    with pytest.raises(IncompatibleSnapshot, match="format 7"):
        taken(there, changed(data, here.key(), format=7))


def test_a_truncated_file_is_refused_wherever_it_ends(here: Store, there: Store) -> None:
    data = export(here, "third")
    chance = random.Random(1)
    ends = {0, 1, 18, 21, 40, len(data) - 1, len(data) - 5, *(chance.randrange(len(data)) for _ in range(40))}
    for end in ends:
        with pytest.raises(SnapshotRefused):
            taken(there, data[:end])
        assert is_empty(there)
    with pytest.raises(CorruptSnapshot, match="something follows"):
        taken(there, data + b"x")
    assert is_empty(there) and taken(there, data) == "third"


def test_a_flipped_bit_is_refused_or_makes_no_difference(here: Store, there: Store) -> None:
    data = export(here, "first")
    chance = random.Random(2)
    expected = contents(here, "first")
    for number in range(200):
        # The manifest is short: half of the flips are there.
        place = chance.randrange(min(len(data), 4000)) if number % 2 else chance.randrange(len(data))
        flipped = bytearray(data)
        flipped[place] ^= 1 << chance.randrange(8)
        try:
            name = taken(there, bytes(flipped))
        except SnapshotRefused:
            assert is_empty(there)
        else:
            assert contents(there, name) == expected
            there.catalog.forget_states()
        for digest in there.blobs.digests():
            there.blobs.path(digest).unlink()


def test_an_export_is_read_without_unpickling_it(tmp_path: Path) -> None:
    """Shown, imported and moved on, by those who trust it: nobody has run it."""
    sign = tmp_path / "was-run"
    hostile = pickle.dumps(Hostile(sign))
    with grown(tmp_path / "here", "evil", pickle=hostile) as here, Store.open(tmp_path / "there") as there:
        data = export(here, "evil")
        file = tmp_path / "evil.export"
        write_file(file, iter([data]))
        manifest, signed = read_manifest(file)
        assert manifest.name == "evil" and signed.key == here.key().public
        assert taken(there, data) == "evil"
        assert contents(there, "evil")[0] == hostile
        export(there, "evil")
    assert not sign.exists()
    pickle.loads(hostile)
    assert sign.exists()


def test_a_frame_that_grows_without_end_is_stopped(here: Store, there: Store) -> None:
    """What a few bytes claim to be is not made: no more than the manifest says, piece by piece."""
    data = export(here, "first")
    line, _, rest = data.partition(b"\n")
    length = int(line.split()[-1])
    manifest, _ = opened(rest[:length])
    bomb = zstd.compress(bytes(1 << 28))
    assert len(bomb) < 1 << 16
    framed = len(bomb).to_bytes(4, "little") + bomb + bytes(4)
    with pytest.raises(CorruptSnapshot, match="larger than the export says"):
        taken(there, data[: len(line) + 1 + length] + framed)
    assert is_empty(there) and manifest.blobs


def test_a_blob_that_is_damaged_here_comes_anew(here: Store, there: Store) -> None:
    data = export(here, "third")
    taken(there, data)
    state = there.catalog.state(there.catalog.names()["third"])
    digest = there.catalog.get_snapshot(state.snapshot).buffers[0].digest
    path = there.blobs.path(digest)
    path.chmod(0o644)
    damaged = bytearray(path.read_bytes())
    damaged[1000] ^= 1
    path.write_bytes(damaged)
    taken(there, data)
    assert contents(there, "third") == contents(here, "third")


def test_a_damaged_blob_is_not_exported(here: Store) -> None:
    state = here.catalog.state(here.catalog.names()["third"])
    path = here.blobs.path(here.catalog.get_snapshot(state.snapshot).buffers[1].digest)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(StillframeError, match="damaged"):
        export(here, "third")


def test_what_is_damaged_while_it_is_exported_is_seen(here: Store) -> None:
    signed = manifest_of(here, "third")
    path = here.blobs.path(max(opened(signed)[0].blobs))
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(StillframeError, match="damaged"):
        list(pieces(here, signed))


def test_a_manifest_says_what_travels(here: Store) -> None:
    manifest, signed = opened(manifest_of(here, "third"))
    assert isinstance(manifest, Manifest) and signed.key == here.key().public
    assert manifest.size_bytes == sum(map(here.blobs.size, manifest.blobs)) > 3_000_000

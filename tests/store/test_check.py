"""Checking a store finds what is wrong with it, says what to do, and repair keeps all that is sound."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from stillframe.errors import StoreDamaged, StoreInUse
from stillframe.store import StateRow, Store, read_pickle, write_snapshot
from stillframe.store.check import Finding, check


@pytest.fixture
def place(quick: Path) -> Path:
    """A store at rest: 30 states in a line, each with a snapshot."""
    place = quick / "store"
    with Store.open(place) as store:
        for number in range(30):
            parent = f"s{number - 1}" if number else None
            row = StateRow(
                id=f"s{number}", parent=parent, code=f"x = {number}", names=[f"n{number}"], outputs=[{"n": 1}]
            )
            store.catalog.add_state(row)
            record = write_snapshot(
                store.blobs, b"{}", b"pickle %d" % number, [b"shared", b"buffer %d" % number]
            )
            store.catalog.add_snapshot(f"s{number}", record)
    return place


def texts(findings: list[Finding]) -> str:
    return "\n".join(map(str, findings))


def blob_of(place: Path, state_id: str, buffer: int = 1) -> Path:
    with Store.open(place, writer=False) as store:
        record = store.catalog.get_snapshot(store.catalog.state(state_id).snapshot)
        return store.blobs.path(record.buffers[buffer].digest)


def flip(path: Path, at: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


def test_a_sound_store_has_no_findings(place: Path) -> None:
    told = []
    assert check(place, progress=lambda done, of: told.append((done, of))) == []
    assert told[-1] == (61, 61)
    assert check(place, repair=True) == []


def test_a_store_in_use_is_checked_but_not_repaired(place: Path) -> None:
    with Store.open(place):
        assert check(place) == []
        with pytest.raises(StoreInUse):
            check(place, repair=True)


@pytest.mark.parametrize("how", ["flipped", "missing", "truncated"])
def test_a_broken_blob_costs_its_snapshots_and_nothing_else(place: Path, how: str) -> None:
    path = blob_of(place, "s7")
    if how == "flipped":
        flip(path)
    elif how == "missing":
        path.unlink()
    else:
        path.chmod(0o644)
        os.truncate(path, 3)
    found = check(place)
    assert [finding.weight for finding in found] == ["error", "error"]
    assert path.name[:12] in texts(found) and "state n7 cannot be restored" in texts(found)
    assert check(place) == found  # without repair nothing changes
    assert all(finding.is_repaired for finding in check(place, repair=True))
    assert texts(check(place)).count("note:") == len(check(place))  # blobs that are needed no more
    with Store.open(place) as store:
        rows = {row.id: row for row in store.catalog.states()}
        assert rows["s7"].snapshot == "" and "damaged" in rows["s7"].obstacles[0]
        assert sum(bool(row.snapshot) for row in rows.values()) == 29
    if how != "missing":
        assert (place / "damaged" / path.name).exists()


def test_without_verification_only_sizes_are_looked_at(place: Path) -> None:
    flip(blob_of(place, "s7"))
    assert check(place, verify=False) == []
    assert check(place) != []


def test_a_damaged_catalog_keeps_every_row_that_is_sound(place: Path) -> None:
    path = place / "catalog.sqlite"
    data = path.read_bytes()
    at = data.index(b'"code":"x = 7"')
    path.write_bytes(data[:at] + b'"code":"y = 7"' + data[at + 14 :])
    (error,) = check(place)
    assert error.weight == "error" and "'s7'" in error.what
    repaired = check(place, repair=True)
    assert "29 states were sound" in texts(repaired)
    with Store.open(place) as store:
        rows = {row.id: row for row in store.catalog.states()}
        assert sorted(rows) == sorted(f"s{number}" for number in range(30) if number != 7)
        assert rows["s8"].parent is None and "parent s7 is lost" in rows["s8"].obstacles[0]
        assert rows["s20"].names == ["n20"] and store.catalog.outputs("s20") == [{"n": 1}]
        record = store.catalog.get_snapshot(rows["s20"].snapshot)
        store.check_blobs(record)
        assert read_pickle(store.blobs, record.pickle) == b"pickle 20"
    assert {finding.weight for finding in check(place)} <= {"note"}
    assert (place / "damaged" / "catalog.sqlite").exists()


def test_a_row_that_vanished_is_missed(place: Path) -> None:
    connection = sqlite3.connect(place / "catalog.sqlite")
    connection.execute("DELETE FROM states WHERE key = 's9'")
    connection.commit()
    connection.close()
    with pytest.raises(StoreDamaged, match="rows are missing"):
        Store.open(place)
    assert "29 states were sound" in texts(check(place, repair=True))
    Store.open(place).close()


def test_a_log_that_lost_its_end_is_noticed(place: Path) -> None:
    """A flipped bit in the log looks to SQLite like the torn end that a power cut leaves."""
    with Store.open(place) as store:
        for number in range(5):
            store.catalog.add_state(StateRow(id=f"late{number}"))
        names = ("version", "key", "catalog.sqlite", "catalog.sqlite-wal", "catalog.commits")
        as_after_a_kill = {name: (place / name).read_bytes() for name in names}
    for is_flipped in (False, True):
        copy = place.with_name(f"copy-{is_flipped}")
        Store.open(copy).close()
        for name, data in as_after_a_kill.items():
            (copy / name).write_bytes(data)
        if is_flipped:
            flip(copy / "catalog.sqlite-wal", -100)
            with pytest.raises(StoreDamaged, match="has lost 1 changes"):
                Store.open(copy)
        else:
            with Store.open(copy) as store:
                assert len(store.catalog.states()) == 35


@pytest.mark.parametrize("how", ["damaged", "gone"])
def test_a_lost_key_is_replaced_and_what_it_signed_stays_trusted(place: Path, how: str) -> None:
    key = place / "key"
    if how == "gone":
        key.unlink()
    else:
        key.write_text("not a key")
    assert any(finding.weight == "error" for finding in check(place))
    assert all(finding.is_repaired for finding in check(place, repair=True))
    assert check(place) == []
    with Store.open(place) as store:
        store.catalog.get_snapshot(store.catalog.state("s3").snapshot)
        assert len(store.catalog.trusted_keys()) == 1


def test_a_key_that_others_may_read_is_made_private(place: Path) -> None:
    (place / "key").chmod(0o644)
    (finding,) = check(place)
    assert finding.weight == "warning" and "chmod 600" in finding.remedy
    check(place, repair=True)
    assert check(place) == []


def test_a_lost_version_file_is_written_anew(place: Path) -> None:
    (place / "version").write_text("?")
    assert "version" in texts(check(place))
    check(place, repair=True)
    assert check(place) == []


def test_what_does_not_belong_there_is_named(place: Path) -> None:
    (place / "blobs" / "ab" / "holiday.jpg").write_text("sun")
    assert "holiday.jpg is no blob" in texts(check(place))


def test_a_crash_leaves_files_without_a_name_and_the_next_writer_removes_them(place: Path) -> None:
    left = place / "new" / "half"
    left.write_bytes(b"stillframe blob\nhal")
    os.utime(left, (0, 0))
    assert "have no name" in texts(check(place))
    Store.open(place).close()
    assert check(place) == []

"""The catalog: what it says is what was written, against a plain dict; its locks, versions and trust."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stillframe.errors import (
    BadRequest,
    MissingBlob,
    StateNotFound,
    StoreDamaged,
    StoreError,
    StoreInUse,
    StoreTooNew,
    UntrustedSnapshot,
)
from stillframe.store import Record, StateRow, Store, write_snapshot
from stillframe.store import catalog as catalog_module
from stillframe.store.keys import is_signed
from stillframe.store.opened import VERSION
from stillframe.store.sealed import Migration, Sealed
from stillframe.store.snapshots import snapshot_digest


class Oracle:
    """The catalog as plain dicts."""

    def __init__(self) -> None:
        self.states: dict[str, dict[str, Any]] = {}
        self.names: dict[str, str] = {}
        self.snapshots: dict[str, Record] = {}

    def forget(self, ids: list[str]) -> None:
        for state_id in ids:
            self.states.pop(state_id, None)
        self.names = {name: target for name, target in self.names.items() if target in self.states}
        self.drop_unneeded()

    def drop_unneeded(self) -> None:
        needed = {row["snapshot"] for row in self.states.values()}
        self.snapshots = {digest: record for digest, record in self.snapshots.items() if digest in needed}


def compare(store: Store, oracle: Oracle) -> None:
    rows = store.catalog.states()
    assert [row.id for row in rows] == list(oracle.states)
    for row in rows:
        expected = oracle.states[row.id]
        assert store.catalog.outputs(row.id) == expected["outputs"]
        assert sorted(row.names) == sorted(name for name, target in oracle.names.items() if target == row.id)
        found = msgspec.to_builtins(row)
        assert {key: found.get(key) for key in expected if key != "outputs"} == {
            key: value for key, value in expected.items() if key != "outputs"
        }
    assert store.catalog.names() == oracle.names
    assert set(store.catalog.snapshots()) == set(oracle.snapshots)
    for digest, record in oracle.snapshots.items():
        assert store.catalog.get_snapshot(digest) == decoded(record)


def decoded(record: Record) -> Record:
    return msgspec.json.decode(msgspec.json.encode(record), type=Record)


def act(store: Store, oracle: Oracle, records: list[Record], dice: random.Random, number: int) -> None:
    """One random operation, on both."""
    known = list(oracle.states)
    what = dice.choice(
        ("add", "add", "bind", "unbind", "describe", "snapshot", "snapshot", "forget", "used", "drop")
    )
    state_id = dice.choice(known) if known else ""
    if what == "add" or not known:
        outputs = [{"text": "x" * dice.randrange(3_000)}] * dice.randrange(3)
        row = StateRow(
            id=f"s{number}", parent=state_id or None, code=f"x = {number} # \U0001f40d", outputs=outputs
        )
        store.catalog.add_state(row)
        fields = {"id": row.id, "parent": row.parent, "code": row.code, "outputs": outputs, "snapshot": ""}
        oracle.states[row.id] = {**fields, "snapshot": None}
    elif what == "bind":
        name = dice.choice("abcdefgh")
        store.catalog.bind_name(name, state_id)
        oracle.names[name] = state_id
    elif what == "unbind":
        name = dice.choice("abcdefgh")
        store.catalog.remove_name(name)
        oracle.names.pop(name, None)
    elif what == "describe":
        store.catalog.describe_state(state_id, ["thread"], ["socket"], [f"why {number}"], True)
        oracle.states[state_id] |= {"hazards": ["thread"], "obstacles": [f"why {number}"], "pinned": True}
    elif what == "snapshot":
        record = dice.choice(records)
        digest = store.catalog.add_snapshot(state_id, record)
        assert digest == snapshot_digest(record)
        oracle.states[state_id] |= {"snapshot": digest, "obstacles": None}
        oracle.snapshots[digest] = record
        oracle.drop_unneeded()
    elif what == "forget":
        gone = dice.sample(known, min(len(known), dice.randrange(4)))
        store.catalog.forget_states([*gone, "never there"])
        oracle.forget(gone)
    elif what == "used":
        store.catalog.set_used({state_id: f"2026-01-{number:05}", "never there": "x"})
        oracle.states[state_id]["used"] = f"2026-01-{number:05}"
    elif what == "drop" and oracle.states[state_id]["snapshot"]:
        store.catalog.drop_snapshot(state_id, "it was damaged")
        oracle.states[state_id] |= {"snapshot": None}
        oracle.states[state_id].pop("obstacles", None)
        oracle.drop_unneeded()


@pytest.mark.parametrize("seed", range(4))
def test_the_catalog_is_a_dict_that_lasts(quick: Path, seed: int) -> None:
    dice = random.Random(seed)
    place = quick / "store"
    oracle = Oracle()
    store = Store.open(place)
    records = [write_snapshot(store.blobs, b"{}", dice.randbytes(50), [dice.randbytes(9)]) for _ in range(6)]
    for number in range(150):
        act(store, oracle, records, dice, number)
        if dice.random() < 0.1:
            compare(store, oracle)
        if dice.random() < 0.1:
            store.close()
            store = Store.open(place)
            compare(store, oracle)
    with Store.open(place, writer=False) as reader:
        compare(reader, oracle)
    store.close()


def test_a_transaction_is_all_or_nothing(store: Store) -> None:
    store.catalog.add_state(StateRow(id="before"))

    def fail() -> None:
        with store.catalog.transaction():
            store.catalog.add_state(StateRow(id="inside", names=["n"]))
            store.catalog.forget_states(["before"])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [row.id for row in store.catalog.states()] == ["before"]
    assert store.catalog.names() == {}
    store.catalog.add_state(StateRow(id="after"))
    assert [row.id for row in store.catalog.states()] == ["before", "after"]


def test_a_refused_snapshot_leaves_the_rest_of_its_transaction(store: Store) -> None:
    record = write_snapshot(store.blobs, b"{}", b"pickle", [b"buffer"])
    store.blobs.path(record.buffers[0].digest).unlink()
    with store.catalog.transaction():
        store.catalog.add_state(StateRow(id="a"))
        with pytest.raises(MissingBlob):
            store.catalog.add_snapshot("a", record)
        with pytest.raises(StateNotFound):
            store.catalog.add_snapshot("unknown", record)
        store.catalog.bind_name("n", "a")
    assert [(row.id, row.snapshot, row.names) for row in store.catalog.states()] == [("a", "", ["n"])]
    assert store.catalog.snapshots() == []


def test_a_reader_in_the_same_moment_sees_what_was_committed(store: Store) -> None:
    with Store.open(store.path, writer=False) as reader:
        store.catalog.add_state(StateRow(id="a", names=["n"]))
        assert [row.id for row in reader.catalog.states()] == ["a"]
        with store.catalog.transaction():
            store.catalog.add_state(StateRow(id="b"))
            assert [row.id for row in reader.catalog.states()] == ["a"]
        assert [row.id for row in reader.catalog.states()] == ["a", "b"]


def test_threads_read_while_one_writes(store: Store) -> None:
    done = threading.Event()
    wrong: list[BaseException] = []

    def read() -> None:
        try:
            while not done.is_set():
                rows = store.catalog.states()
                assert [row.id for row in rows] == [str(number) for number in range(len(rows))]
        except BaseException as error:  # noqa: BLE001
            wrong.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(60):
        store.catalog.add_state(StateRow(id=str(number), outputs=[{}]))
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_10_000_states_are_listed(quick: Path) -> None:
    with Store.open(quick / "store") as store, store.catalog.transaction():
        for number in range(10_000):
            outputs = [{"output_type": "stream", "text": f"{number}\n" * 20}]
            row = StateRow(
                id=f"{number:032x}", code=f"x = {number}\n" * 10, names=[f"n{number}"], outputs=outputs
            )
            store.catalog.add_state(row)
    with Store.open(quick / "store") as store:
        rows = store.catalog.states()
    assert len(rows) == 10_000 and rows[-1].names == ["n9999"]


# --- who may open it


def test_a_second_writer_is_refused_and_told_who_has_it(store: Store) -> None:
    with pytest.raises(StoreInUse, match=f"process {os.getpid()}") as caught:
        Store.open(store.path)
    assert caught.value.pid == os.getpid()
    store.close()
    Store.open(store.path).close()


def test_another_process_is_refused_too_until_the_writer_is_killed(quick: Path) -> None:
    place = quick / "store"
    program = f"from stillframe.store import Store; s = Store.open({str(place)!r}); print('open', flush=True); input()"
    writer = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert writer.stdout is not None and writer.stdin is not None
    assert writer.stdout.readline() == b"open\n"
    with pytest.raises(StoreInUse) as caught:
        Store.open(place)
    assert caught.value.pid == writer.pid
    writer.kill()
    writer.wait()
    writer.stdin.close()
    writer.stdout.close()
    Store.open(place).close()


def test_there_is_no_store_where_none_was_made(quick: Path) -> None:
    for arguments in ({"create": False}, {"writer": False}):
        with pytest.raises(StoreError, match="there is no store"):
            Store.open(quick / "nothing", **arguments)
    (quick / "letters").mkdir()
    (quick / "letters" / "to_a_friend").write_text("dear")
    with pytest.raises(StoreError, match="neither empty nor a store"):
        Store.open(quick / "letters")
    assert not (quick / "nothing").exists()


def test_a_store_of_a_newer_version_is_not_touched(quick: Path) -> None:
    place = quick / "store"
    Store.open(place).close()
    newer = VERSION + 1
    (place / "version").write_text(f"stillframe store {newer}\n")
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    for writer in (True, False):
        with pytest.raises(StoreTooNew, match=f"has version {newer}"):
            Store.open(place, writer=writer)
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before
    (place / "version").write_text("my shopping list")
    with pytest.raises(StoreDamaged):
        Store.open(place)


def test_a_catalog_of_a_newer_version_is_refused(quick: Path) -> None:
    place = quick / "store"
    Store.open(place).close()
    connection = sqlite3.connect(place / "catalog.sqlite")
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(StoreTooNew, match="version 7"):
        Store.open(place)


def add_shout(rows: Sealed) -> None:
    for key in rows.keys("states"):
        value = msgspec.json.decode(rows.get("states", key) or b"")
        rows.put("states", key, msgspec.json.encode({**value, "code": value["code"].upper()}))


def test_a_catalog_of_an_older_version_is_brought_to_the_newest(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = quick / "store"
    with Store.open(place) as store:
        store.catalog.add_state(StateRow(id="a", code="x = 1", names=["n"]))
    second = Migration(2, "ALTER TABLE verified ADD COLUMN checked TEXT", add_shout)
    monkeypatch.setattr(catalog_module, "MIGRATIONS", (*catalog_module.MIGRATIONS, second))
    with pytest.raises(StoreError, match="must be brought to 2"):
        Store.open(place, writer=False)
    for _ in range(2):
        with Store.open(place) as store:
            assert [(row.code, row.names) for row in store.catalog.states()] == [("X = 1", ["n"])]
    monkeypatch.undo()
    with pytest.raises(StoreTooNew):
        Store.open(place)


def test_a_catalog_of_version_1_opens(quick: Path) -> None:
    """A specimen: made by the first version, and never made anew."""
    shutil.copytree(Path(__file__).parent / "specimens" / "store-1", quick / "store")
    (quick / "store" / "new").mkdir(exist_ok=True)
    with Store.open(quick / "store") as store:
        (row,) = store.catalog.states()
        assert (row.code, row.names) == ("answer = 42", ["specimen"])
        record = store.catalog.get_snapshot(row.snapshot)
        store.check_blobs(record)
        assert store.blobs.get(record.pickle.digest) == b"not a pickle"
        assert store.catalog.outputs(row.id) == [{"output_type": "stream", "text": "42\n"}]


def test_the_directory_and_the_key_are_private(store: Store) -> None:
    store.key()
    assert store.path.stat().st_mode & 0o777 == 0o700
    assert (store.path / "key").stat().st_mode & 0o777 == 0o600


# --- trust


def snapshot_in(store: Store, state_id: str = "a") -> str:
    store.catalog.add_state(StateRow(id=state_id))
    return store.catalog.add_snapshot(
        state_id, write_snapshot(store.blobs, b"{}", b"pickle of " + state_id.encode())
    )


def test_a_snapshot_of_ours_is_signed_and_trusted(store: Store) -> None:
    digest = snapshot_in(store)
    signed = store.catalog.signed(digest)
    assert is_signed(digest, store.key().public, bytes.fromhex(signed.signature))
    assert signed.record == store.catalog.get_snapshot(digest)


def test_a_signature_of_something_else_is_refused(store: Store) -> None:
    first, second = snapshot_in(store, "a"), snapshot_in(store, "b")
    wrong = msgspec.structs.replace(
        store.catalog.signed(first), signature=store.catalog.signed(second).signature
    )
    for signed in (
        wrong,
        msgspec.structs.replace(wrong, signature="zz"),
        msgspec.structs.replace(wrong, key=""),
    ):
        with pytest.raises(UntrustedSnapshot, match="signature"):
            store.catalog.check_trust(first, signed)


def test_a_foreign_key_is_refused_until_it_is_trusted(store: Store, quick: Path) -> None:
    with Store.open(quick / "other") as other:
        digest = snapshot_in(other)
        signed = other.catalog.signed(digest)
    with pytest.raises(UntrustedSnapshot, match="still trust") as caught:
        store.catalog.check_trust(digest, signed)
    assert caught.value.key == signed.key
    store.catalog.trust_key(signed.key, "a friend")
    store.catalog.check_trust(digest, signed)
    assert [(key.key, key.comment) for key in store.catalog.trusted_keys()] == [(signed.key, "a friend")]
    assert store.catalog.distrust_key(signed.key)
    with pytest.raises(UntrustedSnapshot):
        store.catalog.check_trust(digest, signed)
    with pytest.raises(BadRequest):
        store.catalog.trust_key("a friend", signed.key)


def test_taking_states_from_elsewhere_is_all_or_nothing(store: Store) -> None:
    mine = StateRow(id="mine", code="mine", names=["taken"])
    store.catalog.add_state(mine)
    record = write_snapshot(store.blobs, b"{}", b"of elsewhere")
    rows = [StateRow(id="mine", code="theirs"), StateRow(id="new", parent="mine", names=["x"])]
    broken = write_snapshot(store.blobs, b"{}", b"gone")
    store.blobs.path(broken.pickle.digest).unlink()
    with pytest.raises(MissingBlob):
        store.catalog.take(rows, {"new": broken})
    assert [row.id for row in store.catalog.states()] == ["mine"]
    store.catalog.take(rows, {"new": record})
    assert [(row.id, row.code, row.names) for row in store.catalog.states()] == [
        ("mine", "mine", ["taken"]),
        ("new", "", []),
    ]
    assert store.catalog.get_snapshot(store.catalog.state("new").snapshot) == decoded(record)


# --- verification


def test_what_the_file_does_not_take_of_a_verification_is_an_error_of_ours(store: Store) -> None:
    with sqlite3.connect(store.path / "catalog.sqlite") as connection:
        connection.execute("DROP TABLE verified")
    connection.close()
    store.catalog.add_state(StateRow(id="a"))
    record = write_snapshot(store.blobs, b"{}", b"pickle")
    for write in (
        lambda: store.catalog.set_tokens({record.pickle.digest: "1:2:3"}),
        lambda: store.catalog.add_snapshot("a", record),
    ):
        with pytest.raises(StoreDamaged, match="verified"):
            write()
    assert store.catalog.states()[0].snapshot == ""


def test_a_verified_blob_is_not_read_again_until_its_file_changes(store: Store) -> None:
    store.catalog.add_state(StateRow(id="a"))
    record = write_snapshot(store.blobs, b"{}", b"pickle", [b"buffer"])
    store.catalog.add_snapshot("a", record)
    read = []
    real = store.blobs.verify
    store.blobs.verify = lambda digest: read.append(digest) or real(digest)  # type: ignore[method-assign]
    store.check_blobs(record)
    assert read == []
    path = store.blobs.path(record.buffers[0].digest)
    os.utime(path)
    store.check_blobs(record)
    assert read == [record.buffers[0].digest]
    store.check_blobs(record)
    assert len(read) == 1
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(Exception, match="damaged"):
        store.check_blobs(record)

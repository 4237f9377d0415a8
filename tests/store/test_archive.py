"""What was not used for long is compressed, reads the same, and comes back; no order of things loses a blob."""

from __future__ import annotations

import fcntl
import os
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stillframe.errors import CorruptBlob, MissingBlob, StoreError, StoreTooNew
from stillframe.store import Record, StateRow, Store, map_blob, opened, read_pickle, write_snapshot
from stillframe.store.archive import Archived, archive
from stillframe.store.blobs import digest_of
from stillframe.store.check import check
from stillframe.store.prune import prune
from stillframe.store.transfer import AtRest, transfer

TEXT = b"".join(b"%d and " % number for number in range(20_000))
SHARED = TEXT[::-1]


def add(store: Store, state_id: str, *buffers: bytes, days: float = 0, **fields: object) -> Record:
    when = (datetime.now(UTC) - timedelta(days=days)).isoformat()
    if not store.catalog.states():
        store.catalog.add_state(StateRow(id="0" * 32, kind="initial", created=when, names=["initial"]))
    row = StateRow(id=state_id, parent="0" * 32, created=when, names=[f"name of {state_id[:5]}"], **fields)
    store.catalog.add_state(row)
    header = b'{"interpreter": {}, "python": "3.11.7", "packages": {}}'
    record = write_snapshot(store.blobs, header, b"pickle of " + state_id.encode(), buffers)
    store.catalog.add_snapshot(state_id, record)
    return record


def forms(store: Store, content: bytes) -> str:
    digest = digest_of(content)
    names = {store.blobs.path(digest): "plain", store.blobs.archived_path(digest): "archived"}
    return " and ".join(names[path] for path in store.blobs.files(digest))


def test_only_what_nobody_has_used_is_archived(store: Store) -> None:
    contents = {name: f"{name} ".encode() * 5000 for name in ("old", "new", "pinned", "running", "used")}
    for name, content in contents.items():
        add(store, name, content, SHARED, days=0 if name == "new" else 40, pinned=name == "pinned")
    store.catalog.set_used({"used": datetime.now(UTC).isoformat()})
    told: list[tuple[int, int]] = []
    done = archive(store, 30, in_use=["running"], progress=lambda *amounts: told.append(amounts))
    assert {name: forms(store, content) for name, content in contents.items()} == {
        name: "archived" if name == "old" else "plain" for name in contents
    }
    assert forms(store, SHARED) == "plain"  # new needs it too
    assert (done.blobs, done.size_bytes) == (1, len(contents["old"]))
    assert 0 < done.archived_bytes < done.size_bytes / 10
    assert told[-1][0] == told[-1][1] > 0
    assert archive(store, 30, in_use=["running"]) == Archived()


def test_what_is_archived_reads_as_it_did(store: Store, quick: Path) -> None:
    record = add(store, "a" * 32, TEXT, days=40)
    digest = digest_of(TEXT)
    archive(store)
    assert forms(store, TEXT) == "archived"
    blobs = store.blobs
    assert blobs.get(digest) == b"".join(blobs.pieces(digest)) == TEXT
    assert (blobs.size(digest), blobs.has(digest), blobs.has(digest, len(TEXT) + 1)) == (
        len(TEXT),
        True,
        False,
    )
    assert digest in set(blobs.digests()) and list(blobs.archived()) == [digest]
    blobs.verify(digest)
    store.check_blobs(record)
    with Store.open(quick / "there") as there:
        there.catalog.trust_key(store.key().public, "")
        transfer(AtRest(store), AtRest(there), "name of aaaaa")
        assert there.blobs.get(digest) == TEXT
        assert forms(there, TEXT) == "plain"
    assert forms(store, TEXT) == "archived"


def test_a_pickle_and_the_patch_to_it_are_read_from_the_archive(store: Store) -> None:
    pickle = random.Random(1).randbytes(4000) * 5
    whole = write_snapshot(store.blobs, b"{}", pickle)
    patched = write_snapshot(store.blobs, b"{}", pickle + b"more", near=whole)
    for name, record in (("a", whole), ("b", patched)):
        store.catalog.add_state(StateRow(id=name, created="2020-01-01T00:00:00+00:00"))
        store.catalog.add_snapshot(name, record)
    archive(store)
    assert forms(store, pickle) == "archived"
    assert read_pickle(store.blobs, patched.pickle) == pickle + b"more"
    again = write_snapshot(store.blobs, b"{}", pickle + b"else", near=patched)
    assert again.pickle.near == digest_of(pickle)
    assert read_pickle(store.blobs, again.pickle) == pickle + b"else"


def test_what_is_used_is_expanded_and_archived_again_without_compressing(store: Store) -> None:
    record = add(store, "a", TEXT, days=40)
    archive(store)
    mapped = map_blob(store.blobs, digest_of(TEXT))  # as a restore does that an archive has overtaken
    assert bytes(mapped) == TEXT
    assert forms(store, TEXT) == "plain and archived"
    token = os.stat(store.blobs.archived_path(digest_of(TEXT)))
    archive(store)
    assert forms(store, TEXT) == "archived"
    assert bytes(mapped) == TEXT
    assert os.path.samestat(token, os.stat(store.blobs.archived_path(digest_of(TEXT))))
    store.expand(record)
    assert store.catalog.tokens([digest_of(TEXT)]) == {digest_of(TEXT): store.blobs.token(digest_of(TEXT))}
    done = archive(store, in_use=["a"])
    assert (done.returned_blobs, forms(store, TEXT)) == (1, "plain")


def test_a_capture_that_has_the_same_bytes_again_has_them_plain(store: Store) -> None:
    add(store, "a", TEXT, days=40)
    archive(store)
    add(store, "b", TEXT)
    assert forms(store, TEXT) == "plain and archived"


def test_what_does_not_get_smaller_stays_plain(store: Store) -> None:
    noise = random.Random(2).randbytes(100_000)
    add(store, "a", noise, b"x" * 100, days=40)
    done = archive(store)
    assert (done.blobs, done.unfit_blobs) == (0, 1)
    assert forms(store, noise) == forms(store, b"x" * 100) == "plain"
    assert list(store.blobs.new.iterdir()) == []


def test_who_watches_may_end_it_and_nothing_is_half(store: Store) -> None:
    add(store, "a", TEXT * 20, days=40)

    def stop(done: int, of: int) -> None:
        assert done == 0 and of >= 20 * len(TEXT)
        raise StoreError("the kernel stops")

    with pytest.raises(StoreError, match="the kernel stops"):
        archive(store, progress=stop)
    assert forms(store, TEXT * 20) == "plain" and list(store.blobs.new.iterdir()) == []


def test_a_dry_run_tells_and_does_nothing(store: Store) -> None:
    add(store, "a", TEXT, days=40)
    done = archive(store, dry_run=True)
    assert (done.blobs, done.size_bytes, done.archived_bytes) == (1, len(TEXT), 0)
    assert forms(store, TEXT) == "plain"
    assert (store.path / "version").read_bytes() == b"stillframe store 1\n"


def test_who_does_not_know_of_archives_does_not_touch_a_store_that_has_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, "a", TEXT, days=40)
    archive(store)
    Store.open(store.path, writer=False).close()
    monkeypatch.setattr(opened, "VERSION", 1)
    with pytest.raises(StoreTooNew):
        Store.open(store.path, writer=False)


def test_prune_takes_both_files_of_what_nobody_needs(store: Store) -> None:
    record = add(store, "a", TEXT, days=40)
    archive(store)
    store.expand(record)
    store.catalog.forget_states(["a"])
    assert prune(store).blobs == 0  # the plain one is young
    assert prune(store, grace_s=-1).blobs == 2  # and the pickle
    assert not store.blobs.has(digest_of(TEXT))
    assert list(store.blobs.digests()) == list(store.blobs.archived()) == []


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.chmod(0o644)
    path.write_bytes(data)


def test_a_damaged_blob_is_not_archived(store: Store) -> None:
    add(store, "a", TEXT, days=40)
    flip(store.blobs.path(digest_of(TEXT)), 5000)
    assert archive(store).damaged_blobs == 1
    assert forms(store, TEXT) == "plain"


def test_no_flipped_bit_in_the_archive_gives_other_bytes(store: Store) -> None:
    record = add(store, "a", TEXT, days=40)
    archive(store)
    digest = digest_of(TEXT)
    path = store.blobs.archived_path(digest)
    whole = path.read_bytes()
    broken = [whole[:at] for at in (0, 10, 23, 24, 30, len(whole) - 1)] + [whole + b"x", whole + whole[24:]]
    dice = random.Random(3)
    places = [*range(40), *(dice.randrange(len(whole)) for _ in range(200))]
    broken += [whole[:at] + bytes([whole[at] ^ 1 << dice.randrange(8)]) + whole[at + 1 :] for at in places]
    path.chmod(0o644)
    refused = 0
    for data in broken:
        path.write_bytes(data)
        try:
            assert store.blobs.get(digest) == TEXT
        except CorruptBlob:
            refused += 1
            with pytest.raises(CorruptBlob) as caught:
                store.expand(record)
            assert caught.value.path == str(path)
            assert not store.blobs.is_plain(digest)
    assert refused >= len(broken) - 5  # zstd leaves a few bits unused
    assert list(store.blobs.new.iterdir()) == []


@pytest.mark.parametrize("damaged", ["plain", "archived"])
def test_of_two_files_one_is_enough(store: Store, damaged: str) -> None:
    record = add(store, "a", TEXT, days=40)
    archive(store)
    store.expand(record)
    path, place = (
        dict(zip(("plain", "archived"), store.blobs.files(digest_of(TEXT)), strict=True))[damaged],
        store.path,
    )
    flip(path, 3000)
    store.close()
    assert [finding.weight for finding in check(place)] == ["warning"]
    assert all(finding.is_repaired for finding in check(place, repair=True))
    assert check(place) == [] and not path.exists()
    with Store.open(place) as again:
        again.check_blobs(again.catalog.get_snapshot(again.catalog.state("a").snapshot))


def test_a_damaged_archive_costs_its_states_and_nothing_else(store: Store) -> None:
    add(store, "a", TEXT, days=40)
    add(store, "b", SHARED, days=40)
    archive(store)
    flip(store.blobs.archived_path(digest_of(TEXT)), 3000)
    store.close()
    assert [finding.weight for finding in check(store.path)] == ["error", "error"]
    assert check(store.path, verify=False) == []
    check(store.path, repair=True)
    with Store.open(store.path) as again:
        assert again.catalog.state("a").obstacles and not again.catalog.state("b").obstacles
        assert again.blobs.get(digest_of(SHARED)) == SHARED


def test_a_file_is_not_removed_when_the_other_one_has_just_gone(store: Store) -> None:
    record = add(store, "a", TEXT, days=40)
    archive(store)
    store.expand(record)
    is_sound = store.blobs.verify_archived

    def another_call(path: Path, digest: str, *, is_quick: bool = False) -> None:
        is_sound(path, digest, is_quick=is_quick)
        path.unlink()  # it has seen the state in use, and the plain file there

    store.blobs.verify_archived = another_call  # type: ignore[method-assign]
    archive(store)
    assert forms(store, TEXT) == "plain"


def test_what_is_opened_to_be_mapped_is_not_archived_meanwhile(store: Store) -> None:
    add(store, "a", TEXT, days=40)
    archive(store)
    expand = store.blobs.expand

    def looked_at(digest: str) -> bool:
        was_archived = expand(digest)
        with open(store.path / "prune.lock", "rb") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return was_archived

    store.blobs.expand = looked_at  # type: ignore[method-assign]
    os.close(store.blobs.open(digest_of(TEXT)))


def test_a_blob_that_changes_its_place_while_it_is_looked_for_is_found(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = add(store, "a", TEXT, days=40)
    archive(store)
    plain, archived = store.blobs.path(digest_of(TEXT)), store.blobs.archived_path(digest_of(TEXT))
    os_open, opened_paths = os.open, list[object]()

    def another_is_quicker(path: object, flags: int, mode: int = 0o777) -> int:
        opened_paths.append(path)
        if path == archived:
            monkeypatch.undo()
            store.expand(record)
            archive(store, in_use=["a"])
        return os_open(path, flags, mode)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", another_is_quicker)
    assert store.blobs.get(digest_of(TEXT)) == TEXT
    assert opened_paths == [plain, archived]


def test_nothing_is_lost_when_all_happens_at_once(store: Store) -> None:
    contents = [b"%d " % number * 10_000 for number in range(6)]
    records = [add(store, f"s{number}", content, days=40) for number, content in enumerate(contents)]
    over = threading.Event()

    def until_over(act: Callable[[random.Random], object]) -> None:
        dice = random.Random(act.__name__)
        while not over.is_set():
            act(dice)

    def rest(dice: random.Random) -> None:
        archive(store, in_use=[f"s{dice.randrange(6)}" for _ in range(3)])

    def rest_too(dice: random.Random) -> None:
        archive(store, in_use=[f"s{dice.randrange(6)}" for _ in range(3)])

    def use(dice: random.Random) -> None:
        number = dice.randrange(6)
        store.expand(records[number])
        assert bytes(map_blob(store.blobs, digest_of(contents[number]))) == contents[number]

    def clear(dice: random.Random) -> None:
        prune(store, grace_s=-1)

    dice = random.Random(4)
    with ThreadPoolExecutor(4) as threads:
        acts = [threads.submit(until_over, act) for act in (rest, rest_too, use, clear)]
        try:
            for number in range(150):
                content = contents[number % 6]
                assert store.blobs.get(digest_of(content)) == content
                # A prune beside it may take what it has put: it would be captured again.
                with suppress(MissingBlob):
                    another = b"another %d " % number * 3000
                    add(store, f"t{number % 3}", contents[dice.randrange(6)], another, days=40)
        finally:
            over.set()
    for act in acts:
        act.result()
    for row in store.catalog.states():
        if row.snapshot:
            store.check_blobs(store.catalog.get_snapshot(row.snapshot))

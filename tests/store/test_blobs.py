"""Blobs: complete or absent, verified, never changed; and what a disk may refuse."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stillframe.errors import CorruptBlob, MissingBlob, StoreFull, StoreReadOnly
from stillframe.store import Blobs, Store
from stillframe.store.blobs import CONTENT_AT, MAGIC, PIECE_BYTES, Batch, digest_of

shared_store = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@given(data=st.binary(max_size=70_000))
@shared_store
def test_get_gives_what_was_put(blobs: Blobs, data: bytes) -> None:
    digest = blobs.put(data)
    assert blobs.get(digest) == data
    assert blobs.size(digest) == len(data)
    assert digest_of(data) == digest
    blobs.verify(digest)


@given(batch=st.lists(st.binary(max_size=2_000), max_size=20))
@shared_store
def test_a_batch_stores_all_of_its_blobs(blobs: Blobs, batch: list[bytes]) -> None:
    with Batch(blobs) as putting:
        digests = [putting.put(data) for data in batch]
    assert [blobs.get(digest) for digest in digests] == batch
    assert list(blobs.new.iterdir()) == []


@pytest.mark.parametrize("is_new", [False, True])
@pytest.mark.parametrize("pieces", [1, 2, 17])
def test_large_blobs_are_written_in_pieces_and_are_right(blobs: Blobs, pieces: int, is_new: bool) -> None:
    edges = (-CONTENT_AT - 1, -CONTENT_AT, 1 - CONTENT_AT, 0, 1)
    large = [os.urandom(pieces * PIECE_BYTES + edge) for edge in edges]
    with Batch(blobs) as batch:
        digests = [batch.put(data, is_new=is_new) for data in large]
        assert batch.written_bytes == sum(map(len, large))
    assert digests == [digest_of(data) for data in large]
    assert [blobs.get(digest) for digest in digests] == large


def test_what_is_thought_to_be_new_and_is_not_is_dropped(blobs: Blobs) -> None:
    data = os.urandom(3_000_000)
    digest = blobs.put(data)
    before = os.stat(blobs.path(digest))
    with Batch(blobs) as batch:
        assert batch.put(data, is_new=True) == digest
        assert batch.put(b"+" + data, is_new=True) == batch.put(b"+" + data, is_new=True)
        assert batch.written_bytes == len(data) + 1
    after = os.stat(blobs.path(digest))
    assert (before.st_ino, before.st_ctime_ns) == (after.st_ino, after.st_ctime_ns)
    assert list(blobs.new.iterdir()) == []


def test_a_batch_of_many_blobs_has_few_files_open(blobs: Blobs) -> None:
    data = [os.urandom(100) for _ in range(200)]
    most, before = 0, len(os.listdir("/proc/self/fd"))
    with Batch(blobs) as batch:
        for piece in data:
            batch.put(piece)
            most = max(most, len(os.listdir("/proc/self/fd")))
    assert most - before <= 40
    assert len(os.listdir("/proc/self/fd")) == before
    assert [blobs.get(digest_of(piece)) for piece in data] == data


def test_a_blob_that_is_there_is_not_written_again(blobs: Blobs) -> None:
    digest = blobs.put(b"once")
    before = os.stat(blobs.path(digest))
    with Batch(blobs) as batch:
        assert batch.put(b"once") == digest
        assert batch.written_bytes == 0
    after = os.stat(blobs.path(digest))
    assert (before.st_ino, before.st_ctime_ns) == (after.st_ino, after.st_ctime_ns)


def test_digests_lists_what_is_there_in_order(blobs: Blobs) -> None:
    digests = {blobs.put(bytes([number])) for number in range(50)}
    assert list(blobs.digests()) == sorted(digests)


def test_the_content_begins_where_malloc_begins_its_large_blocks(blobs: Blobs) -> None:
    digest = blobs.put(b"content")
    with open(blobs.open(digest), "rb") as file:
        assert file.read() == MAGIC + b"content"
    assert CONTENT_AT == 16


def test_an_exception_in_a_batch_leaves_nothing(blobs: Blobs) -> None:
    def fail() -> None:
        with Batch(blobs) as batch:
            batch.put(b"small")
            batch.put(bytes(2_000_000), is_new=True)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(blobs.digests()) == []
    assert list(blobs.new.iterdir()) == []


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_a_flipped_bit_is_refused_not_returned(blobs: Blobs, size: int) -> None:
    digest = blobs.put(bytes(size))
    path = blobs.path(digest)
    data = bytearray(path.read_bytes())
    for at in {0, len(data) // 2, len(data) - 1}:
        data[at] ^= 4
        path.chmod(0o644)
        path.write_bytes(data)
        for read in (blobs.get, blobs.verify):
            with pytest.raises(CorruptBlob, match=digest[:12]) as caught:
                read(digest)
            assert caught.value.digest == digest and "still doctor" in str(caught.value)
        data[at] ^= 4


@pytest.mark.parametrize("length", [0, 10, 16, 500])
def test_a_truncated_blob_is_refused_and_put_mends_it(blobs: Blobs, length: int) -> None:
    digest = blobs.put(b"x" * 1000)
    os.truncate(blobs.path(digest), length)
    with pytest.raises(CorruptBlob):
        blobs.get(digest)
    assert blobs.put(b"x" * 1000) == digest
    assert blobs.get(digest) == b"x" * 1000


def test_a_missing_blob_is_named(blobs: Blobs) -> None:
    digest = digest_of(b"never put")
    for ask in (blobs.get, blobs.verify, blobs.size, blobs.open, blobs.token):
        with pytest.raises(MissingBlob, match=digest[:12]):
            ask(digest)
    assert not blobs.has(digest)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 63 + "/"])
def test_what_is_no_digest_reaches_no_file(blobs: Blobs, name: str) -> None:
    with pytest.raises(MissingBlob):
        blobs.get(name)


def test_threads_that_put_the_same_bytes_agree(blobs: Blobs) -> None:
    start = threading.Barrier(4)
    found = []

    def put() -> None:
        start.wait()
        found.extend(blobs.put(bytes([number]) * 5_000) for number in range(40))

    threads = [threading.Thread(target=put) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 160
    for digest in set(found):
        blobs.verify(digest)
    assert list(blobs.new.iterdir()) == []


# --- in pieces


def test_a_blob_may_come_in_pieces(blobs: Blobs) -> None:
    digest = digest_of(b"one two three")
    with blobs.receiving(digest) as receiving:
        for piece in (b"one ", b"two ", b"three"):
            assert not blobs.has(digest)
            receiving.write(piece)
        receiving.finish()
    assert blobs.get(digest) == b"one two three"


def test_pieces_of_another_blob_get_no_name(blobs: Blobs) -> None:
    digest = digest_of(b"expected")
    with blobs.receiving(digest) as receiving:
        receiving.write(b"something else")
        with pytest.raises(CorruptBlob):
            receiving.finish()
    assert not blobs.has(digest)
    assert list(blobs.new.iterdir()) == []


def test_pieces_without_an_end_leave_nothing(blobs: Blobs) -> None:
    with blobs.receiving(digest_of(b"abc")) as receiving:
        receiving.write(b"ab")
    assert list(blobs.digests()) == []
    assert list(blobs.new.iterdir()) == []


# --- what a disk refuses


@pytest.fixture
def at_most_100_kb() -> object:
    """No file may grow beyond 100 KB: as a disk that becomes full in the middle of a write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("at_most_100_kb")
@pytest.mark.parametrize("size", [200_000, 3_000_000])
def test_a_full_disk_says_what_is_needed_and_leaves_nothing_half(blobs: Blobs, size: int) -> None:
    small = blobs.put(b"small")
    with pytest.raises(StoreFull, match="has no room") as caught:
        blobs.put(bytes(size))
    assert caught.value.store == str(blobs.store)
    assert caught.value.needed_bytes == size
    assert "still prune" in caught.value.hint
    assert list(blobs.digests()) == [small]
    assert list(blobs.new.iterdir()) == []


@pytest.mark.usefixtures("at_most_100_kb")
def test_a_full_disk_in_the_middle_of_pieces_leaves_nothing_half(blobs: Blobs) -> None:
    data = bytes(200_000)
    with pytest.raises(StoreFull), blobs.receiving(digest_of(data)) as receiving:
        receiving.write(data)
    assert list(blobs.new.iterdir()) == []


FULL_FILE_SYSTEM = """
import os, sys
from stillframe.errors import StoreFull
from stillframe.store import Store, StateRow, write_snapshot
from stillframe.store.prune import prune
place = sys.argv[1]
os.system(f"mount -t tmpfs -o size=3m none {place}") == 0 or sys.exit(77)
stored = []
with open(place + "/ballast", "wb") as ballast:
    ballast.write(bytes(400_000))
with Store.open(place + "/store") as store:
    try:
        for number in range(1000):
            record = write_snapshot(store.blobs, b"{}", os.urandom(100_000), [os.urandom(50_000)])
            with store.catalog.transaction():
                store.catalog.add_state(StateRow(id=str(number), code="x" * 1000))
                store.catalog.add_snapshot(str(number), record)
            stored.append((str(number), record))
    except StoreFull as error:
        print(error)
        assert error.store == place + "/store", error.store
    else:
        raise AssertionError("it never became full")
    os.listdir(place + "/store/new") == [] or sys.exit("left behind")
with Store.open(place + "/store") as store:
    assert [row.id for row in store.catalog.states()] == [state_id for state_id, _ in stored]
    for state_id, record in stored:
        store.check_blobs(record)
        assert store.catalog.get_snapshot(store.catalog.state(state_id).snapshot) == record
    for digest in store.blobs.digests():
        store.blobs.verify(digest)
    # With room again it goes on.
    os.unlink(place + "/ballast")
    store.catalog.forget_states([stored[-1][0]])
    assert prune(store, grace_s=-1).blobs >= 2
    store.blobs.put(os.urandom(100_000))
"""


def test_a_full_file_system_loses_nothing_that_was_stored(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("to mount a small file system takes root")
    place = tmp_path / "small"
    place.mkdir()
    command = ["unshare", "--mount", sys.executable, "-c", FULL_FILE_SYSTEM, str(place)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip("nothing may be mounted here")
    assert done.returncode == 0, done.stderr
    assert "has no room" in done.stdout


READ_ONLY = """
import os, sys
from stillframe.errors import StoreError, StoreReadOnly
from stillframe.store import Blobs, Store
place = sys.argv[1]
os.system(f"mount --bind {place} {place} && mount -o remount,bind,ro {place}") == 0 or sys.exit(77)
blobs = Blobs(place)
blobs.put(b"known")
try:
    blobs.put(b"new")
except StoreReadOnly as error:
    print(error)
try:
    Store.open(place)
except StoreReadOnly as error:
    print(error)
with Store.open(place, writer=False) as store:
    print([row.id for row in store.catalog.states()], store.blobs.get(sys.argv[2]))
    try:
        store.catalog.bind_name("a", "b")
    except StoreReadOnly as error:
        print(error)
"""


def test_a_read_only_store_is_read_and_says_that_it_takes_nothing(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("to mount a store read-only takes root")
    place = tmp_path / "store"
    with Store.open(place) as store:
        digest = store.blobs.put(b"known")
    command = ["unshare", "--mount", sys.executable, "-c", READ_ONLY, str(place), digest]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip("nothing may be mounted here")
    assert done.returncode == 0, done.stderr
    first, second, third, fourth = done.stdout.splitlines()
    assert "cannot be written to" in first and "cannot be written to" in second
    assert third == "[] b'known'"
    assert "reading only" in fourth


def test_who_may_not_write_is_told(blobs: Blobs) -> None:
    with pytest.raises(StoreReadOnly, match="Permission denied"):
        raise_permission(blobs)


def raise_permission(blobs: Blobs) -> None:
    from stillframe.store.disk import writing_to

    with writing_to(blobs.store):
        raise PermissionError(13, "Permission denied", str(blobs.new))

"""Transfers between two stores at rest: only what is missing travels, and what was cut off goes on."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from stillframe.errors import CorruptBlob, CorruptSnapshot, MissingBlob, NameTaken, UntrustedSnapshot
from stillframe.store import Store
from stillframe.store.manifests import Manifest, Received
from stillframe.store.prune import prune
from stillframe.store.transfer import AtRest, transfer
from store_moving.stores import contents, grown, is_empty

ROOT = Path(__file__).resolve().parents[2]


class Counting:
    """Notes what is sent."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.sent_bytes = 0

    def begin(self, manifest: Manifest, missing_bytes: int) -> None:
        self.begun.append(missing_bytes)

    def sent(self, size_bytes: int) -> None:
        self.sent_bytes += size_bytes


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Store]:
    with grown(tmp_path / "here", "first", "second", "third") as store:
        yield store


@pytest.fixture
def there(tmp_path: Path, here: Store) -> Iterator[Store]:
    with Store.open(tmp_path / "there") as store:
        store.catalog.trust_key(here.key().public, "here")
        yield store


def send(here: Store, there: Store, name: str, **options: object) -> tuple[Received, int]:
    return transfer(AtRest(here), AtRest(there), name, **options)  # type: ignore[arg-type]


def test_a_state_arrives_as_it_was_and_nothing_is_sent_twice(here: Store, there: Store) -> None:
    watcher = Counting()
    received, sent_bytes = send(here, there, "first", watcher=watcher)
    assert received.name == "first" and sent_bytes == watcher.sent_bytes == sum(watcher.begun) > 3_000_000
    assert contents(there, "first") == contents(here, "first")
    # The second shares the large buffer with the first; the patch's other side is the first's pickle.
    assert send(here, there, "second")[1] < 100_000
    assert contents(there, "second") == contents(here, "second")
    assert send(here, there, "second")[1] == 0


def test_a_transfer_can_be_called_something_else_there(here: Store, there: Store) -> None:
    assert send(here, there, "first", new_name="other")[0].name == "other"
    with pytest.raises(NameTaken):
        send(here, there, "second", new_name="other")
    assert contents(there, "other") == contents(here, "first")


def test_nothing_is_sent_to_whom_does_not_trust_us(here: Store, tmp_path: Path) -> None:
    with Store.open(tmp_path / "stranger") as stranger:
        with pytest.raises(UntrustedSnapshot):
            send(here, stranger, "first")
        assert is_empty(stranger) and not list(stranger.blobs.digests())
        send(here, stranger, "first", trust=True)
        assert contents(stranger, "first") == contents(here, "first")


def test_a_blob_with_another_content_is_not_named(there: Store) -> None:
    digest = "0" * 64
    with pytest.raises(CorruptBlob):
        AtRest(there).write(digest, 3, [b"abc"])
    assert is_empty(there) and not there.blobs.has(digest)


@pytest.mark.parametrize("digest", ["../../../etc/passwd", "..", "", "a" * 63, "A" * 64, "a" * 64 + "\n", "é" * 64])
def test_what_is_no_digest_is_no_path(there: Store, digest: str) -> None:
    with pytest.raises(MissingBlob):
        AtRest(there).write(digest, 3, [b"abc"])
    with pytest.raises(MissingBlob), AtRest(there).read(digest) as content:
        list(content)
    assert is_empty(there)


def test_an_error_on_the_way_ends_all_that_is_under_way_and_names_nothing(here: Store, there: Store) -> None:
    class Flaky(AtRest):
        """The disk over there refuses the second blob."""

        count, lock = 0, threading.Lock()

        def write(self, digest: str, size_bytes: int, content: Iterable[bytes]) -> None:
            with self.lock:
                self.count += 1
                number = self.count
            if number == 2:
                raise OSError("no more")
            super().write(digest, size_bytes, content)

    with pytest.raises(OSError, match="no more"):
        transfer(AtRest(here), Flaky(there), "third", lineage=True)
    assert is_empty(there)
    send(here, there, "third", lineage=True)
    assert contents(there, "second") == contents(here, "second")


def test_who_asks_for_other_blobs_is_given_none(here: Store) -> None:
    asked: list[str] = []

    class Spy(AtRest):
        """Wants to have what it was not told of."""

        def receive(self, signed: bytes, *, name: str | None = None, trust: bool = False) -> Received:
            return Received(missing=["f" * 64])

        def write(self, digest: str, size_bytes: int, content: Iterable[bytes]) -> None:
            asked.append(digest)

    with pytest.raises(CorruptSnapshot, match="not of state 'first'"):
        transfer(AtRest(here), Spy(here), "first")
    assert asked == []


def test_a_blob_that_a_prune_takes_meanwhile_is_sent_again(here: Store, there: Store) -> None:
    class Pruned(AtRest):
        """A prune comes between the blobs and the manifest, once."""

        rounds = 0

        def receive(self, signed: bytes, *, name: str | None = None, trust: bool = False) -> Received:
            self.rounds += 1
            if self.rounds == 2:
                assert prune(there, grace_s=0).blobs > 0
            return super().receive(signed, name=name, trust=trust)

    assert transfer(AtRest(here), Pruned(there), "first")[0].name == "first"
    assert contents(there, "first") == contents(here, "first")


KILLED = """
import os, sys
sys.path[:0] = sys.argv[4:]
from stillframe.store import Store, transfer as transfers
from stillframe.store.transfer import AtRest, transfer

transfers._AT_ONCE = 1

class Killed(AtRest):
    written = 0
    def write(self, digest, size_bytes, content):
        def dying():
            for piece in content:
                yield piece
                if Killed.written == int(sys.argv[3]):
                    os.kill(os.getpid(), 9)
        super().write(digest, size_bytes, dying())
        Killed.written += 1

with Store.open(sys.argv[1]) as here, Store.open(sys.argv[2]) as there:
    transfer(AtRest(here), Killed(there), "third", lineage=True)
"""


def test_a_transfer_that_is_killed_names_nothing_and_goes_on_where_it_was(here: Store, there: Store) -> None:
    paths = [here.path, there.path]
    total_bytes = sum(map(here.blobs.size, here.blobs.digests()))
    here.close()
    there.close()
    left_bytes = []
    for count in (0, 1, 2):
        words = [sys.executable, "-c", KILLED, *map(str, paths), str(count), str(ROOT / "src")]
        assert subprocess.run(words, check=False, timeout=60).returncode == -9
        with Store.open(paths[1]) as there:
            assert is_empty(there)
            for digest in there.blobs.digests():
                there.blobs.verify(digest)
            left_bytes.append(total_bytes - sum(map(there.blobs.size, there.blobs.digests())))
    with Store.open(paths[0]) as here, Store.open(paths[1]) as there:
        sent_bytes = send(here, there, "third", lineage=True)[1]
        assert sent_bytes == left_bytes[2] < left_bytes[1] < left_bytes[0] == total_bytes
        for name in ("first", "second", "third"):
            assert contents(there, name) == contents(here, name)


def test_several_transfers_at_once_into_one_store(here: Store, there: Store) -> None:
    errors: list[BaseException] = []

    def work(name: str, new_name: str) -> None:
        try:
            send(here, there, name, new_name=new_name, lineage=True)
        except BaseException as error:  # noqa: BLE001 - it is raised in the test's thread
            errors.append(error)

    jobs = [(name, f"{name}/{number}") for name in ("first", "second", "third") for number in range(3)]
    threads = [threading.Thread(target=work, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for name, new_name in jobs:
        assert contents(there, new_name) == contents(here, name)
    assert len(there.catalog.states()) == 4


def test_a_store_that_a_server_has_is_read_beside_it(here: Store, there: Store) -> None:
    with Store.open(here.path, create=False, writer=False) as reader:
        assert transfer(AtRest(reader), AtRest(there), "third")[0].name == "third"
    assert contents(there, "third") == contents(here, "third")



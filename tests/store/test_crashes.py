"""After a crash nothing that was acknowledged is missing or wrong, and no half blob has a name.

Power cuts: a recorded run, and from it what a disk may hold at any of its points. SIGKILL: real ones.
STILLFRAME_CRASH_POINTS sets how many points are tried.
"""

from __future__ import annotations

import os
import random
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stillframe.store import Store
from stillframe.store.blobs import digest_of
from store import crash_worker, power_cuts

POINTS = int(os.environ.get("STILLFRAME_CRASH_POINTS", "60"))
ROUNDS = 25


def left_after(acks: list[str]) -> tuple[list[str], set[str]]:
    """The states that must be there, and those that may be."""
    gone = {line.removeprefix("going ") for line in acks if line.startswith("going ")}
    stored = [line.removeprefix("stored ") for line in acks if line.startswith("stored ")]
    return [state_id for state_id in stored if state_id not in gone], gone


def check_store(place: Path, acks: list[str]) -> None:
    """That the store opens, has all that was acknowledged, and nothing half."""
    must, may = left_after(acks)
    with Store.open(place) as store:
        there = {row.id for row in store.catalog.states()}
        assert set(must) <= there
        # One state more than was acknowledged may have become durable: the crash came before the word.
        assert len(there - set(must) - may) <= 1
        for state_id in there:
            crash_worker.check_state(store, state_id)
        for digest in store.blobs.digests():
            store.blobs.verify(digest)
        for digest in store.blobs.archived():
            store.blobs.verify_archived(store.blobs.archived_path(digest), digest)
        assert list(store.blobs.new.iterdir()) == []


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler is here")
    return power_cuts.build_recorder(tmp_path_factory.mktemp("recorder"))


def recorded_run(recorder: Path, directory: Path, seed: int) -> list[power_cuts.Event]:
    """What a run of the worker did to its disk."""
    place, acks = directory / "disk" / "store", directory / "disk" / power_cuts.ACKS
    return recorded(
        recorder, directory, [crash_worker.__file__, str(place), str(acks), str(seed), str(ROUNDS)]
    )


def recorded(recorder: Path, directory: Path, arguments: list[str]) -> list[power_cuts.Event]:
    """What the interpreter with these arguments did below `directory`/disk."""
    disk = directory / "disk"
    disk.mkdir()
    tests = str(Path(__file__).parent.parent)
    source = str(Path(tests).parent / "src")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", f"{source}:{tests}"),
        "LD_PRELOAD": str(recorder),
        "RECORD_ROOT": str(disk),
        "RECORD_LOG": str(directory / "record"),
    }
    subprocess.run([sys.executable, *arguments], env=environment, check=True, timeout=120)
    return power_cuts.read_record(directory / "record")


def test_the_record_is_the_whole_truth(recorder: Path, tmp_path: Path) -> None:
    events = recorded_run(recorder, tmp_path, seed=1)
    disk = power_cuts.Disk()
    for event in events:
        disk.apply(event)
    replayed = tmp_path / "replayed"
    disk.write_to(replayed, None)
    there = {path.relative_to(replayed): path.read_bytes() for path in replayed.rglob("*") if path.is_file()}
    real = tmp_path / "disk"
    assert there == {
        path.relative_to(real): path.read_bytes()
        for path in real.rglob("*")
        if path.is_file() and path.name != power_cuts.ACKS and not path.name.endswith("-shm")
    }
    check_store(replayed / "store", disk.acks)


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_no_power_cut_loses_what_was_acknowledged(
    recorder: Path, tmp_path: Path, quick: Path, seed: int
) -> None:
    events = recorded_run(recorder, tmp_path, seed)
    assert any(event.what == power_cuts.RENAME for event in events)
    assert any(event.what == power_cuts.UNLINK and "/archive/" in event.path for event in events)
    for point, disk, dice in power_cuts.crashes(events, POINTS // 3, seed):
        place = quick / f"after-{point}"
        disk.write_to(place, dice)
        check_store(place / "store", disk.acks)
        shutil.rmtree(place)


ANOTHER_HAS_JUST_NAMED_IT = """
import os, sys
from stillframe.store import Blobs, Store, write_snapshot
place = sys.argv[1]
Store.open(place).close()
blobs = Blobs(place)
digest = blobs.put(b"known")
path = blobs.path(digest)
new = blobs.new / "another"
new.write_bytes(path.read_bytes())
with open(new, "rb") as file:
    os.fsync(file.fileno())
path.unlink()
os.fsync(os.open(path.parent, os.O_RDONLY))
os.rename(new, path)  # as another process does just before its sync of the directory
assert write_snapshot(blobs, b"{}", b"pickle", [b"known"]).buffers[0].digest == digest
"""


def test_a_blob_that_another_process_has_just_named_is_made_durable(recorder: Path, tmp_path: Path) -> None:
    arguments = ["-c", ANOTHER_HAS_JUST_NAMED_IT, str(tmp_path / "disk" / "store")]
    disk = power_cuts.Disk()
    for event in recorded(recorder, tmp_path, arguments):
        disk.apply(event)
    # All that was not synced is lost.
    never = random.Random(0)
    never.random = lambda: 0.0  # type: ignore[method-assign]
    disk.write_to(tmp_path / "after", never)
    with Store.open(tmp_path / "after" / "store") as store:
        assert store.blobs.get(digest_of(b"known")) == b"known"
        assert store.blobs.get(digest_of(b"pickle")) == b"pickle"


def test_a_killed_writer_leaves_nothing_half(quick: Path) -> None:
    dice = random.Random(5)
    for number in range(max(3, POINTS // 10)):
        place = quick / f"store-{number}"
        reading, writing = os.pipe()
        command = [
            sys.executable,
            crash_worker.__file__,
            str(place),
            f"/dev/fd/{writing}",
            str(number),
            "1000",
        ]
        writer = subprocess.Popen(command, pass_fds=[writing])
        os.close(writing)
        said, enough = b"", dice.randrange(1, 12)
        while said.count(b"\n") < enough:
            more = os.read(reading, 1 << 16)
            assert more, "the writer has ended by itself"
            said += more
        # Somewhere in what it does next.
        select.select([], [], [], dice.random() * 0.02)
        writer.send_signal(signal.SIGKILL)
        assert writer.wait() == -signal.SIGKILL
        while more := os.read(reading, 1 << 16):
            said += more
        os.close(reading)
        check_store(place, said.decode().split("\n")[:-1])
        shutil.rmtree(place)

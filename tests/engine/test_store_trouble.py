"""Where the disk takes nothing, cells run on, what was stored stays stored, and the kernel says what is wrong.

The disk is made to refuse by a limit on the size of files (RLIMIT_FSIZE), which any user may set, and where mounts are
possible by a small disk that is full.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes import held_to_permissions, until
from support.stored import Stored, stored

LARGE = "x = bytearray(8 << 20)"
_RETRIED_S = 90


@contextlib.contextmanager
def files_of_at_most(server: Stored, size_bytes: int, only_the_server: bool = False) -> Iterator[None]:
    """No process of the server can write a larger file."""
    pids = [server.process.pid] if only_the_server else list(server.left())
    _limit(pids, size_bytes)
    yield
    _limit([server.process.pid, *server.left()], resource.RLIM_INFINITY)


def _limit(pids: list[int], size_bytes: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))


@contextlib.contextmanager
def small_disk(place: Path, size_mib: int) -> Iterator[None]:
    """A file system of its own at `place`, with so much room."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    place.mkdir()
    options = f"size={size_mib}m,mode=0700"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def fill(path: Path) -> None:
    """Take all the room that is left on a disk."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 20))


def trouble(server: Stored) -> str:
    return str(server.call("GET", "/health")[1]["store"]["trouble"])


def test_a_full_disk_is_said_and_what_was_not_stored_is_stored_when_there_is_room_again(
    tmp_path: Path,
) -> None:
    with stored(tmp_path) as server:
        server.ok("y = 1", name="before")
        server.wait_stored()
        with files_of_at_most(server, 2 << 20):
            server.ok(LARGE, name="large")
            told = until(lambda: trouble(server), 60, "the kernel says that nothing is stored")
            assert str(server.store) in told and "has no room" in told
            assert server.tree()["store"]["trouble"] == told
            assert "snapshots are not stored" in server.stderr_path.read_text()
            assert server.printed("x[0] = 1; print(len(x) >> 20)", "large") == "8\n"  # cells run on
            assert not server.node("large")["stored"] and server.node("before")["stored"]
            assert server.processes_of("large")
        until(lambda: server.is_stored("large"), _RETRIED_S, "it is stored now that there is room")
        assert trouble(server) == "" and "stored again" in server.stderr_path.read_text()
        server.restart(signal.SIGKILL)
        assert server.printed("print(len(x) >> 20)", "large") == "8\n"


def test_a_disk_without_room_loses_nothing_that_was_stored_and_catches_up(tmp_path: Path) -> None:
    with small_disk(tmp_path / "store", 40), stored(tmp_path) as server:
        server.ok("y = 1", name="before")
        server.wait_stored()
        fill(server.store / "filler")
        server.ok(LARGE, name="large")
        told = until(lambda: trouble(server), 60, "the kernel says that nothing is stored")
        assert str(server.store) in told and "has no room" in told
        assert server.printed("x[0] = 1; print(len(x) >> 20)", "large") == "8\n"
        server.restart(signal.SIGKILL)  # what was stored is there again while the disk is still full
        assert server.value("before", "y") == 1
        server.ok("y += 1", "before", "after")
        until(lambda: trouble(server), 60, "the kernel says that nothing is stored")
        (server.store / "filler").unlink()
        until(server.is_stored, _RETRIED_S, "all is stored now that there is room")
        assert trouble(server) == "" and not list((server.store / "new").iterdir())
        server.restart(signal.SIGKILL)
        assert server.value("after", "y") == 2


def test_a_disk_without_room_for_an_export_is_said_and_keeps_nothing_of_it(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 4), stored(tmp_path) as server:
        server.ok("import os; x = bytearray(os.urandom(8 << 20))", name="large")
        server.wait_stored()
        command = [sys.executable, "-m", "stillframe", "export", "large", "--store", str(server.store), "small/export"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr == (
            "still: small/export cannot be written: No space left on device. Nothing half is left behind.\n"
        )
        assert not list((tmp_path / "small").iterdir())


def test_a_catalog_that_cannot_be_written_loses_nothing_that_was_stored_and_catches_up(
    tmp_path: Path,
) -> None:
    with stored(tmp_path) as server:
        server.ok("y = 1", name="before")
        server.wait_stored()
        with files_of_at_most(server, 1, only_the_server=True):
            server.ok("y = 2", name="unwritten")
            until(lambda: trouble(server), 60, "the kernel says that nothing is stored")
            server.ok("y += 1", "unwritten", "unwritten too")
            assert not server.node("unwritten")["stored"] and server.node("before")["stored"]
        until(server.is_stored, _RETRIED_S, "all is stored")
        assert trouble(server) == ""
        server.restart(signal.SIGKILL)
        values = [server.value(name, "y") for name in ("before", "unwritten", "unwritten%20too")]
        assert values == [1, 2, 3]


def test_what_was_stored_is_there_after_a_stop_with_a_full_disk(tmp_path: Path) -> None:
    with stored(tmp_path) as server:
        server.ok("y = 1", name="before")
        server.wait_stored()
        _limit(list(server.left()), 1)
        server.ok("y = 2", name="lost")
        until(lambda: trouble(server), 60, "the kernel says that nothing is stored")
        server.restart()  # it does not wait for a disk that takes nothing
        assert server.node("before")["stored"] and server.value("before", "y") == 1


def test_no_state_is_evicted_while_nothing_can_be_stored(tmp_path: Path) -> None:
    with stored(tmp_path, "--process-budget", "4") as server:
        with files_of_at_most(server, 1):
            for number in range(8):
                server.ok(f"x = {number}", name=f"n{number}")
            until(lambda: trouble(server), 60, "the kernel says that nothing is stored")
            assert all(server.processes_of(f"n{number}") for number in range(8))
        until(lambda: not server.processes_of("n0"), _RETRIED_S, "it is evicted now that it is stored")
        assert server.value("n0", "x") == 0


def test_a_read_only_store_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with stored(tmp_path) as server:
        server.ok("y = 1", name="one")
    for directory in (server.store, server.store / "new"):
        directory.chmod(0o500)
    command = [sys.executable, "-P", "-m", "stillframe.serve", "--token", "t", "--store", str(server.store)]
    done = subprocess.run(
        [*held_to_permissions(), *command],
        capture_output=True,
        text=True,
        timeout=30,
        stdin=subprocess.DEVNULL,
    )
    for directory in (server.store, server.store / "new"):
        directory.chmod(0o700)
    assert done.returncode == 2 and "cannot be written to" in done.stderr and "Traceback" not in done.stderr

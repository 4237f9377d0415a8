"""A call that waits is made again with the time that was left.

Each program waits for LONG_S in one way, in a thread, and says when it begins and how it ends. It is captured when
MOST of the wait has passed, and resumed: it must go on waiting for what was left, neither all of it nor nothing.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from run.running import resumed, started, until

LONG_S, PASSED_S = 2.0, 1.5
LEAST_S, MOST_S = 1.6, 3.0
"""The program counts how long it lives, in both processes: two seconds if it waits for what was left, else 3.5."""

WAYS = {
    "sleep": "time.sleep({s})",
    "sleep_packed": "time.sleep(*arguments)",
    "lock": "lock.acquire(timeout={s})",
    "lock_by_position": "lock.acquire(True, {s})",
    "rlock": "held.acquire(timeout={s})",
    "condition": "condition.__enter__(); condition.wait({s})",
    "event": "threading.Event().wait({s})",
    "wait_for": "condition.__enter__(); condition.wait_for(lambda: False, {s})",
    "queue": "queue.Queue().get(timeout={s})",
    "simple_queue": "queue.SimpleQueue().get(timeout={s})",
    "semaphore": "threading.Semaphore(0).acquire(timeout={s})",
    "join": "threading.main_thread().join({s})",
    "future": "concurrent.futures.Future().result({s})",
}

PROGRAM = """
import concurrent.futures, queue, threading, time
lock, held, condition = threading.Lock(), threading.RLock(), threading.Condition()
lock.acquire(), held.acquire()
arguments = (LONG,)
def work():
    print('begin', flush=True)
    try:
        WAY
    except (queue.Empty, TimeoutError, concurrent.futures.TimeoutError):
        pass
thread = threading.Thread(target=work)
lived, last = 0.0, time.monotonic()
thread.start()
while thread.is_alive():
    time.sleep(0.001)
    now = time.monotonic()
    lived += max(0.0, min(now - last, 0.25))
    last = now
print(lived)
"""


@pytest.mark.parametrize("way", sorted(WAYS))
def test_what_was_left_of_a_wait_is_waited(way: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        PROGRAM.replace("LONG", str(LONG_S)).replace("WAY", WAYS[way].format(s=LONG_S))
    )
    snapshot = tmp_path / "program.py.snapshot"
    with started("run", "--every", "never", "--on", "USR1", "--quiet", "program.py", cwd=tmp_path) as process:
        assert process.stdout is not None and process.stdout.readline() == "begin\n"
        time.sleep(PASSED_S)  # what is measured is time itself
        process.send_signal(signal.SIGUSR1)
        until(snapshot.exists, "snapshot")
        process.kill()
    done = resumed(snapshot, "--once", cwd=tmp_path)
    assert (done.stderr, done.returncode) == ("", 0)
    assert LEAST_S < float(done.stdout) < MOST_S


def test_a_wait_without_an_end_goes_on_for_ever_and_one_that_is_over_ends_at_once(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import threading\nlock = threading.Lock(); lock.acquire()\nprint('begin', flush=True)\nlock.acquire()\n"
    )
    snapshot = tmp_path / "program.py.snapshot"
    with started("run", "--every", "0.05s", "--quiet", "program.py", cwd=tmp_path):
        until(snapshot.exists, "snapshot")
    again = tmp_path / "again"
    snapshot.rename(again)
    with started("resume", str(again), cwd=tmp_path) as process:
        first = again.stat().st_ino
        until(lambda: again.stat().st_ino != first, "capture of the resumed program")
        assert process.poll() is None

"""A call that waits is made again with the time that was left.

One program waits for LONG_S in all ways at once, each in a thread of its own. It is captured when PASSED_S of that
are over, and resumed: each must go on waiting for what was left, neither for all of it nor not at all.
"""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

from run.running import resumed, started, until

LONG_S, PASSED_S = 6.0, 3.0
SLACK_S = 2.0
"""A thread lives for LONG_S in both processes together; for 9 s if it waits for all of it again, for 3 s if not at
all. The time between the processes does not count, but the machine may be slow."""

WAYS = {
    "sleep": "time.sleep({s})",
    "sleep_packed": "time.sleep(*arguments)",
    "lock": "locks[0].acquire(timeout={s})",
    "lock_by_position": "locks[0].acquire(True, {s})",
    "rlock": "locks[1].acquire(timeout={s})",
    "condition": "conditions[0].__enter__(); conditions[0].wait({s})",
    "event": "threading.Event().wait({s})",
    "wait_for": "conditions[1].__enter__(); conditions[1].wait_for(lambda: False, {s})",
    "queue": "queue.Queue().get(timeout={s})",
    "simple_queue": "queue.SimpleQueue().get(timeout={s})",
    "semaphore": "threading.Semaphore(0).acquire(timeout={s})",
    "join": "threading.main_thread().join({s})",
    "future": "concurrent.futures.Future().result({s})",
}

PROGRAM = """
import concurrent.futures, json, os, queue, threading, time
locks, conditions = [threading.Lock(), threading.RLock()], [threading.Condition(), threading.Condition()]
locks[0].acquire(), locks[1].acquire()
arguments = (LONG,)
def work(way):
    print('begin', flush=True)
    try:
        exec(way)
    except (queue.Empty, TimeoutError, concurrent.futures.TimeoutError):
        pass
threads = {way: threading.Thread(target=work, args=(text,)) for way, text in WAYS.items()}
lived, last, here = {}, time.monotonic(), os.getpid()
total = 0.0
for thread in threads.values():
    thread.start()
while len(lived) < len(threads):
    time.sleep(0.001)
    if os.getpid() == here:
        total += time.monotonic() - last
    here, last = os.getpid(), time.monotonic()
    for way, thread in threads.items():
        if not thread.is_alive():
            lived.setdefault(way, total)
print(json.dumps(lived))
"""


def test_what_was_left_of_a_wait_is_waited(tmp_path: Path) -> None:
    ways = {way: text.format(s=LONG_S) for way, text in WAYS.items()}
    (tmp_path / "program.py").write_text(PROGRAM.replace("LONG", str(LONG_S)).replace("WAYS", repr(ways)))
    snapshot = tmp_path / "program.py.snapshot"
    with started("run", "--every", "never", "--on", "USR1", "--quiet", "program.py", cwd=tmp_path) as process:
        assert process.stdout is not None
        for _ in WAYS:
            assert process.stdout.readline() == "begin\n"
        time.sleep(PASSED_S)  # what is measured is time itself
        process.send_signal(signal.SIGUSR1)
        until(snapshot.exists, "snapshot", process)
    done = resumed(snapshot, "--once", cwd=tmp_path)
    assert (done.stderr, done.returncode) == ("", 0)
    wrong = {way: s for way, s in json.loads(done.stdout).items() if not LONG_S - 1 < s < LONG_S + SLACK_S}
    assert wrong == {}


def test_a_wait_without_an_end_goes_on_for_ever_and_one_that_is_over_ends_at_once(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import threading\nlock = threading.Lock(); lock.acquire()\nprint('begin', flush=True)\nlock.acquire()\n"
    )
    snapshot = tmp_path / "program.py.snapshot"
    with started("run", "--every", "0.05s", "--quiet", "program.py", cwd=tmp_path) as process:
        until(snapshot.exists, "snapshot", process)
    again = tmp_path / "again"
    snapshot.rename(again)
    with started("resume", str(again), cwd=tmp_path) as process:
        first = again.stat().st_ino
        until(lambda: again.stat().st_ino != first, "capture of the resumed program", process)

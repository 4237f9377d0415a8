"""What becomes of the copies in which a program is captured: they wait for nobody, and end with the program."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from run.running import resumed, run, started, until
from stillframe.frames import _frames


def wait_for_captures(snapshot: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Wait until a program that runs has been captured so often, or oftener."""
    until(snapshot.exists, "snapshot", process)
    for _ in range(count - 1):
        before = snapshot.stat().st_ino
        until(lambda before=before: snapshot.stat().st_ino != before, "snapshot", process)


def test_our_thread_waits_for_nobody_who_calls_the_kernel_all_the_time() -> None:
    """Counted in steps of the other, each a millisecond and a call: with select.poll() it is some 2,000 a wait."""
    reader, writer = os.pipe()
    waits, steps, is_over = 20, 0, []
    ours = threading.Thread(
        target=lambda: is_over.append([_frames.requests(reader, 0.001) for _ in range(waits)])
    )
    ours.start()
    while not is_over:
        end = time.monotonic() + 0.001
        while time.monotonic() < end:
            pass
        os.stat("/")
        steps += 1
    ours.join()
    os.close(reader)
    os.close(writer)
    assert steps < 50 * waits


IN_DOUBT = """
import os, sys
class Moody:
    def __reduce__(self):
        os.close(os.open(f'doubts.{os.getpid()}', os.O_CREAT))
        if len([name for name in os.listdir() if name.startswith('doubts')]) % 2:
            raise TypeError('just now')
        return Moody, ()
moody = Moody()
while not os.path.exists(sys.argv[1]):
    for number in range(1_000): pass
print('end')
"""


def test_what_fails_once_is_tried_again_before_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(IN_DOUBT)
    with started("run", "--every", "0.05s", "--quiet", "program.py", "go", cwd=tmp_path) as process:
        wait_for_captures(tmp_path / "program.py.snapshot", 3, process)
        (tmp_path / "go").touch()
        assert process.communicate() == ("end\n", "")


IMPORTS = """
import importlib, os, sys
while not os.path.exists(sys.argv[1]):
    for name in [name for name in sys.modules if name.partition('.')[0] in ('csv', 'email', 'zipfile')]:
        del sys.modules[name]
    for name in ('email.message', 'csv', 'zipfile'):
        importlib.import_module(name)
    for number in range(1_000_000): pass
print('end')
"""


def test_a_program_that_imports_again_and_again_is_captured(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(IMPORTS)
    snapshot = tmp_path / "program.py.snapshot"
    with started("run", "--every", "0.05s", "--quiet", "program.py", "go", cwd=tmp_path) as process:
        wait_for_captures(snapshot, 10, process)
    (tmp_path / "go").touch()
    assert resumed(snapshot, cwd=tmp_path) == ("end\n", "", 0)


LOOPS = """
import asyncio, os, sys
while not os.path.exists(sys.argv[1]):
    asyncio.new_event_loop().close()
    for number in range(20_000): pass
print('end')
"""


def test_a_loop_that_is_being_made_or_closed_keeps_no_capture_from_being_made(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(LOOPS)
    snapshot = tmp_path / "program.py.snapshot"
    with started("run", "--every", "0.05s", "--quiet", "program.py", "go", cwd=tmp_path) as process:
        wait_for_captures(snapshot, 20, process)
        (tmp_path / "go").touch()
        assert process.communicate() == ("end\n", "")


HELD = """
import _imp, importlib, sys, threading
from stillframe.capture import copies
held, done = threading.Event(), threading.Event()
def hold():
    lock = importlib._bootstrap._get_module_lock('csv')
    with lock if hasattr(lock, '__enter__') else importlib._bootstrap._ModuleLockManager('csv'):
        _imp.acquire_lock()
        held.set()
        done.wait()
        _imp.release_lock()
thread = threading.Thread(target=hold)
thread.start()
held.wait()
print(copies.once_in_copy(lambda: __import__('csv').__name__))
done.set()
thread.join()
print('csv' in sys.modules)
"""


def test_a_copy_imports_while_another_thread_holds_the_locks_of_imports(tmp_path: Path) -> None:
    assert run([sys.executable, "-c", HELD], tmp_path) == ("csv\nFalse\n", "", 0)


SLOW = """
import os, time
class Slow:
    def __reduce__(self):
        open('copying', 'w').close()
        while True: time.sleep(1)
slow = Slow()
while True: pass
"""


def processes_in(folder: Path) -> list[int]:
    """The processes whose working directory it is."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").resolve(strict=True) == folder:
                found.append(int(entry.name))
        except OSError:
            # It has just ended.
            continue
    return found


def test_a_copy_ends_with_its_program(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(SLOW)
    with started("run", "--every", "0.05s", "--quiet", "program.py", cwd=tmp_path) as process:
        until((tmp_path / "copying").exists, "copy", process)
        assert len(processes_in(tmp_path)) == 2
        process.kill()
    until(lambda: not processes_in(tmp_path), "end of the copy")


def test_when_the_program_is_dead_its_snapshot_stays_as_it_is(tmp_path: Path) -> None:
    """A copy that is about to write its file cannot put it in place any more: only the program does that."""
    (tmp_path / "program.py").write_text("import os\ndata = os.urandom(1 << 25)\nwhile True: pass")
    snapshot = tmp_path / "program.py.snapshot"
    with started("run", "--every", "0.05s", "--quiet", "program.py", cwd=tmp_path) as process:
        until(snapshot.exists, "snapshot", process)
        until(lambda: list(tmp_path.glob(".*.new")), "unfinished file", process)
        process.kill()
        process.wait()
        before = snapshot.stat().st_ino
    until(lambda: not processes_in(tmp_path), "end of the copy")
    assert snapshot.stat().st_ino == before

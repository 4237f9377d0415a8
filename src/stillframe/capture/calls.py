"""What a program calls to be captured, and what resumes it.

stillframe.snapshot("job.snapshot")     the program goes on; the call returns None
stillframe.resume("job.snapshot", 3)    elsewhere, later, as often as you like: the call returns Resumed(3, ...)

In a cell of a kernel a string is the name of a state instead, which rests at that point of the cell:

stillframe.snapshot("epoch 3")          the cell goes on; the call returns None
kernel.resume("epoch 3", 0.01)          as often as you like: the call returns Resumed(0.01, ...)
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stillframe import cells
from stillframe.capture import program, snapshot
from stillframe.capture.resumed import Resumed as Resumed
from stillframe.capture.snapshot import Header


def take_snapshot(path: str | os.PathLike[str]) -> Resumed | None:
    """Capture this program, in the middle of this very call, to the file `path`.

    In a cell that a kernel runs a string is the name of a state: the state rests in this call, with all that the
    cell is in the middle of, and `kernel.resume(name, value)` goes on from it in a branch of its own. A Path is
    a file there too. That costs a fork; nothing stands in its way but the machine's limits, which raise
    ResourceLimit. Raises BadRequest for a name that cannot be one, NotInCell in another thread.

    The program goes on, and the call returns None. In a program that is resumed from the file the same call
    returns a Resumed. All frames of the calling thread, the other threads, a running asyncio loop, the user's
    modules and all that they reach are captured; installed packages are imported again at the resume.

    The file is written whole or not at all: an older one stays until the new one is safe on disk. Raises
    CannotCapture if something stands in the way, with all of it listed; nothing was changed then. Builtin functions
    that call back, as `sorted` does its `key`, are in the way unless use_stand_ins() was called before them.
    Cost: some 0.1 ms and what pickling the program's data takes; large arrays are written from where they lie.
    """

    if cells.kernel is not None and isinstance(path, str):
        resumed: Resumed | None = cells.kernel.snapshot(path)
        return resumed

    def write(header: Header, contents: snapshot.Contents) -> None:
        snapshot.write(path, header, contents)

    program.with_captured(write)
    return None


def resume(path: str | os.PathLike[str], value: Any = None, *, python: str | None = None) -> int:
    """Resume the program of a snapshot in a fresh process, wait for its end, and return its exit code.

    In the program the call that made the snapshot returns a Resumed with `value`. Standard streams are this
    program's own. A file may be resumed any number of times, also at once. `python` is another interpreter of
    the same version. To resume a snapshot is to run the code in it: only resume what you trust.

    Raises SnapshotRefused, before anything of it was run, for a snapshot that is damaged or does not fit here.
    """
    from stillframe.capture.values import dumps

    snapshot.check_compatible(snapshot.read_header(path))
    given = os.memfd_create("value")
    try:
        os.write(given, dumps(value))
        os.lseek(given, 0, os.SEEK_SET)
        command = runner_command(path, given, python=python)
        with _interrupts_left_to_child():
            return subprocess.run(command, pass_fds=[given], check=False).returncode
    finally:
        os.close(given)


@contextmanager
def _interrupts_left_to_child() -> Iterator[None]:
    """Ctrl-C at a terminal reaches the program itself, which decides what it means."""
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not the main thread, which alone is interrupted
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def runner_command(
    path: str | os.PathLike[str],
    value: int | None = None,
    *,
    python: str | None = None,
    is_captured: bool = False,
) -> list[str]:
    """The command line of a process that resumes the snapshot; `value` is the descriptor of a pickled value.

    `is_captured`: a program of `still run` is captured as before.
    """
    given = ["-" if value is None else str(value), *(["captured"] if is_captured else [])]
    return [python or sys.executable, "-P", "-m", "stillframe.capture.runner", os.fspath(path), *given]

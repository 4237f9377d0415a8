"""Running programs with and without `still run`, waiting for their captures, and resuming them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

PROGRAMS = Path(__file__).parent / "programs"
PATIENCE_S = 60.0
STILL = [sys.executable, "-m", "stillframe"]


class Ended(NamedTuple):
    """What a process has said, and how it ended."""

    stdout: str
    stderr: str
    returncode: int


def environment() -> dict[str, str]:
    """This process's, in which Python buffers its output as it does for people."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONUNBUFFERED", "STILLFRAME_URL")
    }


def run(command: list[str], cwd: Path, given: str = "") -> Ended:
    """Run a command to its end."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment(),
        input=given,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return Ended(done.stdout, done.stderr, done.returncode)


def plainly(*arguments: str, cwd: Path, given: str = "") -> Ended:
    """`python ARGUMENTS`."""
    return run([sys.executable, *arguments], cwd, given)


def captured(
    *arguments: str, cwd: Path, options: tuple[str, ...] = ("--every", "0.05s", "--quiet"), given: str = ""
) -> Ended:
    """`still run OPTIONS ARGUMENTS`."""
    return run([*STILL, "run", *options, *arguments], cwd, given)


def resumed(snapshot: Path, *options: str, cwd: Path) -> Ended:
    """`still resume`."""
    return run([*STILL, "resume", *options, str(snapshot)], cwd)


@contextmanager
def started(*arguments: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """`still ARGUMENTS` while it runs; afterwards it is gone."""
    process = subprocess.Popen(
        [*STILL, *arguments], cwd=cwd, env=environment(), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(holds: Callable[[], object], what: str, process: subprocess.Popen[str] | None = None) -> None:
    """Wait for an event in another process, of which only its traces can be seen. `process` lives until then."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not holds():
        has_ended = process is not None and process.poll() is not None
        assert not has_ended or holds(), f"the program has ended without a {what}"
        assert time.monotonic() < deadline_s, f"no {what} within {PATIENCE_S:g} s"
        time.sleep(0.001)


def killed_and_resumed(folder: Path, after_s: float, every_s: float = 0.2) -> tuple[float, Ended]:
    """`kill -9` of steps.py so long after its first capture, then `still resume`. How much time was lost, by the
    program's own clock: from the moment that it goes on from to the last that it had come to."""
    snapshot, hurry, alive = folder / "steps.snapshot", folder / "hurry", folder / "hurry.alive"
    alive.touch()
    options = ["run", "--every", f"{every_s:g}s", "--quiet", "--to", str(snapshot)]
    with started(*options, str(PROGRAMS / "steps.py"), str(hurry), cwd=folder) as process:
        until(snapshot.exists, "snapshot", process)
        time.sleep(after_s)  # a random moment
        process.kill()
        assert process.wait() == -signal.SIGKILL, "it has ended before"
    last_s = alive.stat().st_mtime
    hurry.touch()
    ended = resumed(snapshot, cwd=folder)
    hurry.unlink()
    alive.unlink()
    captured_s = [
        float(line.split()[-1]) for line in ended.stderr.splitlines() if line.startswith("captured at")
    ]
    assert len(captured_s) == 1, ended
    return last_s - captured_s[0], ended


def collected(command: list[str], snapshot: Path, into: Path, most: int) -> tuple[Ended, list[Path]]:
    """Run a command to its end, and keep the snapshots that it makes, up to `most`."""
    found: list[Path] = []
    seen = 0
    process = subprocess.Popen(
        command, cwd=into, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline_s = time.monotonic() + PATIENCE_S
    try:
        while process.poll() is None:
            assert time.monotonic() < deadline_s, "the program does not end"
            try:
                changed = os.stat(snapshot).st_ino
                if changed != seen and len(found) < most:
                    kept = into / f"{len(found)}.{process.pid}.kept"
                    os.link(snapshot, kept)
                    found.append(kept)
                    seen = changed
            except FileNotFoundError:
                pass
            time.sleep(0.001)
        stdout, stderr = process.communicate()
    finally:
        process.kill()
        process.wait()
    return Ended(stdout, stderr, process.returncode), found

"""Captured at random moments, killed at random moments: a program always goes on to the same end.

The numbers are small here; `bench/soak_frames.py` does the same in large, and writes docs/soak_frames.md.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from run.running import PROGRAMS, STILL, Ended, collected, plainly, resumed, started, until

CAPTURES = int(os.environ.get("RUN_CAPTURES", "12"))
KILLS = int(os.environ.get("RUN_KILLS", "4"))
SIZES = {"busy_threads.py": "400", "tasks.py": "500"}


@pytest.mark.parametrize("name", sorted(SIZES))
def test_each_capture_at_a_random_moment_resumes_to_the_same_output(name: str, tmp_path: Path) -> None:
    program = [str(PROGRAMS / name), SIZES[name]]
    expected = plainly(*program, cwd=tmp_path)
    assert expected.returncode == 0 and expected.stdout.startswith("begin\n")
    done = 0
    while done < CAPTURES:
        snapshot = tmp_path / "at.snapshot"
        command = [*STILL, "run", "--every", "0.05s", "--quiet", "--to", str(snapshot), *program]
        ended, found = collected(command, snapshot, tmp_path, CAPTURES - done)
        assert ended == expected
        for kept in found:
            assert resumed(kept, "--once", cwd=tmp_path) == expected
            kept.unlink()
        done += len(found)


def test_a_program_killed_at_a_random_moment_loses_no_more_than_an_interval(tmp_path: Path) -> None:
    expected = plainly(str(PROGRAMS / "steps.py"), cwd=tmp_path)
    chance = random.Random(20)
    for _ in range(KILLS):
        lost_s, ended = killed_and_resumed(tmp_path, chance.uniform(0.3, 1.2))
        assert ended.stdout.splitlines()[-1] == expected.stdout.splitlines()[-1] and ended.returncode == 0
        assert lost_s < 1.0, "an interval is 0.2 s; the machine may be slow"


def killed_and_resumed(folder: Path, after_s: float) -> tuple[float, Ended]:
    """`kill -9` so long after the first capture, then `still resume`. How long ago the last capture was by then."""
    snapshot = folder / "steps.snapshot"
    options = ["run", "--every", "0.2s", "--quiet", "--to", str(snapshot), str(PROGRAMS / "steps.py")]
    with started(*options, cwd=folder) as process:
        until(snapshot.exists, "snapshot")
        time.sleep(after_s)  # a random moment
        if process.poll() is not None:
            return 0.0, Ended(process.communicate()[0], "", process.returncode)
        process.kill()
        lost_s = time.time() - snapshot.stat().st_mtime
    ended = resumed(snapshot, cwd=folder)
    assert not snapshot.exists(), "it has ended well"
    return lost_s, ended


def test_a_chain_of_kills_comes_to_the_end(tmp_path: Path) -> None:
    snapshot = tmp_path / "steps.snapshot"
    expected = plainly(str(PROGRAMS / "steps.py"), cwd=tmp_path).stdout.splitlines()[-1]
    with started(
        "run", "--every", "0.1s", "--quiet", "--to", str(snapshot), str(PROGRAMS / "steps.py"), cwd=tmp_path
    ):
        until(snapshot.exists, "snapshot")
    for _ in range(3):
        before = snapshot.stat().st_ino
        with started("resume", str(snapshot), cwd=tmp_path) as process:
            until(lambda before=before: snapshot.stat().st_ino != before, "capture of the resumed program")
            assert process.poll() is None
    ended = resumed(snapshot, cwd=tmp_path)
    assert (ended.stdout.splitlines()[-1], ended.stderr, ended.returncode) == (expected, "", 0)

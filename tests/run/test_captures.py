"""Captured at random moments, killed at random moments: a program always goes on to the same end.

The numbers are small here; `bench/soak_frames.py` does the same in large, and writes docs/soak_frames.md.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from run.running import PROGRAMS, STILL, collected, killed_and_resumed, plainly, resumed, started, until

CAPTURES = int(os.environ.get("RUN_CAPTURES", "5"))
KILLS = int(os.environ.get("RUN_KILLS", "5"))
SIZES = {"busy_threads.py": "400", "tasks.py": "500"}
STEPS = str(PROGRAMS / "steps.py")


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


@pytest.fixture(scope="module")
def end_of_steps(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The last line of steps.py, undisturbed."""
    return plainly(STEPS, cwd=tmp_path_factory.mktemp("steps")).stdout.splitlines()[-1]


@pytest.mark.parametrize("seed", range(KILLS))
def test_a_program_killed_at_a_random_moment_goes_on_to_the_right_end(
    seed: int, end_of_steps: str, tmp_path: Path
) -> None:
    _, ended = killed_and_resumed(tmp_path, random.Random(seed).uniform(0, 0.5))
    assert (ended.stdout.splitlines()[-1], ended.returncode) == (end_of_steps, 0)
    assert list(tmp_path.iterdir()) == [], "it has ended well"


def test_a_chain_of_kills_comes_to_the_end(end_of_steps: str, tmp_path: Path) -> None:
    snapshot, hurry = tmp_path / "steps.snapshot", tmp_path / "hurry"
    (tmp_path / "hurry.alive").touch()
    options = ["run", "--every", "0.1s", "--quiet", "--to", str(snapshot), STEPS, str(hurry)]
    with started(*options, cwd=tmp_path) as process:
        until(snapshot.exists, "snapshot", process)
    for _ in range(3):
        before = snapshot.stat().st_ino
        with started("resume", str(snapshot), cwd=tmp_path) as process:
            until(lambda before=before: snapshot.stat().st_ino != before, "capture of the resumed", process)
    hurry.touch()
    ended = resumed(snapshot, cwd=tmp_path)
    assert (ended.stdout.splitlines()[-1], ended.returncode) == (end_of_steps, 0)

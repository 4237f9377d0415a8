"""The programs in examples/ run, and come to what they say."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"


def output_of(example: str, *arguments: str) -> str:
    """What an example prints."""
    environment = {key: text for key, text in os.environ.items() if not key.startswith("STILLFRAME")}
    environment["PYTHONPATH"] = str(EXAMPLES.parent / "src")
    command = [sys.executable, str(EXAMPLES / example), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_queens_do_not_attack_each_other() -> None:
    lines = output_of("queens.py", "6", "4").splitlines()
    board = [line.split().index("Q") for line in lines[:6]]
    pairs = itertools.combinations(enumerate(board), 2)
    assert all(a != b and abs(a - b) != j - i for (i, a), (j, b) in pairs)
    assert lines[-2:] == [f"columns: {board}", "4 queens: 2 solutions, the last one [2, 0, 3, 1]"]


def test_training_goes_on_from_the_third_epoch_with_other_rates() -> None:
    rows = [line.split(":")[1].split() for line in output_of("learning_rate.py").splitlines()]
    assert len(rows) == 3 and all(len(row) == 6 for row in rows)
    assert rows[0][:3] == rows[1][:3] == rows[2][:3]  # one past
    assert float(rows[2][-1]) < float(rows[1][-1]) < float(rows[0][-1])

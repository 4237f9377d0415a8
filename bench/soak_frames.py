"""Captures and kills at random moments, in large: `python -m bench.soak_frames --write docs/soak_frames.md`.

Programs that know nothing of stillframe (tests/run/programs) run under `still run`. Each capture is resumed on its
own, and must print what an undisturbed run prints; each run that is killed must come to the same end by
`still resume`. What a kill has lost is told by the program's own clock: from the moment that its snapshot holds to the
last moment that it had come to. That should be no more than the interval; the page says how often it was more.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from run.running import PROGRAMS, STILL, collected, killed_and_resumed, plainly, resumed  # noqa: E402

CAPTURED = {"three busy threads": ("busy_threads.py", "500"), "asyncio": ("tasks.py", "600")}
INTERVAL_S = 0.2


class Tally(NamedTuple):
    """What came of one kind of trial."""

    trials: int
    wrong: list[str]
    took_s: float
    lost_s: list[float]
    load: float = 0.0
    """How many processes wanted a processor, on average, while it lasted."""


def captures(name: str, size: str, count: int, folder: Path) -> Tally:
    """Capture at random moments, and resume each capture."""
    program = [str(PROGRAMS / name), size]
    expected = plainly(*program, cwd=folder)
    began_s, done, wrong = time.monotonic(), 0, list[str]()
    chance = random.Random(1)
    while done < count:
        snapshot = folder / "at.snapshot"
        every = f"{chance.uniform(0.03, 0.09):.4f}s"
        command = [*STILL, "run", "--every", every, "--quiet", "--to", str(snapshot), *program]
        ended, found = collected(command, snapshot, folder, count - done)
        if ended != expected:
            wrong.append(f"the run itself: {ended}")
        for kept in found:
            try:
                again = resumed(kept, "--once", cwd=folder)
            except subprocess.TimeoutExpired as error:
                wrong.append(f"capture {done}: {error}")
                again = expected
                shutil.copy(kept, f"{tempfile.gettempdir()}/soak_frames.{os.getpid()}.{done}.snapshot")
            if again != expected:
                wrong.append(f"capture {done}: {again}")
            kept.unlink()
            done += 1
    return Tally(done, wrong, time.monotonic() - began_s, [])


def kills(count: int, folder: Path) -> Tally:
    """`kill -9` at random moments of `still run --every 0.2s`, then `still resume`."""
    expected = plainly(str(PROGRAMS / "steps.py"), cwd=folder).stdout.splitlines()[-1]
    began_s, wrong, lost = time.monotonic(), list[str](), list[float]()
    chance, load = random.Random(2), list[float]()
    while len(lost) < count:
        load.append(os.getloadavg()[0])
        lost_s, again = killed_and_resumed(folder, chance.uniform(0, 1), INTERVAL_S)
        lost.append(lost_s)
        if (again.stdout.splitlines() or [""])[-1] != expected or again.returncode or any(folder.iterdir()):
            wrong.append(f"kill {len(lost)}: {again} {sorted(folder.iterdir())}")
    return Tally(count, wrong, time.monotonic() - began_s, lost, statistics.mean(load))


def lost(tally: Tally) -> list[str]:
    """What the kills have cost, and the list of those that have cost more than the interval."""
    of = sorted(tally.lost_s)
    more = [lost_s for lost_s in of if lost_s > INTERVAL_S]
    lines = [
        f"What a kill has lost, by the program's own clock, with an interval of {INTERVAL_S * 1000:.0f} ms and a load "
        f"of {tally.load:.1f} on {os.cpu_count()} processors:",
        "",
        "| median | 90 % | max | more than the interval |",
        "|---|---|---|---|",
        f"| {statistics.median(of) * 1000:.0f} ms | {of[len(of) * 9 // 10] * 1000:.0f} ms | {of[-1] * 1000:.0f} ms | "
        f"{len(more)} of {len(of)} |",
    ]
    if more:
        many = ", ".join(f"{lost_s * 1000:.0f}" for lost_s in more)
        lines += [
            "",
            f"Those have lost {many} ms: a capture took longer than those before and a quarter more, or than a third "
            "of the interval.",
        ]
    return lines


def report(tallies: dict[str, Tally]) -> str:
    """The page."""
    lines = [
        "# Soak: captures and kills at random moments",
        "",
        f"CPython {platform.python_version()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.0f} at the end. "
        "Made by `python -m bench.soak_frames`.",
        "",
        "| trials | how many | wrong | took |",
        "|---|---|---|---|",
    ]
    for name, tally in tallies.items():
        lines.append(f"| {name} | {tally.trials} | {len(tally.wrong)} | {tally.took_s:.0f} s |")
    for tally in tallies.values():
        if tally.lost_s:
            lines += ["", *lost(tally)]
    wrong = [text for tally in tallies.values() for text in tally.wrong]
    if wrong:
        lines += ["", "## What was wrong", "", *(f"* `{text[:2000]}`" for text in wrong)]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run the trials. The exit code is 1 if one went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captures", type=int, default=200)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    tallies: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (program, size) in CAPTURED.items():
            tallies[f"captures, {name}"] = captures(program, size, options.captures, Path(folder))
            print(report(tallies), flush=True)
        tallies[f"`kill -9` of `still run --every {INTERVAL_S}s`"] = kills(options.kills, Path(folder))
    page = report(tallies)
    print(page)
    if options.write:
        options.write.write_text(page)
    return int(any(tally.wrong for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())

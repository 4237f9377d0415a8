"""Runs a program undisturbed, captured at each snap(), and resumed from each snapshot, and compares.

What an undisturbed run prints is what every other run must print: the run that is captured at each call, in
full; a resumed one, from the position at which it was captured. Exit codes must be equal too.
"""

from __future__ import annotations

import difflib
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
TORTURE = HERE / "torture"
CAPTURED_EXIT_CODE = 77
WIDTH = 2
PATIENCE_S = 30.0
SAME_SITE_LIMIT = 3
"""How many captures from one and the same chain of call sites count."""


@dataclass(frozen=True)
class Outcome:
    """What a process did: its exit code (None: it did not end in time) and its streams."""

    code: int | None
    stdout: bytes
    stderr: bytes

    def rest(self, stdout_at: int, stderr_at: int) -> Outcome:
        return Outcome(self.code, self.stdout[stdout_at:], self.stderr[stderr_at:])

    def difference(self, actual: Outcome) -> str:
        """What is different in `actual`, to be read by people; empty if nothing is."""
        found = []
        if self.code != actual.code:
            code = "it did not end" if actual.code is None else f"exit code {actual.code}"
            found.append(f"{code}, expected {self.code}")
        for stream in ("stdout", "stderr"):
            expected, got = (getattr(one, stream).decode(errors="replace") for one in (self, actual))
            if expected != got:
                lines = difflib.unified_diff(
                    expected.splitlines(),
                    got.splitlines(),
                    f"expected {stream}",
                    f"actual {stream}",
                    n=0,
                    lineterm="",
                )
                found += [line[:300] for line in list(lines)[:40]]
        return "\n".join(found)


@dataclass
class Point:
    """One call of snap(), and what came of capturing and resuming there."""

    call: int
    where: str = ""
    verdict: str = "skipped"
    """identical, refused, failed (the capture raised something else), differs, or skipped."""
    detail: str = ""

    def __str__(self) -> str:
        return f"call {self.call} at {self.where}: {self.verdict}\n{self.detail}".rstrip()


@dataclass
class Report:
    """What came of one program in one mode."""

    program: str
    points: list[Point] = field(default_factory=list)
    disturbed: str = ""
    """How the run that was captured at each call differed from the undisturbed one."""

    @property
    def counts(self) -> Counter[str]:
        return Counter(point.verdict for point in self.points)

    def wrong(self) -> list[str]:
        found = (
            [f"captured at each call, it does something else:\n{self.disturbed}"] if self.disturbed else []
        )
        return found + [str(point) for point in self.points if point.verdict in ("failed", "differs")]

    def refusals(self) -> list[Point]:
        return [point for point in self.points if point.verdict == "refused"]


def environment(**variables: str) -> dict[str, str]:
    """This process's environment without what would steer the programs, plus `variables`."""
    steering = ("SNAP_", "PYTHON", "PYTEST_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(steering)}
    # Ahead of what is installed: another engine, to see the tests red.
    path = [os.environ.get("FRAMES_ENGINE", ""), str(HERE)]
    return {**inherited, "PYTHONPATH": os.pathsep.join(filter(None, path)), **variables}


OVERWRITING = {"PYTHONMALLOC": "debug"}
"""The environment of processes in which freed memory is overwritten: who looks at what is gone crashes, or shows it."""


def run(program: Path, directory: Path, **variables: str) -> Outcome:
    """Run the program as a script, with its streams in files of `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    files = [directory / "run.stdout", directory / "run.stderr"]
    with files[0].open("wb") as stdout, files[1].open("wb") as stderr:
        try:
            code = subprocess.run(
                [sys.executable, str(program)],
                cwd=directory,
                env=environment(TMPDIR=str(directory), **variables),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                timeout=PATIENCE_S,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            code = None
    return Outcome(code, files[0].read_bytes(), files[1].read_bytes())


class Resumer:
    """A process that resumes snapshots, each in a fork of its own."""

    def __init__(self, **variables: str) -> None:
        self.variables = variables
        """Of its environment, and so of that of programs which are captured for it."""
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "resume_many.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(**variables),
            text=True,
        )

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def resume(
        self, snapshots: list[Path], value: object = None, width: int = WIDTH, **variables: str
    ) -> list[Outcome]:
        """Resume each, and hand in `value`; its streams are left beside it."""
        jobs = [
            {
                "snapshot": str(path),
                "value": value,
                "output": str(path.with_suffix("")),
                "environment": variables,
            }
            for path in snapshots
        ]
        request = {"width": width, "patience_s": PATIENCE_S, "jobs": jobs}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the process that resumes has ended"
        return [
            Outcome(code, path.with_suffix(".stdout").read_bytes(), path.with_suffix(".stderr").read_bytes())
            for code, path in zip(json.loads(answer), snapshots, strict=True)
        ]


def resume_by_command(snapshot: Path) -> Outcome:
    """Resume in a process of its own, as a user would."""
    done = subprocess.run(
        [sys.executable, "-m", "stillframe", "resume", str(snapshot)],
        cwd=snapshot.parent,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def position(directory: Path, call: int) -> tuple[int, int, str]:
    """How far the streams had been written at the call, and the chain of sites that led to it."""
    stdout_at, stderr_at, where = (directory / f"{call}.position").read_text().split(" ", 2)
    return int(stdout_at), int(stderr_at), where


def captured_calls(directory: Path) -> list[Point]:
    """The points of a run that was captured at each call; those to resume are still "skipped"."""
    points = []
    sites: Counter[str] = Counter()
    for call in sorted(int(path.stem) for path in directory.glob("*.position") if path.stat().st_size):
        point = Point(call, position(directory, call)[2])
        sites[point.where] += 1
        if sites[point.where] > SAME_SITE_LIMIT:
            continue
        for verdict in ("refused", "failed"):
            reason = directory / f"{call}.{verdict}"
            if reason.exists():
                point.verdict, point.detail = verdict, reason.read_text()
        if point.verdict == "skipped" and not (directory / f"{call}.snapshot").exists():
            point.verdict, point.detail = "failed", "neither a snapshot nor an error came of it"
        points.append(point)
    return points


def differential(
    program: Path, directory: Path, resumer: Resumer, *, under: str = "", by: str = "plain", step: int = 1
) -> Report:
    """Capture the program at each call, resume every `step`-th, and compare all with an undisturbed run."""
    report = Report(program.stem)
    expected = run(program, directory / "undisturbed")
    captures = directory / "captured"
    steering = {"SNAP_AT": "all", "SNAP_DIR": str(captures), "SNAP_UNDER": under, "SNAP_BY": by}
    disturbed = run(program, captures, **steering, **resumer.variables)
    report.disturbed = expected.difference(disturbed)
    report.points = captured_calls(captures)
    chosen = [point for point in report.points if point.verdict == "skipped" and point.call % step == 0]
    # Programs that go on from one and the same file of their own go on one at a time.
    width = 1 if "files" in program.stem else WIDTH
    outcomes = resumer.resume(
        [captures / f"{point.call}.snapshot" for point in chosen], width=width, SNAP_UNDER=under
    )
    for point, outcome in zip(chosen, outcomes, strict=True):
        stdout_at, stderr_at, _ = position(captures, point.call)
        point.detail = expected.rest(stdout_at, stderr_at).difference(outcome)
        point.verdict = "differs" if point.detail else "identical"
    return report


def chain(program: Path, directory: Path, resumer: Resumer, *, under: str = "") -> Report:
    """From one call to the next: capture, end, resume, capture at the next call, end, resume, …"""
    report = Report(program.stem)
    expected = run(program, directory / "undisturbed")
    captures = directory / "chain"
    steering = {"SNAP_AT": "next", "SNAP_DIR": str(captures), "SNAP_UNDER": under}
    outcome = run(program, captures, **steering, **resumer.variables)
    stdout, stderr = outcome.stdout, outcome.stderr
    last = 0
    while outcome.code == CAPTURED_EXIT_CODE:
        call = max(int(path.stem) for path in captures.glob("*.snapshot"))
        assert call > last, f"call {last} was captured again"
        report.points.append(Point(call, position(captures, call)[2], "identical"))
        last = call
        outcome = resumer.resume([captures / f"{call}.snapshot"], **steering)[0]
        stdout, stderr = stdout + outcome.stdout, stderr + outcome.stderr
    report.points += [point for point in captured_calls(captures) if point.verdict in ("refused", "failed")]
    report.disturbed = expected.difference(Outcome(outcome.code, stdout, stderr))
    if report.disturbed:
        report.disturbed = f"after call {last}:\n{report.disturbed}"
    return report

"""The differential test: captured anywhere, a program goes on in a fresh process as if nothing had happened.

Each program of `torture/` calls snap() at every site where Python code can be called. It is captured at each
call, resumed from each snapshot, and must print what an undisturbed run prints. By default the harder modes,
the other ways of calling snapshot() and the chains do a part of this; FRAMES_EVERYTHING=1 does it all.
FRAMES_ENGINE names a folder with another stillframe, to see these tests red.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from frames.differential import (
    OVERWRITING,
    TORTURE,
    Report,
    Resumer,
    chain,
    differential,
    position,
    resume_by_command,
    run,
)

EVERYTHING = bool(os.environ.get("FRAMES_EVERYTHING"))
STEP = 1 if EVERYTHING else 9
POINTS_AT_LEAST = 400
REFUSED_AT_MOST = 0.04
HARDER = (
    "async_generators",
    "class_bodies",
    "exception_state",
    "full_stacks",
    "generator_delegation",
    "hot_code",
    "operands_let_go",
)
CHAINED = (
    "asyncio_tasks",
    "class_bodies",
    "exception_state",
    "full_stacks",
    "generators",
    "long_functions",
    "stand_ins",
)
OWN_GROUP = ("threads_", "asyncio_")
PROGRAMS = sorted(
    path
    for path in TORTURE.glob("*.py")
    if not path.stem.startswith(OWN_GROUP) and ("3_12" not in path.stem or sys.version_info >= (3, 12))
)
SOME = [path for path in PROGRAMS if EVERYTHING or path.stem in HARDER]
CONCURRENT = sorted(path for path in TORTURE.glob("*.py") if path.stem.startswith(OWN_GROUP))


@pytest.fixture(scope="module")
def resumer() -> Iterator[Resumer]:
    resumer = Resumer()
    yield resumer
    resumer.close()


@pytest.fixture(scope="module")
def overwriting_resumer() -> Iterator[Resumer]:
    resumer = Resumer(**OVERWRITING)
    yield resumer
    resumer.close()


@pytest.fixture(scope="module")
def reports() -> dict[str, Report]:
    """What came of each program, for the totals."""
    return {}


def check(report: Report) -> None:
    if wrong := report.wrong():
        pytest.fail("\n\n".join([f"{report.program}: {dict(report.counts)}", *wrong]), pytrace=False)
    for refusal in report.refusals():
        assert refusal.detail.startswith("NativeCallInTheWay"), f"{report.program}: {refusal}"


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_resumed_at_each_call_a_program_prints_what_was_left_to_print(
    program: Path, tmp_path: Path, resumer: Resumer, reports: dict[str, Report]
) -> None:
    reports[program.stem] = report = differential(program, tmp_path, resumer)
    check(report)


def test_hardly_any_point_is_refused(reports: dict[str, Report]) -> None:
    if len(reports) < len(PROGRAMS):
        pytest.skip("only a part of the programs was run")
    counts = sum((report.counts for report in reports.values()), Counter())
    tried = counts["identical"] + counts["differs"] + counts["failed"] + counts["refused"]
    print(f"{tried} points: {dict(counts)}")
    assert counts["identical"] >= POINTS_AT_LEAST
    assert counts["refused"] < REFUSED_AT_MOST * tried, [
        f"{report.program}: {refusal}" for report in reports.values() for refusal in report.refusals()
    ]


@pytest.mark.parametrize("under", ["gc", "trace"])
@pytest.mark.parametrize("program", SOME, ids=lambda path: path.stem)
def test_it_holds_with_a_collection_at_every_allocation_and_under_a_tracer(
    program: Path, under: str, tmp_path: Path, resumer: Resumer
) -> None:
    check(differential(program, tmp_path, resumer, under=under, step=STEP))


@pytest.mark.parametrize("program", SOME, ids=lambda path: path.stem)
def test_nothing_is_looked_at_that_is_gone(
    program: Path, tmp_path: Path, overwriting_resumer: Resumer
) -> None:
    check(differential(program, tmp_path, overwriting_resumer, step=STEP))


@pytest.mark.parametrize("by", ["deep", "native"])
@pytest.mark.parametrize("program", SOME, ids=lambda path: path.stem)
def test_it_holds_however_snapshot_is_called(
    program: Path, by: str, tmp_path: Path, resumer: Resumer
) -> None:
    check(differential(program, tmp_path, resumer, by=by, step=STEP))


@pytest.mark.parametrize("under", ["", "gc", "trace"] if EVERYTHING else [""])
@pytest.mark.parametrize(
    "name", CHAINED if not EVERYTHING else [path.stem for path in (*PROGRAMS, *CONCURRENT)]
)
def test_a_program_can_be_carried_from_each_call_to_the_next(
    name: str, under: str, tmp_path: Path, resumer: Resumer
) -> None:
    report = chain(TORTURE / f"{name}.py", tmp_path, resumer, under=under)
    check(report)
    assert report.points


@pytest.mark.parametrize("name", ["full_stacks", "operands_let_go"])
def test_a_program_that_is_carried_on_looks_at_nothing_that_is_gone(
    name: str, tmp_path: Path, overwriting_resumer: Resumer
) -> None:
    check(chain(TORTURE / f"{name}.py", tmp_path, overwriting_resumer))


@pytest.mark.parametrize("program", CONCURRENT, ids=lambda path: path.stem)
def test_threads_and_loops_go_on_too(program: Path, tmp_path: Path, resumer: Resumer) -> None:
    check(differential(program, tmp_path, resumer))


@pytest.mark.parametrize(
    "name", ["tracebacks", "looking_at_frames", "uncaught", "exits", "open_files", "generators"]
)
def test_the_command_resumes_in_a_process_of_its_own(name: str, tmp_path: Path) -> None:
    program = TORTURE / f"{name}.py"
    expected = run(program, tmp_path / "undisturbed")
    run(program, tmp_path / "captured", SNAP_AT="3", SNAP_DIR=str(tmp_path / "captured"))
    stdout_at, stderr_at, _ = position(tmp_path / "captured", 3)
    resumed = resume_by_command(tmp_path / "captured" / "3.snapshot")
    assert expected.rest(stdout_at, stderr_at).difference(resumed) == ""


def test_one_snapshot_resumes_as_often_as_one_likes(tmp_path: Path, resumer: Resumer) -> None:
    program = TORTURE / "identity.py"
    expected = run(program, tmp_path / "undisturbed")
    run(program, tmp_path / "captured", SNAP_AT="5", SNAP_DIR=str(tmp_path / "captured"))
    snapshot = tmp_path / "captured" / "5.snapshot"
    copies = [snapshot.with_name(f"copy{number}.snapshot") for number in range(4)]
    for copy in copies:
        copy.hardlink_to(snapshot)
    for outcome in resumer.resume(copies):
        assert expected.difference(outcome) == ""

"""Each situation, from a script, with -m and typed at a prompt: captured, ended, resumed, it prints the same."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from frames.differential import Outcome, Resumer
from programs.situations import SITUATIONS, WAYS, Situation

CASES = [
    pytest.param(situation, way, id=f"{situation.name}-{way}")
    for situation in SITUATIONS
    for way in WAYS
    if way != "prompt" or situation.mark("not at a prompt") is None
]


def marked(*names: str) -> list[object]:
    return [case for case in CASES if any(case.values[0].mark(name) is not None for name in names)]


@pytest.fixture(scope="module")
def resumer() -> Iterator[Resumer]:
    resumer = Resumer()
    yield resumer
    resumer.close()


@pytest.fixture
def elsewhere(tmp_path: Path) -> dict[str, str]:
    """A PATH on which `ssh` is a script that runs what it is told here, and Python is the one that runs now."""
    script = tmp_path / "bin" / "ssh"
    script.parent.mkdir()
    script.write_text(
        "#!/bin/bash\n"
        "while [[ $1 == -* ]]; do case $1 in -[bcDEeFIiJLlmOopQRSWw]) shift 2;; *) shift;; esac; done\n"
        'shift\nexec sh -c "$*"\n'
    )
    script.chmod(0o755)
    return {"PATH": f"{script.parent}:{Path(sys.executable).parent}:/usr/bin:/bin"}


def together(*outcomes: Outcome) -> Outcome:
    """What several processes did, one after the other."""
    return Outcome(
        outcomes[-1].code,
        b"".join(one.stdout for one in outcomes),
        b"".join(one.stderr for one in outcomes),
    )


def check(expected: Outcome, *actual: Outcome) -> None:
    difference = expected.difference(together(*actual))
    if difference:
        parts = "".join(
            f"\n--- process {n}: {one.code}\n{one.stderr.decode()}" for n, one in enumerate(actual)
        )
        pytest.fail(difference + parts, pytrace=False)


@pytest.mark.parametrize(
    ("situation", "way"), [case for case in CASES if case not in marked("refused", "teleports")]
)
def test_captured_ended_and_resumed_it_prints_what_it_prints_undisturbed(
    situation: Situation, way: str, tmp_path: Path, resumer: Resumer
) -> None:
    value = situation.mark("value")
    handed_in = {} if value is None else {"VALUE": value}
    expected = situation.undisturbed(way, tmp_path, **handed_in)
    assert expected.code in (0, 1, 7), expected.stderr.decode()
    path = tmp_path / "s.snapshot"
    count = int(situation.mark("snapshots") or 1)
    files = [path] if count == 1 else [path.with_name(f"{path.name}{turn}") for turn in range(count)]
    processes = [situation.run(way, tmp_path, SNAPSHOT=str(path))]
    for file in files:
        if processes[-1].code or not file.exists():
            pytest.fail(f"no snapshot was made: {processes[-1].stderr.decode()}", pytrace=False)
        copies = [
            file.with_name(f"copy{number}.{file.name}")
            for number in range(int(situation.mark("copies") or 1))
        ]
        for copy in copies:
            copy.hardlink_to(file)
        given = json.loads(value or "null")
        resumed = resumer.resume(copies, value=given, SNAPSHOT=str(path), TMPDIR=str(tmp_path))
        for other in resumed[1:]:
            check(expected, processes[0], other)
        processes.append(resumed[0])
    check(expected, *processes)


@pytest.mark.parametrize(("situation", "way"), marked("refused"))
def test_what_cannot_be_captured_is_named_and_the_program_goes_on(
    situation: Situation, way: str, tmp_path: Path
) -> None:
    path = tmp_path / "s.snapshot"
    outcome = situation.run(way, tmp_path, SNAPSHOT=str(path))
    text = outcome.stdout.decode()
    assert outcome.code == 0, outcome.stderr.decode()
    refusal = text.partition("refused: ")[2]
    assert [name for name in situation.refusals if name not in refusal] == [], text
    assert text.endswith("goes on\n")
    assert not path.exists()
    assert list(tmp_path.glob("s.*")) == []


@pytest.mark.parametrize(("situation", "way"), marked("teleports"))
def test_teleported_it_prints_what_it_prints_undisturbed(
    situation: Situation, way: str, tmp_path: Path, elsewhere: dict[str, str]
) -> None:
    expected = situation.undisturbed(way, tmp_path)
    actual = situation.run(way, tmp_path, **elsewhere)
    if situation.mark("any order") is not None:
        expected, actual = (
            Outcome(one.code, b"".join(sorted(one.stdout.splitlines(keepends=True))), one.stderr)
            for one in (expected, actual)
        )
    check(expected, actual)


def test_every_situation_is_there() -> None:
    assert len(SITUATIONS) >= 100
    for situation in SITUATIONS:
        text = situation.path.read_text()
        calls = sum(
            text.count(call) for call in ("stillframe.snapshot(", "stillframe.teleport(", "_imported")
        )
        assert calls >= 1, situation.name

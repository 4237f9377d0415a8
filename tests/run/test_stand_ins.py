"""`still run --stand-ins`: a program that is within builtin functions all the time can be captured all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from run.running import PROGRAMS, STILL, plainly, resumed, run, started, until

PROGRAM = [str(PROGRAMS / "within_builtins.py"), "1000"]
CALLS = 6


def test_with_stand_ins_each_capture_resumes_to_the_same_output(tmp_path: Path) -> None:
    expected = plainly(*PROGRAM, cwd=tmp_path)
    snapshot, seen = tmp_path / "at.snapshot", 0
    options = ["run", "--stand-ins", "--every", "0.05s", "--quiet", "--to", str(snapshot)]
    with started(*options, *PROGRAM, str(tmp_path), cwd=tmp_path) as process:
        for call in range(CALLS):
            until(lambda seen=seen: snapshot.exists() and snapshot.stat().st_ino != seen, "snapshot", process)
            kept = tmp_path / f"{call}.kept"
            kept.hardlink_to(snapshot)
            seen = kept.stat().st_ino
            (tmp_path / str(call)).touch()
        assert (*process.communicate(), process.returncode) == expected
    for kept in tmp_path.glob("*.kept"):
        assert resumed(kept, "--once", cwd=tmp_path) == expected


@pytest.mark.parametrize(
    "call",
    [
        "sorted([1], key=at)", "[1].sort(key=at)", "min([1], key=at)", "max(one())", "sum(one())", "any(one())",
        "all(one())", "functools.reduce(at, [1, 2])", "list(one())", "tuple(one())", "set(one())", "frozenset(one())",
        "dict((n, n) for n in one())", "'-'.join(one())", "re.compile('1').sub(at, '1')", "[].extend(one())",
        "re.compile('1').subn(at, '1')", "set().update(one())", "{}.update(one())",
    ],
)  # fmt: skip
def test_without_them_it_is_refused_and_they_are_named_as_the_remedy(call: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(f"""
import functools, re
import stillframe

def at(*_):
    stillframe.snapshot("program.snapshot")

def one():
    yield at()

{call}
""")
    ended = plainly("program.py", cwd=tmp_path)
    assert "NativeCallInTheWay" in ended.stderr and ended.returncode == 1
    assert (
        "Run the program with `still run --stand-ins`, or call stillframe.use_stand_ins() before"
        in ended.stderr
    )
    assert not (tmp_path / "program.snapshot").exists()


def test_a_resumed_program_goes_on_with_stand_ins(tmp_path: Path) -> None:
    (tmp_path / "twice.py").write_text("""
import stillframe

def numbers():
    for number in range(3):
        if number:
            stillframe.snapshot(f"{number}.snapshot")
        yield number

stillframe.use_stand_ins()
print(list(numbers()))
""")
    assert plainly("twice.py", cwd=tmp_path).stdout == "[0, 1, 2]\n"
    (tmp_path / "2.snapshot").unlink()
    for _ in range(2):
        ended = resumed(tmp_path / "1.snapshot", cwd=tmp_path)
        assert (ended.stdout, ended.stderr) == ("[0, 1, 2]\n", "")
        assert run([*STILL, "resume", "2.snapshot"], tmp_path).stdout == "[0, 1, 2]\n"

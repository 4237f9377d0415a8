"""What is on the way of a local teleport: what is imported for it, and that the program sees nothing of that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stillframe import light


def printed_by(text: str, tmp_path: Path) -> str:
    """What a program of its own file prints."""
    script = tmp_path / "program.py"
    script.write_text(text)
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout


def test_who_lands_imports_nothing_that_only_a_capture_needs(tmp_path: Path) -> None:
    printed = printed_by(
        """
import sys
import stillframe
stillframe.teleport()
for_captures = {
    "datetime", "dis", "enum", "json", "math", "pickle", "queue", "re",
    "select", "signal", "stillframe.capture.blocking", "stillframe.capture.pickler",
    "stillframe.capture.program", "stillframe.errors", "stillframe.frames.code", "stillframe.frames.continuation",
    "stillframe.frames.diversions", "stillframe.frames.natives", "stillframe.frames.steps",
}
print(sorted(for_captures & sys.modules.keys()), sorted({"contextlib", "typing"} & sys.modules.keys()))
""",
        tmp_path,
    )
    needs_code = sys.version_info >= (3, 13)
    assert printed.startswith(
        "[] " if not needs_code else "['stillframe.errors', 'stillframe.frames.code'] "
    )
    assert printed.endswith(" []\n") or needs_code


def test_who_captures_imports_neither_typing_nor_what_copies_need(tmp_path: Path) -> None:
    printed = printed_by(
        """
import sys
import stillframe
slow = {
    "contextlib", "dis", "enum", "json", "numbers", "pickle", "queue", "re", "select", "signal", "typing",
    "stillframe.capture.blocking",
}
class Probe:
    def __reduce__(self):
        print(sorted(slow & sys.modules.keys()), flush=True)
        return Probe, ()
probe = Probe()
stillframe.teleport()
""",
        tmp_path,
    )
    assert printed == "[]\n"


@pytest.mark.parametrize("door", ["capture.runner", "capture.values", "capture.states", "capture.snapshot"])
def test_who_loads_what_another_process_captured_has_tested_the_frames(door: str, tmp_path: Path) -> None:
    text = f"import sys, stillframe.{door}\nprint('stillframe.frames.continuation' in sys.modules)\n"
    assert printed_by(text, tmp_path) == "True\n"


@pytest.mark.parametrize("is_on", [True, False])
def test_the_collector_is_as_the_program_set_it_there_and_after_a_refusal(
    is_on: bool, tmp_path: Path
) -> None:
    printed = printed_by(
        f"""
import gc, sys
import stillframe
({"gc.enable" if is_on else "gc.disable"})()
gc.set_threshold(301, 7, 3)
generator = (stillframe.teleport() for _ in [0])
try:
    sorted(generator)
except stillframe.CannotCapture:
    print(gc.isenabled(), gc.get_threshold())
sys.stdout.flush()
stillframe.teleport()
print(gc.isenabled(), gc.get_threshold())
""",
        tmp_path,
    )
    assert printed == f"{is_on} (301, 7, 3)\n" * 2


def test_a_stand_in_that_was_under_way_when_they_were_turned_off_goes_on_there(tmp_path: Path) -> None:
    printed = printed_by(
        """
import stillframe
def key(number):
    if number == 2:
        stillframe.use_stand_ins(False)
        stillframe.teleport()
    return -number
stillframe.use_stand_ins()
print(sorted([1, 2, 3], key=key))
""",
        tmp_path,
    )
    assert printed == "[3, 2, 1]\n"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters are new in 3.12")
def test_a_type_that_c_made_before_its_module_was_imported_comes_along(tmp_path: Path) -> None:
    printed = printed_by(
        """
import sys
import stillframe
def kind():
    def inner[T](argument: T) -> T:
        return argument
    return type(inner.__type_params__[0])
variable = kind()
before = "typing" in sys.modules
stillframe.teleport()
import typing
print(before, variable is typing.TypeVar)
""",
        tmp_path,
    )
    assert printed == "False True\n"


class Light(light.NamedTuple):
    """Two fields, of which one has a default."""

    first: int
    """A field."""
    second: str = "two"

    @property
    def both(self) -> str:
        return f"{self.first}{self.second}"

    @classmethod
    def of(cls, first: int) -> Light:
        return cls(first)  # type: ignore[call-arg]


def test_a_light_named_tuple_is_one_as_typing_makes_them() -> None:
    import pickle
    from typing import NamedTuple

    class Usual(NamedTuple):
        first: int
        second: str = "two"

    made = Light.of(1)
    assert (Light.__mro__[1:], Light._fields) == (Usual.__mro__[1:], Usual._fields)
    assert (Light._field_defaults, Light.__doc__) == (
        {"second": "two"},
        "Two fields, of which one has a default.",
    )
    assert (repr(made)[5:], made, made.both) == (repr(Usual(1))[5:], Usual(1), "1two")
    other = made._replace(second="2")
    assert (other, other.second) == ((1, "2"), "2") and not hasattr(made, "__dict__")
    again = pickle.loads(pickle.dumps(made))
    assert type(again) is Light and again == made

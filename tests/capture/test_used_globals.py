"""Which globals a function brings along: those that its code means, and none that only sound the same."""

from __future__ import annotations

import dis
import sysconfig
from pathlib import Path
from types import CodeType

import pytest

import stillframe
from stillframe.capture.reducers import functions

BALLAST = bytes(100_000)
used = "a global"
long_names = {f"name_{number}": number for number in range(300)}


class Thing:
    def set(self):
        self.BALLAST = 1
        return self.BALLAST


def uses_it():
    return [used for _ in range(2)]


def test_an_attribute_brings_no_global_of_its_name_along():
    assert len(stillframe.dumps(Thing)) < 10_000


def test_a_global_that_only_a_nested_function_uses_comes_along():
    assert functions._names(uses_it.__code__) >= {"used", "range"}
    assert "used" in functions._names(compile("class A:\n  x = used", "<test>", "exec"))


def names_by_dis(code: CodeType) -> set[str]:
    names = {
        found.argval
        for found in dis.get_instructions(code)
        if found.opname.endswith(("_GLOBAL", "_NAME", "_GLOBALS")) and found.opname not in ("IMPORT_NAME",)
    }
    for const in code.co_consts:
        if isinstance(const, CodeType):
            names |= names_by_dis(const)
    return names


MODULES = ["argparse.py", "ast.py", "dataclasses.py", "datetime.py", "enum.py", "pickle.py", "typing.py"]


@pytest.mark.parametrize("name", MODULES)
def test_the_names_are_those_that_dis_finds(name):
    path = Path(sysconfig.get_path("stdlib")) / name
    code = compile(path.read_text(), name, "exec")
    assert functions._names(code) == names_by_dis(code)


def test_names_beyond_the_255th_are_found():
    text = "def f():\n" + "".join(f"    name_{number}\n" for number in range(300))
    assert functions._names(compile(text, "<test>", "exec")) == {"f", *long_names}

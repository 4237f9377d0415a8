"""What is read from code objects, over the code of the standard library: what each slot of a stack is, where
statements begin, and where exceptions go on."""

from __future__ import annotations

import ast
import dis
import functools
import textwrap
import types
from collections.abc import Iterator

import pytest

from stillframe.frames.code import code_map, exception_table
from stillframe.frames.statements import beginning_of, kinds_of


def codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes(constant)


def codes_of(module: types.ModuleType) -> Iterator[types.CodeType]:
    assert module.__file__ is not None
    with open(module.__file__) as file:
        yield from codes(compile(file.read(), module.__file__, "exec"))


@pytest.mark.parametrize("module", [ast, functools, textwrap])
def test_the_exception_table_is_what_dis_reads(module: types.ModuleType) -> None:
    for code in codes_of(module):
        read = dis._parse_exception_table(code)  # type: ignore[attr-defined]
        expected = [
            (entry.start // 2, entry.end // 2, entry.target // 2, entry.depth, bool(entry.lasti)) for entry in read
        ]
        assert exception_table(code.co_exceptiontable) == expected


@pytest.mark.parametrize("module", [ast, functools, textwrap])
def test_each_slot_is_known_and_no_statement_begins_in_the_middle(module: types.ModuleType) -> None:
    for code in codes_of(module):
        found = code_map(code)
        kinds = kinds_of(found)
        for unit, depth in found.depths.items():
            assert len(kinds[unit]) == depth, (code.co_qualname, unit)
            begin = beginning_of(found, unit)
            if begin is not None:
                at = found.owner[begin]
                assert begin <= unit and all(kind in (-1, -3) for kind in kinds[at])
                assert kinds[unit][: len(kinds[at])] == kinds[at]

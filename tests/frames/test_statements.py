"""Where statements begin: what each slot of a stack is, over the code of the standard library."""

from __future__ import annotations

import ast
import functools
import textwrap
import types
from collections.abc import Iterator

import pytest

from stillframe.frames.code import code_map
from stillframe.frames.statements import beginning_of, kinds_of


def codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes(constant)


@pytest.mark.parametrize("module", [ast, functools, textwrap])
def test_each_slot_is_known_and_no_statement_begins_in_the_middle(module: types.ModuleType) -> None:
    assert module.__file__ is not None
    with open(module.__file__) as file:
        top = compile(file.read(), module.__file__, "exec")
    for code in codes(top):
        found = code_map(code)
        kinds = kinds_of(found)
        for unit, depth in found.depths.items():
            assert len(kinds[unit]) == depth, (code.co_qualname, unit)
            begin = beginning_of(found, unit)
            if begin is not None:
                at = found.owner[begin]
                assert begin <= unit and all(kind in (-1, -3) for kind in kinds[at])
                assert kinds[unit][: len(kinds[at])] == kinds[at]

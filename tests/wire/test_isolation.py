"""What a cell changes belongs to its branch, whatever it is; and an engine that copies is caught at it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from support import deepcopy_engine
from support.cases import Case
from support.isolation import ALIKE, ISOLATED
from support.replay import replay
from support.server import Json, Server, stdout


def _is_there(case: Case) -> bool:
    return not case.needs or importlib.util.find_spec(case.needs) is not None


def _skip_unless_there(case: Case) -> None:
    if not _is_there(case):
        pytest.skip(f"{case.needs} is not installed")


def _facts(cases: list[Case]) -> list[str]:
    return [case.fact for case in cases]


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Json] | None]:
    """The replies of the engine that copies, by fact."""
    scripts = {case.fact: case.script() for case in [*ISOLATED, *ALIKE]}
    found = subprocess.run(
        [sys.executable, deepcopy_engine.__file__],
        input=json.dumps({"warm": ["torch", "pandas", "matplotlib"], "scripts": list(scripts.values())}),
        capture_output=True, text=True, timeout=170, check=True, cwd=tmp_path_factory.mktemp("copied"),
    )  # fmt: skip
    return dict(zip(scripts, json.loads(found.stdout), strict=True))


def _looks(replies: list[Json]) -> list[str]:
    return [stdout(reply).strip() for reply in replies[-3:]]


@pytest.mark.parametrize("case", [*ISOLATED, *ALIKE], ids=_facts([*ISOLATED, *ALIKE]))
def test_branches_are_isolated(kernel: Server, case: Case) -> None:
    _skip_unless_there(case)
    place = kernel.new_name("case")
    replies = []
    for code, state, name in case.script():
        source = state if state == "initial" else f"{place}-{state}"
        replies.append(kernel.run(code, source, f"{place}-{name}"))
        assert replies[-1]["error"] is None, "\n".join(replies[-1]["error"]["traceback"])
    assert _looks(replies) == case.expected


@pytest.mark.parametrize("case", ISOLATED, ids=_facts(ISOLATED))
def test_the_case_is_red_on_an_engine_that_copies(copied: dict[str, list[Json]], case: Case) -> None:
    _skip_unless_there(case)
    replies = copied[case.fact]
    assert replies is not None and replies[0]["error"] is None, "the setup itself must work there"
    assert _looks(replies) != case.expected


def test_the_cases_say_what_python_does(tmp_path: Path) -> None:
    """Each look, replayed in a fresh interpreter, prints what the case expects: the data itself is right."""
    wrong, cases = [], [case for case in [*ISOLATED, *ALIKE] if _is_there(case)]
    lineages = []
    for case in cases:
        setup, left, right, look = (code for code, _, _ in case.script()[:4])
        lineages += [[setup, look], [setup, left, look], [setup, right, look]]
    warm = {case.needs for case in cases if case.needs}
    found = replay(lineages, cwd=tmp_path, warm=warm)
    for number, case in enumerate(cases):
        texts = [lineage and lineage[-1].strip() for lineage in found[3 * number : 3 * number + 3]]
        if texts != case.expected:
            wrong.append((case.fact, texts))
    assert wrong == []


@pytest.mark.parametrize("case", ALIKE, ids=_facts(ALIKE))
def test_the_case_is_green_on_an_engine_that_copies(copied: dict[str, list[Json]], case: Case) -> None:
    _skip_unless_there(case)
    assert case.reason
    assert _looks(copied[case.fact]) == case.expected


def test_states_do_not_leave_files_of_ours(kernel: Server) -> None:
    """The cells above wrote into the server's working directory; stillframe itself wrote nothing there."""
    strangers = [path.name for path in Path(kernel.cwd).iterdir() if not path.name.startswith("tmp")]
    assert strangers == []

"""The house: which room may know which, what is out of reach, that each module says what it is."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src"
MODULES = sorted((SOURCE / "stillframe").rglob("*.py"))

FLOORS = [
    {"light"},
    {"errors", "model", "sizes"},
    {"frames", "cells", "names"},
    {"capture", "store"},
    {"engine", "client", "teleport"},
    {"rest"},
    {"serve"},
    {"cli"},
    {"__main__"},
]
"""From the ground up: imports point down, or stay in the room. Rooms on one floor do not know each other."""
ROOMS = {"moves": "client", "show": "client", "results": "client", "pool": "client", "kernel": "client"}
"""Modules that are part of a room without being in its folder."""

STATE_SIDE = {
    "descriptors",
    "effects",
    "execution",
    "failing",
    "forking",
    "hazards",
    "hot_pages",
    "landmarks",
    "looking",
    "places",
    "plain",
    "resting",
    "shell",
    "shell_state",
    "sources",
    "state_channel",
    "state_process",
    "storing",
    "streams",
    "symbols",
}
"""Modules of the engine that run in state processes, next to user code."""
FORBIDDEN = {"pickle", "cloudpickle", "dill", "marshal", "shelve", "IPython", "stillframe.capture", "stillframe.frames"}
"""What the supervisor and the doors must not reach: they touch no user object."""
TOUCH_OBJECTS = {"frames", "capture", "teleport"}
"""The rooms that capture programs: they are part of the user's own process."""


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts)


def room_of(module: str) -> str:
    part = module.removeprefix("stillframe.").split(".")[0]
    return ROOMS.get(part, part)


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path.name} imports relatively"
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def floor_of(room: str) -> int:
    floors = [height for height, rooms in enumerate(FLOORS) if room in rooms]
    assert floors, f"the room {room!r} is on no floor: give it one in tests/test_house.py"
    return floors[0]


def violation(module: str, imported: str) -> bool:
    """Whether `module` may not import `imported`."""
    if not imported.startswith("stillframe.") or module == "stillframe.__init__":
        return False
    here, there = room_of(module), room_of(imported)
    if there in ("__init__", "__version__") or here == there:
        return False
    return floor_of(there) >= floor_of(here)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    wrong = [imported for imported in imports_of(path) if violation(name_of(path), imported)]
    assert wrong == []


def test_an_import_that_points_up_or_aside_is_seen() -> None:
    assert violation("stillframe.engine.tree", "stillframe.rest.app")
    assert violation("stillframe.engine.tree", "stillframe.client")
    assert violation("stillframe.errors", "stillframe.engine.tree")
    assert not violation("stillframe.rest.app", "stillframe.engine.supervisor")


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in MODULES
        if room_of(name_of(path)) not in TOUCH_OBJECTS
        and (path.stem not in STATE_SIDE or path.parent.name != "engine")
        and name_of(path) not in ("stillframe.__init__", "stillframe.cli.programs")
    ],
    ids=name_of,
)
def test_what_touches_no_user_object_cannot_reach_what_would(path: Path) -> None:
    assert {imported for imported in imports_of(path) if imported.split(".")[0] in FORBIDDEN | {"pickle"}} == set()
    assert imports_of(path) & FORBIDDEN == set()


def test_the_supervisor_does_not_import_what_runs_user_code() -> None:
    state_side = {f"stillframe.engine.{name}" for name in STATE_SIDE}
    for path in MODULES:
        if path.parent.name == "engine" and path.stem not in STATE_SIDE:
            assert imports_of(path) & state_side == set(), path.name


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_each_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), f"{path.name} has no docstring"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_one_thing(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 500


def test_only_the_cli_reads_the_users_environment() -> None:
    readers = {
        name_of(path)
        for path in MODULES
        if any(text in path.read_text() for text in ("os.environ[", "os.environ.get", "os.getenv", "os.environ.pop"))
    }
    # The environment of a program is part of what is captured, and of what teleport takes along.
    outside = {name for name in readers if room_of(name) not in ("cli", "serve", "capture", "teleport")}
    # The root takes its own settings out of its environment before any user code sees it.
    assert outside <= {"stillframe.engine.state_process"}

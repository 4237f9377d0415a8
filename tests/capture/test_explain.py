"""What stands in the way is named by its path, all of it; the user can say how a type is captured."""

from __future__ import annotations

import array
import hashlib
import os
import re
import socket
import sqlite3
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from stillframe.capture import pickler
from stillframe.capture.capturing import capture, restore
from stillframe.capture.explain import explain
from stillframe.capture.pickler import Options, register_reducer
from stillframe.errors import CannotCapture


class Job:
    """Something to hold things."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


class Slotted:
    __slots__ = ("handle",)


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.socket() as made:
        yield made


def paths(obj: Any, name: str = "job") -> list[str]:
    return [obstacle.path for obstacle in explain(obj, name)]


def closure_over(thing: Any) -> Any:
    def use() -> Any:
        return thing

    return use


def test_each_way_to_hold_something_has_its_step(sock: socket.socket) -> None:
    slotted = Slotted()
    slotted.handle = sock
    ways: dict[str, Any] = {
        "job": sock,
        "job.pool._sock": Job(pool=Job(_sock=sock)),
        "job.handle": slotted,
        "job['key'][3]": {"key": [0, 0, 0, sock]},
        "job.f.<locals>.thing": Job(f=closure_over(sock)),
        "job.__self__.x": Job(x=sock).__init__,  # type: ignore[misc]
        "job[0].cause.x": [Job(cause=Job(x=sock))],
        "job[('a', 1)]": {("a", 1): sock},
        "job.cls.shared": Job(cls=type("C", (), {"shared": sock})),
    }
    for path, obj in ways.items():
        assert paths(obj) == [path]


def test_all_are_named_at_once_and_each_once(sock: socket.socket) -> None:
    database = sqlite3.connect(":memory:")
    job = Job(
        a=sock, b=[sock, database], c=hashlib.sha256(), d=os.scandir("."), e=re.compile("a").scanner("a")
    )
    found = explain(job, "job")
    assert {(o.path, o.type_name) for o in found} == {
        ("job.a", "socket"),
        ("job.b[1]", "Connection"),
        ("job.c", "HASH"),
        ("job.d", "ScandirIterator"),
        ("job.e", "SRE_Scanner"),
    }
    assert all(o.reason and o.remedy.endswith(".") for o in found)
    with pytest.raises(CannotCapture, match="cannot capture 5 objects:\n  job") as caught:
        capture(job, name="job")
    assert caught.value.obstacles == found
    database.close()


def test_nothing_stands_in_the_way_of_what_can_be_captured() -> None:
    assert explain(Job(a=1, b=[threading.Lock()], c=closure_over(3), d={1: {2}})) == []


def test_an_error_of_the_users_own_is_quoted() -> None:
    class Bad:
        def __getstate__(self) -> Any:
            raise RuntimeError("not today")

    (found,) = explain({"bad": Bad()}, "x")
    assert (found.path, found.reason) == ("x['bad']", "its own code says: RuntimeError: not today")


def test_variables_of_the_users_modules_have_their_names(
    monkeypatch: pytest.MonkeyPatch, sock: socket.socket
) -> None:
    import sys
    import types

    module = types.ModuleType("own_module")
    module.handle = sock  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_module", module)
    everything = [obstacle.path for obstacle in explain(None, "x", Options(whole_program=True))]
    assert "own_module.handle" in everything
    options = Options(whole_program=True, excluded=frozenset({"own_module.handle"}))
    assert "own_module.handle" not in [obstacle.path for obstacle in explain(None, "x", options)]


def test_explaining_does_not_go_round_in_circles(sock: socket.socket) -> None:
    job = Job(sock=sock)
    job.me = [job, {"job": job}]
    assert paths(job) == ["job.sock"]


def test_depth_is_no_obstacle(sock: socket.socket) -> None:
    deep: Any = Job(sock=sock)
    for _ in range(5000):
        deep = [deep]
    (path,) = paths(deep)
    assert path == "job" + "[0]" * 5000 + ".sock"


@pytest.fixture
def _no_registrations() -> Iterator[None]:
    before = dict(pickler.REGISTERED)
    yield
    pickler.REGISTERED.clear()
    pickler.REGISTERED.update(before)


@pytest.mark.usefixtures("_no_registrations")
def test_a_reducer_of_the_users_wins_and_counts_for_subclasses(sock: socket.socket) -> None:
    register_reducer(socket.socket, lambda s: (str, (f"was {s.type.name}",)))
    assert restore(capture(Job(s=sock)))[1].s == "was SOCK_STREAM"
    register_reducer(Job, lambda job: (Job, (), {"only": job.x}))

    class Sub(Job):
        pass

    assert vars(restore(capture([Sub(x=1, y=2)]))[1][0]) == {"only": 1}
    assert explain(sock) == []


def test_the_memory_of_an_array_is_no_obstacle(sock: socket.socket) -> None:
    held = [array.array("d", range(10_000)), array.array("d", [1.0]), sock]
    assert [obstacle.path for obstacle in explain(held, "held")] == ["held[2]"]
    np = pytest.importorskip("numpy")
    assert [obstacle.path for obstacle in explain([np.zeros(9), np.zeros(99_999), sock])] == ["obj[2]"]


def test_a_reducer_needs_a_type_and_a_function() -> None:
    with pytest.raises(TypeError):
        register_reducer("socket", lambda s: s)  # type: ignore[arg-type]


def test_more_than_a_hundred_are_not_listed(sock: socket.socket) -> None:
    scanners = [re.compile("a").scanner("a") for _ in range(150)]
    assert len(explain(scanners)) == 100

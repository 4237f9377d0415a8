"""What a failed cell has left behind, kept as a state: its frames, their variables, and cells that run in it."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from engine.test_resting import kill_all_but_the_root
from support.server import Bell, Json, Server, stdout

CODE = """rows = [1, 2, 0, 4]
def share(total, part):
    seen = [total, part]
    return total / part

def report(rows):
    done = []
    for row in rows:
        done.append(share(12, row))
    return done
print('begun')
report(rows)
"""


FAILURES = [
    "x = (",
    "raise SystemExit(2)",
    "1 / 0",
    "%%time\n1 / 0",
    "import asyncio\nawait asyncio.sleep('x')",
]


def failed(kernel: Server, code: str, state: str = "initial", **more: Any) -> Json:
    """The reply to a cell that fails, and whose error is kept."""
    body = {"code": code, "state_name": state, "exec_id": uuid.uuid4().hex, "on_error": "keep", **more}
    status, reply = kernel.call("POST", "/execute", body)
    assert status == 200 and reply["error"] is not None, reply
    return reply


def test_frames_and_their_variables_are_as_they_were_when_the_cell_failed(kernel: Server) -> None:
    reply = failed(kernel, CODE, error_state_name="broken", new_state_name="never")
    assert (reply["error"]["ename"], reply["state_name"], reply["error_state"]) == (
        "ZeroDivisionError",
        None,
        "broken",
    )
    assert stdout(reply) == "begun\n" and "never" not in kernel.states()
    frames = kernel.call("GET", "/states/broken/frames")[1]["frames"]
    assert [(frame["function"], frame["line"]) for frame in frames] == [
        ("<module>", 12),
        ("report", 9),
        ("share", 4),
    ]
    assert (
        frames[1]["variables"]["done"]["repr"] == "[12.0, 6.0]"
        and frames[1]["variables"]["row"]["repr"] == "0"
    )
    node = kernel.node("broken")
    assert (node["kind"], node["where"]["line"], node["where"]["function"]) == ("error", 4, "share")
    assert (node["parent"], node["code"]) == (kernel.node("initial")["id"], CODE)


def test_a_state_that_no_failure_has_left_has_no_frames(kernel: Server) -> None:
    state = kernel.ok("x = 1")
    for name in ("initial", state):
        assert kernel.call("GET", f"/states/{name}/frames") == (200, {"frames": []})
    assert kernel.call("POST", "/states/initial/evaluate", {"code": "1", "frame": 0})[0] == 400


def test_expressions_have_their_value_in_each_frame(kernel: Server) -> None:
    name = failed(kernel, CODE)["error_state"]
    for body, expected in (
        ({"code": "seen"}, "[12, 0]"),
        ({"code": "sum(done)", "frame": 1}, "18.0"),
        ({"code": "sum(done)", "frame": -2}, "18.0"),
        ({"code": "len(rows)", "frame": 0}, "4"),
    ):
        assert kernel.call("POST", f"/states/{name}/evaluate", body)[1]["repr"] == expected
    assert kernel.call("POST", f"/states/{name}/evaluate", {"code": "share(12, row)", "frame": 1})[1][
        "error"
    ] == ("ZeroDivisionError: division by zero")


def test_cells_run_in_what_is_left_and_go_on_from_there(kernel: Server) -> None:
    name = failed(kernel, CODE)["error_state"]
    for _ in range(2):
        assert kernel.printed("rows[2] = 3; print(report(rows))", name) == "[12.0, 6.0, 4.0, 3.0]\n"
    assert kernel.printed("print(rows)", name) == "[1, 2, 0, 4]\n"


def test_without_the_wish_nothing_is_kept(kernel: Server) -> None:
    before = kernel.states()
    reply = kernel.run(CODE)
    assert reply["error_state"] is None and kernel.states() == before


@pytest.mark.parametrize("code", FAILURES)
def test_every_kind_of_failure_can_be_kept(kernel: Server, code: str) -> None:
    name = failed(kernel, "y = 5\n" + code if not code.startswith("%") else code)["error_state"]
    assert name in kernel.states()
    status, answer = kernel.call("GET", f"/states/{name}/frames")
    assert status == 200 and (answer["frames"] != []) is (code != "x = (")
    assert kernel.printed("print(6 * 7)", name) == "42\n"


def test_where_the_process_has_ended_there_is_nothing_to_keep(kernel: Server) -> None:
    reply = failed(kernel, "import os; os._exit(1)", error_state_name="nothing")
    assert (reply["error"]["kind"], reply["error_state"]) == (
        "died",
        None,
    ) and "nothing" not in kernel.states()


def test_an_interrupted_cell_can_be_kept(kernel: Server, bell: Bell) -> None:
    with ThreadPoolExecutor(1) as pool:
        code = f"def f():\n    turns = 0\n    while True:\n        turns += 1\n        if turns == 10: {bell.ring}\nf()"
        reply = pool.submit(failed, kernel, code, exec_id="kept when interrupted")
        bell.wait()
        kernel.interrupt("kept when interrupted")
        name = reply.result()["error_state"]
    assert int(kernel.call("POST", f"/states/{name}/evaluate", {"code": "turns", "frame": 1})[1]["repr"]) >= 10


def test_a_branch_that_fails_ends_its_search_and_is_kept(kernel: Server) -> None:
    name = failed(
        kernel, "from stillframe import choose, reject\nn = choose([2, 0])\nif n == 2: reject()\n1 / n"
    )["error_state"]
    assert kernel.printed("print(n)", name) == "0\n"


def test_a_kept_error_comes_back_by_replay(fresh: Server) -> None:
    name = failed(fresh, CODE)["error_state"]
    kill_all_but_the_root(fresh)
    assert fresh.node(name)["ways_back"] == ["replay"]
    assert fresh.printed("print(rows)", name) == "[1, 2, 0, 4]\n"


@pytest.mark.parametrize("more", [{"on_error": "drop"}, {"error_state_name": ""}, {"on_error": None}])
def test_what_makes_no_sense_is_a_bad_request(kernel: Server, more: Json) -> None:
    body = {"code": "1", "state_name": "initial", "exec_id": 1, **more}
    status, answer = kernel.call("POST", "/execute", body)
    assert (status, answer["error"]["code"]) == (400, "BadRequest")

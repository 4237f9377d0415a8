"""States inside a call outlive the server: stored with their frames, they go on in a process that ran none of it."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.test_resting import IMPORT, PLACES, lines_of, printed_after, resumed
from support.processes import until
from support.server import stdout
from support.stored import stored

PROCESS_ONLY = {
    "a generator": "running in C",
    "a key function of sorted": "sorted",
    "a repr that json calls": "C",
    "a callback of re.sub": "re",
    "a numpy callback": "running in C",
    "a top-level await": "IPython runs",
    "a task among tasks": "IPython runs",
    "a %%time cell": "IPython runs",
    "a cell run by a cell": "IPython runs",
    "a loop of its own": "IPython runs",
}
"""What cannot be captured and so is not stored, with a word of why. It comes back by replay."""


def test_what_rests_in_a_call_goes_on_after_a_restart_as_if_nothing_had_been(tmp_path: Path) -> None:
    with stored(tmp_path) as server:
        expected = {}
        for place, code in PLACES.items():
            plain = [server.ok(f"rest = lambda: {value}") for value in (None, 5)]
            expected[place] = [lines_of(stdout(server.run(code, state))) for state in plain]
            source = server.ok(
                f"{IMPORT}def rest():\n    found = stillframe.snapshot({place!r})\n"
                "    return found.value if found else None"
            )
            server.ok(code, source)
        until(
            lambda: all(server.node(place)["stored"] or server.node(place)["obstacles"] for place in PLACES),
            60,
            "the captures",
        )
        stored_ones = {place for place in PLACES if server.node(place)["stored"]}
        obstacles = {place: " ".join(server.node(place)["obstacles"]) for place in PLACES}
        server.restart(signal.SIGKILL)
        for place in PLACES:
            assert ("restore" in server.node(place)["ways_back"]) is (place in stored_ones)
            for value, whole in zip((None, 5), expected[place], strict=True):
                after = lines_of(printed_after(server, place, value))
                assert whole[len(whole) - len(after) :] == after and after, place
        assert PLACES.keys() - stored_ones == PROCESS_ONLY.keys(), obstacles
        wrong = {place: obstacles[place] for place, word in PROCESS_ONLY.items() if word not in obstacles[place]}
        assert wrong == {}


def test_100_resumes_at_once_give_100_right_answers_after_a_restart(tmp_path: Path) -> None:
    with stored(tmp_path) as server:
        server.ok(
            IMPORT + "def work(base):\n    with open('/dev/null') as f:\n        for i in range(base):\n"
            "            r = stillframe.snapshot('hundred') if i == 3 else None\n            if r:\n"
            "                return base * 1000 + r.value\nanswer = work(7)\nprint(answer)"
        )
        server.wait_stored()
        server.restart(signal.SIGKILL)
        with ThreadPoolExecutor(16) as pool:
            replies = list(pool.map(lambda n: resumed(server, "hundred", n), range(100)))
        assert [stdout(reply) for reply in replies] == [f"{7000 + n}\n" for n in range(100)]
        assert server.node("hundred")["ways_back"] == ["fork", "restore", "replay"]
        server.reset()


def test_a_restored_state_inside_a_call_is_like_any_other(tmp_path: Path) -> None:
    """It is looked at, its cell's last expression is shown, its outcome is stored, its errors point into the cell."""
    code = (
        IMPORT
        + "base = 10\ndef f(y):\n    z = [y]\n    def g(q):\n        r = stillframe.snapshot('inner')\n"
        "        base2 = 1 / r.value if r else 0\n        return z, y, base2\n    return g('q')\nf(5)"
    )
    with stored(tmp_path) as server:
        server.ok(code, name="whole")
        server.wait_stored()
        server.restart()
        frames = server.call("GET", "/states/inner/frames")[1]["frames"]
        assert [(frame["function"], frame["line"]) for frame in frames] == [
            ("<module>", 10), ("f", 9), ("f.<locals>.g", 6)
        ]  # fmt: skip
        assert (
            server.call("POST", "/states/inner/evaluate", {"code": "(y, z, q, base)"})[1]["repr"]
            == "(5, [5], 'q', 10)"
        )
        reply = resumed(server, "inner", 4, "outcome")
        assert reply["output"][-1]["data"]["text/plain"] == "([5], 5, 0.25)"
        assert server.printed("print(f.__name__, _)", "outcome") == "f ([5], 5, 0.25)\n"
        error = resumed(server, "inner", 0)["error"]
        assert error["ename"] == "ZeroDivisionError"
        assert any("----> 7" in line for line in error["traceback"]) and any(
            "f(5)" in line for line in error["traceback"]
        )
        server.wait_stored()
        server.restart(signal.SIGKILL)
        assert server.printed("print(f.__name__, _)", "outcome") == "f ([5], 5, 0.25)\n"
        assert server.node("outcome")["parent"] == server.node("inner")["id"]


@pytest.mark.parametrize("keep", ["always", "never"])
def test_a_kept_error_has_its_frames_after_a_restart(tmp_path: Path, keep: str) -> None:
    with stored(tmp_path, "--keep", keep) as server:
        body = {
            "code": "def f(x):\n    y = [x]\n    return 1 / x\nf(0)",
            "state_name": "initial",
            "exec_id": 1,
        }
        status, reply = server.call(
            "POST", "/execute", {**body, "on_error": "keep", "error_state_name": "broken"}
        )
        assert status == 200 and reply["error_state"] == "broken"
        server.restart()
        if keep == "always":
            frames = server.call("GET", "/states/broken/frames")[1]["frames"]
            assert [(frame["function"], frame["line"]) for frame in frames] == [("<module>", 4), ("f", 3)]
            assert frames[-1]["variables"]["y"]["repr"] == "[0]"
        assert server.printed("print(f(4))", "broken") == "0.25\n"

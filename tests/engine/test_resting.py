"""States that rest inside a call: stillframe.snapshot("name") in a cell, and going on from there.

The oracle is plain Python: a cell in which snapshot() is replaced by a function that returns None, or what the
resume would hand in.
"""

from __future__ import annotations

import contextlib
import os
import signal
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from support.processes import until, with_marker
from support.server import Bell, Json, Server, stderr, stdout

IMPORT = "import stillframe\n"


def resumed(kernel: Server, state: str, value: Any = None, name: str | None = None, **more: Any) -> Json:
    """The reply to a resume."""
    body = {"state_name": state, "exec_id": uuid.uuid4().hex, "value": value, **more}
    if name is not None:
        body["new_state_name"] = name
    status, reply = kernel.call("POST", "/resume", body)
    assert status == 200, reply
    return reply


def printed_after(kernel: Server, state: str, value: Any = None) -> str:
    """What the cell prints when it goes on from `state`."""
    reply = resumed(kernel, state, value)
    assert reply["error"] is None, "\n".join([str(reply["error"]), *reply["error"]["traceback"]])
    kernel.delete(reply["state_name"])
    return stdout(reply)


PLACES = {
    "a loop": "total = 0\nfor i in range(4):\n    if i == 2: r = rest()\n    total += i\n"
    "    print(i, total, r if i > 1 else '')",
    "a nested function": "def outer(a):\n    def inner(b):\n        c = a * b\n        r = rest()\n"
    "        return a, b, c, r\n    return [inner(x) for x in (3,)]\nprint(outer(7))",
    "a with block": "class Room:\n    def __enter__(self): print('in'); return self\n"
    "    def __exit__(self, *e): print('out')\nwith Room() as room:\n    r = rest()\n    print('within', r)",
    "a for loop over a generator": "def steps():\n    for n in range(3):\n        print('made', n)\n        yield n\n"
    "for n in steps():\n    if n == 1: r = rest()\n    print('used', n)\nprint(r)",
    "a generator": "def steps():\n    yield 1\n    r = rest()\n    yield r\n    yield 3\nprint([*steps()])",
    "a key function of sorted": "seen = []\ndef key(x):\n    seen.append(x)\n    if x == 2: seen.append(rest())\n"
    "    return -x\nprint(sorted([1, 2, 3], key=key), seen)",
    "a callback of re.sub": "import re\nprint(re.sub('b', lambda m: str(rest()), 'abc'))",
    "a repr that json calls": "import json\nclass D(dict):\n    def items(self):\n        yield 'a', str(rest())\n"
    "print(json.dumps(D(x=1)))",
    "an except clause": "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    r = rest()\n    print(repr(e), r)",
    "a finally clause": "def f():\n    try:\n        return 'value'\n    finally:\n        print(rest())\nprint(f())",
    "a comprehension": "print([rest() if x == 1 else x for x in range(3)])",
    "an expression": "print(1 + (rest() or 41) + 1 if True else 0)",
    "exec": "exec('r = rest()\\nprint(r)')",
    "a class body": "class C:\n    a = 1\n    r = rest()\n    b = 2\nprint(C.a, C.r, C.b)",
    "a top-level await": "import asyncio\nasync def work(n):\n    await asyncio.sleep(0)\n    r = rest()\n"
    "    await asyncio.sleep(0.001)\n    return n, r\nprint(await work(5))",
    "a task among tasks": "import asyncio\nasync def work(n):\n    await asyncio.sleep(0)\n"
    "    r = rest() if n == 1 else None\n    await asyncio.sleep(0.001)\n"
    "    assert asyncio.get_running_loop().is_running()\n    return n, r\n"
    "print(await asyncio.gather(work(0), work(1), work(2)))",
    "a loop of its own": "import asyncio\nloop = asyncio.new_event_loop()\nasync def work():\n"
    "    r = rest()\n    return await asyncio.to_thread(str, r)\nprint(loop.run_until_complete(work()))",
    "a %%time cell": "%%time\nx = [rest()]\nprint(x)",
    "a cell run by a cell": "get_ipython().run_cell('r = rest()\\nprint(r)')",
    "an open file": "open('tmp lines', 'w').write('1\\n2\\n3\\n')\nwith open('tmp lines') as f:\n"
    "    first = next(f)\n    r = rest()\n    print(first, r, f.read(), f.closed)\nprint(f.closed)",
    "a contextmanager": "import contextlib\n@contextlib.contextmanager\ndef room():\n    print('in')\n"
    "    yield rest()\n    print('out')\nwith room() as r:\n    print(r)",
    "a numpy callback": "import numpy as np\nprint(np.apply_along_axis(lambda row: [row.sum(), rest() or 0], 1, "
    "np.ones((1, 3))).tolist())",
}
"""A cell that calls rest() once, by what it is in the middle of."""


@pytest.mark.parametrize("place", PLACES)
def test_a_call_rests_in_and_goes_on_as_if_it_had_just_returned(kernel: Server, place: str) -> None:
    code = PLACES[place]
    name = f"in {place}"
    returns = "lambda: {}"
    plain = [kernel.ok(f"rest = {returns.format(value)}") for value in (None, 5)]
    expected = [stdout(kernel.run(code, state)) for state in plain]
    source = kernel.ok(
        f"{IMPORT}def rest():\n    found = stillframe.snapshot({name!r})\n    return found.value if found else None"
    )
    reply = kernel.run(code, source)
    assert reply["error"] is None, reply["error"]
    whole = lines_of(stdout(reply))
    assert whole == lines_of(expected[0])
    so_far = whole[: len(whole) - len(lines_of(printed_after(kernel, name)))]
    for _ in range(2):  # the state is not used up
        assert so_far + lines_of(printed_after(kernel, name, 5)) == lines_of(expected[1])
        assert so_far + lines_of(printed_after(kernel, name)) == lines_of(expected[0])


def lines_of(text: str) -> list[str]:
    """The lines of an output, without the times that %%time tells."""
    return [line for line in text.splitlines() if not line.startswith(("CPU times", "Wall time"))]


def test_the_call_returns_none_here_and_a_resumed_there(kernel: Server) -> None:
    kernel.ok(
        IMPORT + "def f():\n    return stillframe.snapshot('here')\nfound = f()\nprint(found, bool(found))\n"
        "if found: print(found.value, found.where, found.captured_at <= found.resumed_at)"
    )
    value = {"a": [1, None, 2.5], "ü": "\u2713"}
    lines = printed_after(kernel, "here", value).splitlines()
    assert lines[0].startswith("Resumed(") and lines[0].endswith("True")
    assert lines[1] == f"{value} <ipython-input-1>:3 in f True"


def test_a_state_inside_a_call_is_in_the_tree_below_the_state_that_its_cell_ran_in(kernel: Server) -> None:
    source = kernel.ok("x = 1")
    code = IMPORT + "x = 2\n\ndef f(y):\n    stillframe.snapshot('placed')\nf(5)"
    kernel.ok(code, source, "ended")
    node, parent = kernel.node("placed"), kernel.node(source)
    assert (node["kind"], node["parent"], node["code"]) == ("call", parent["id"], code)
    where = node["where"]
    assert (where["line"], where["function"]) == (5, "f") and where["file"].startswith("<ipython-input-")
    assert kernel.node("ended")["kind"] == "cell" and kernel.node("ended")["parent"] == parent["id"]
    reply = resumed(kernel, "placed", name="gone-on")
    assert reply["state_name"] == "gone-on" and kernel.node("gone-on")["parent"] == node["id"]
    assert kernel.printed("print(x)", "gone-on") == "2\n"
    assert kernel.printed("print(x)", source) == "1\n"


def test_globals_and_the_frames_of_a_state_inside_a_call_can_be_looked_at(kernel: Server) -> None:
    kernel.ok(IMPORT + "base = 10\ndef f(y):\n    z = [y]\n    def g(q):\n        stillframe.snapshot('seen')\n"
              "        return z\n    return g('inner')\nfor i in range(3): f(i)")  # fmt: skip
    described = kernel.describe("seen")
    assert (described["variables"]["base"]["repr"], described["variables"]["i"]["repr"]) == ("10", "2")
    assert described["kind"] == "call" and described["where"]["function"] == "f.<locals>.g"
    frames = kernel.call("GET", "/states/seen/frames")[1]["frames"]
    assert [frame["function"] for frame in frames] == ["<module>", "f", "f.<locals>.g"]
    assert [frame["line"] for frame in frames] == [9, 8, 6]
    assert frames[1]["variables"]["y"] == {"type": "int", "repr": "2"}
    assert frames[2]["variables"]["q"] == {"type": "str", "repr": "'inner'"}
    asked = [
        ({"code": "z + [base]"}, "[2, 10]"),
        ({"code": "y + 1", "frame": 1}, "3"),
        ({"code": "i", "frame": 0}, "2"),
    ]
    for body, expected in asked:
        assert kernel.call("POST", "/states/seen/evaluate", body)[1]["repr"] == expected
    error = kernel.call("POST", "/states/seen/evaluate", {"code": "1/0"})[1]["error"]
    assert error == "ZeroDivisionError: division by zero"
    status, answer = kernel.call("POST", "/states/seen/evaluate", {"code": "1", "frame": 3})
    assert status == 400 and "there are 3" in answer["error"]["message"]


def test_a_look_at_a_state_inside_a_call_changes_nothing_in_it(kernel: Server) -> None:
    kernel.ok(IMPORT + "def f():\n    seen = []\n    stillframe.snapshot('untouched')\n    print(seen)\nf()")
    answer = kernel.call("POST", "/states/untouched/evaluate", {"code": "seen.append(1) or seen"})[1]
    assert answer["repr"] == "[1]"
    error = kernel.call(
        "POST", "/states/untouched/evaluate", {"code": "__import__('stillframe').snapshot('x')"}
    )[1]
    assert error["error"].startswith("stillframe.errors.NotInCell") and "x" not in kernel.states()
    assert printed_after(kernel, "untouched") == "[]\n"


def test_no_cell_runs_in_a_state_inside_a_call_and_it_is_said_what_does(kernel: Server) -> None:
    kernel.ok(IMPORT + "stillframe.snapshot('resting')", name="not resting")
    error = kernel.fails("1", "resting")
    assert (error["ename"], error["kind"]) == ("RestsInCall", "refused")
    assert "<ipython-input-1>:2" in error["evalue"] and "POST /resume" in error["evalue"]
    error = resumed(kernel, "not resting")["error"]
    assert (error["ename"], error["kind"]) == ("BadRequest", "refused") and "nothing to resume" in error[
        "evalue"
    ]
    error = resumed(kernel, "nowhere")["error"]
    assert (error["ename"], error["evalue"]) == ("StateNotFound", "nowhere")
    kernel.ok("", "resting", "a second name")
    assert kernel.node("a second name")["id"] == kernel.node("resting")["id"]


def test_many_in_one_cell_and_each_goes_on_from_its_own_place(kernel: Server) -> None:
    kernel.ok(
        IMPORT
        + "for i in range(40):\n    r = stillframe.snapshot(f'step {i}')\n    if r: break\nprint(i, r and r.value)"
    )
    for i in (0, 17, 39):
        assert printed_after(kernel, f"step {i}", i * i) == f"{i} {i * i}\n"


def test_a_name_that_is_taken_points_to_the_newest(kernel: Server) -> None:
    kernel.ok("kept = 1", name="taken")
    kernel.ok(IMPORT + "for i in range(3):\n    r = stillframe.snapshot('taken')\n    if r: break\nprint(i)")
    assert printed_after(kernel, "taken") == "2\n"


@pytest.mark.parametrize("name", ["a/b", "ü ✓", "x" * 5000, " ", "../up", "initial-not", "a\nb", "\0"])
def test_odd_names_are_names(kernel: Server, name: str) -> None:
    kernel.ok(IMPORT + f"r = stillframe.snapshot({name!r}); print(r)")
    assert name in kernel.states()
    assert printed_after(kernel, name).startswith("Resumed(")
    assert kernel.call("GET", f"/states/{quote(name, safe='')}/frames")[0] == 200


@pytest.mark.parametrize(("name", "told"), [("", "empty"), ("\ud800", "surrogate")])
def test_what_cannot_be_a_name_is_an_error_in_the_cell_and_the_cell_may_go_on(
    kernel: Server, name: str, told: str
) -> None:
    before = kernel.states()
    code = f"try:\n    stillframe.snapshot({name!r})\nexcept ValueError as e:\n    print(type(e).__name__, e)"
    text = kernel.printed(IMPORT + code)
    assert text.startswith("BadRequest") and told in text
    assert kernel.states() == before
    assert kernel.fails(IMPORT + f"stillframe.snapshot({name!r})")["ename"] == "BadRequest"


def test_a_call_may_be_in_a_file_whose_name_utf_8_cannot_say(kernel: Server) -> None:
    code = "exec(compile('stillframe.snapshot(\"strange\")', 'f\\udc80', 'exec'))\nprint('on')"
    assert kernel.printed(IMPORT + code) == "on\n"
    assert kernel.node("strange")["where"]["file"] == "f\\udc80"
    assert printed_after(kernel, "strange") == "on\n"


def test_a_path_is_a_file_in_a_cell_too(kernel: Server) -> None:
    code = (
        "import pathlib\ntry: stillframe.snapshot(pathlib.Path('none/there.snapshot'))\n"
        "except (OSError, stillframe.StillframeError) as e: print(type(e).__name__)"
    )
    print(kernel.printed(IMPORT + code))
    assert "none/there.snapshot" not in kernel.states()


ELSEWHERE = {
    "another thread": "import threading\ndef f():\n    try: CALL\n    except stillframe.NotInCell as e: print(e)\n"
    "t = threading.Thread(target=f); t.start(); t.join()",
    "a child of the cell": "import os, sys\npid = os.fork()\nif pid == 0:\n    try: CALL\n"
    "    except stillframe.NotInCell as e: print(e)\n    os._exit(0)\n_ = os.waitpid(pid, 0)",
}


@pytest.mark.parametrize(
    "call", ["stillframe.snapshot('elsewhere')", "stillframe.choose([1, 2])", "stillframe.reject()"]
)
@pytest.mark.parametrize("where", ELSEWHERE)
def test_it_is_said_plainly_where_it_cannot_be_called(kernel: Server, where: str, call: str) -> None:
    text = kernel.printed(IMPORT + ELSEWHERE[where].replace("CALL", call))
    assert "can only be called by the main thread of a running cell; this" in text
    assert "elsewhere" not in kernel.states()


def test_outputs_so_far_are_not_put_out_again_and_those_after_are(kernel: Server) -> None:
    code = (
        IMPORT
        + "import os, sys\nprint('before')\nos.write(1, b'raw\\n')\n"
        + "stillframe.snapshot('put')\n"
        + ("print('after'); print('err', file=sys.stderr); 42")
    )
    whole = kernel.run(code)
    assert stdout(whole) == "before\nraw\nafter\n"
    reply = resumed(kernel, "put")
    assert (stdout(reply), stderr(reply)) == ("after\n", "err\n")
    assert reply["output"][-1]["data"] == {"text/plain": "42"}


def test_a_resume_streams_its_outputs(kernel: Server) -> None:
    kernel.ok(IMPORT + "stillframe.snapshot('streamed')\nfor i in range(3): print(i)")
    body = {"state_name": "streamed", "exec_id": 1, "value": None}
    with kernel.events("POST", "/resume", body) as events:
        found = list(events)
    assert "".join(event.data["text"] for event in found if event.name == "output") == "0\n1\n2\n"
    assert found[-1].name == "result" and found[-1].data["error"] is None


def test_a_cell_that_fails_after_the_call_leaves_the_state_as_it_was(kernel: Server) -> None:
    code = (
        IMPORT
        + "r = stillframe.snapshot('before the failure')\nif r.value == 'well': print('well')\nelse: 1 / 0"
    )
    assert kernel.fails(code)["ename"] == "AttributeError"
    reply = resumed(kernel, "before the failure", "ill", "never")
    assert reply["error"]["ename"] == "ZeroDivisionError" and "never" not in kernel.states()
    assert any("line 4" in line or "4 else" in line for line in reply["error"]["traceback"])
    assert printed_after(kernel, "before the failure", "well") == "well\n"


def test_a_resume_whose_process_dies_says_so_and_the_state_stays(kernel: Server) -> None:
    kernel.ok(
        IMPORT + "import os\nr = stillframe.snapshot('mortal')\nif r and r.value: os._exit(3)\nprint('alive')"
    )
    error = resumed(kernel, "mortal", True)["error"]
    assert (error["ename"], error["kind"]) == ("StateProcessDied", "died") and "code 3" in error["evalue"]
    assert printed_after(kernel, "mortal", False) == "alive\n"


def test_a_cell_that_dies_after_the_call_leaves_the_state(kernel: Server) -> None:
    kernel.fails(
        IMPORT + "import os\nif not stillframe.snapshot('survivor'): os.kill(os.getpid(), 9)\nprint('on')"
    )
    assert printed_after(kernel, "survivor") == "on\n"


def test_an_interrupt_ends_what_is_resumed_and_the_state_stays(kernel: Server, bell: Bell) -> None:
    kernel.ok(
        IMPORT
        + f"r = stillframe.snapshot('long')\nif r and r.value:\n    {bell.ring}\n    while True: pass\nprint('ok')"
    )
    with ThreadPoolExecutor(1) as pool:
        body = {"state_name": "long", "exec_id": "stop me", "value": 1}
        reply = pool.submit(kernel.call, "POST", "/resume", body)
        bell.wait()
        assert kernel.interrupt("stop me") is True
        error = reply.result()[1]["error"]
    assert (error["ename"], error["kind"]) == ("KeyboardInterrupt", "interrupted")
    assert printed_after(kernel, "long") == "ok\n"


def test_an_interrupt_among_calls_ends_the_cell_and_leaves_whole_states(kernel: Server, bell: Bell) -> None:
    """It comes at any moment of a call; each state that was made goes on, none is interrupted in the other's stead."""
    for turn in range(8):
        code = (
            IMPORT
            + f"r = None\ni = 0\n{bell.ring}\nwhile not r:\n    i += 1\n"
            + "    r = stillframe.snapshot(f'among {i % 5}')\nprint('on')"
        )
        cell = kernel.begin(code)
        bell.wait()
        until(lambda: "among 4" in kernel.states(), what="five states")
        assert kernel.interrupt(cell.exec_id) is True
        error = cell.reply()["error"]
        assert (error["ename"], error["kind"], bool(error["traceback"])) == (
            "KeyboardInterrupt",
            "interrupted",
            True,
        )
        for name in [name for name in kernel.states() if name.startswith("among")]:
            assert printed_after(kernel, name) == "on\n", turn
            kernel.delete(name)


def test_100_resumes_at_once_give_100_right_answers(kernel: Server) -> None:
    kernel.ok(
        IMPORT + "def work(base):\n    with open('/dev/null', 'w') as f:\n        for i in range(base):\n"
        "            r = stillframe.snapshot('hundred') if i == 3 else None\n            if r:\n"
        "                return base * 1000 + r.value\nanswer = work(7)\nprint(answer)"
    )
    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda n: resumed(kernel, "hundred", n), range(100)))
    assert [stdout(reply) for reply in replies] == [f"{7000 + n}\n" for n in range(100)]
    assert len({reply["state_id"] for reply in replies}) == 100
    for reply in replies:
        kernel.delete(reply["state_name"])


def test_what_is_resumed_can_rest_and_be_resumed_again(kernel: Server) -> None:
    kernel.ok(IMPORT + "path = []\nfor i in range(3):\n    r = stillframe.snapshot(f'level {i}')\n"
              "    path.append(r.value if r else None)\nprint(path)")  # fmt: skip
    resumed(kernel, "level 0", "a")
    resumed(kernel, "level 1", "b")
    assert printed_after(kernel, "level 2", "c") == "['a', 'b', 'c']\n"
    parents = [kernel.node(f"level {i}")["parent"] for i in (1, 2)]
    assert parents == [kernel.node("level 0")["id"], kernel.node("level 1")["id"]]


def test_a_resting_state_whose_process_is_gone_comes_back_by_replay(fresh: Server) -> None:
    fresh.ok(IMPORT + "import os\nfor i in range(3):\n    r = stillframe.snapshot(f'replayed {i}')\n    if r: break\n"
              "print(i, r and r.value)", name="its cell's end")  # fmt: skip
    child = resumed(fresh, "replayed 1", 5)["state_name"]
    kill_all_but_the_root(fresh)
    assert fresh.node("replayed 1")["ways_back"] == ["replay"]
    before = fresh.states()
    assert printed_after(fresh, "replayed 1", "again") == "1 again\n"
    assert fresh.printed("print(i, r.value)", child) == "1 5\n"
    assert sorted(fresh.states()) == sorted(before)  # a replay makes no states


def test_a_replay_of_a_cell_that_calls_makes_no_states(fresh: Server) -> None:
    name = fresh.ok(IMPORT + "r = stillframe.snapshot('from a replay')\nx = 1")
    identity = fresh.node("from a replay")["id"]
    kill_all_but_the_root(fresh)
    assert fresh.printed("print(x)", name) == "1\n"
    assert fresh.node("from a replay")["id"] == identity


def kill_all_but_the_root(kernel: Server) -> None:
    """Kill each process that holds a state but the initial one: the root alone leads a session."""

    def are_gone() -> bool:
        for pid in with_marker(kernel.marker):  # each time: a spare may have been on its way
            with contextlib.suppress(ProcessLookupError):
                if pid != kernel.process.pid and os.getsid(pid) != pid:
                    os.kill(pid, signal.SIGKILL)
        nodes = kernel.tree()["states"]
        return all(node["processes"] == 0 or "initial" in node["names"] for node in nodes)

    until(are_gone, what="the end of the processes")


THREAD = (
    IMPORT + "import threading\nt = threading.Thread(target=threading.Event().wait, daemon=True); t.start()\n"
)


def test_a_state_with_a_live_thread_is_resumed_by_replay(kernel: Server) -> None:
    kernel.ok(THREAD + "r = stillframe.snapshot('threaded')\nprint(t.is_alive(), r and r.value)")
    assert "live thread" in kernel.node("threaded")["hazards"][0]
    assert printed_after(kernel, "threaded", 1) == "True 1\n"


def test_a_state_with_a_live_thread_whose_cell_acts_on_the_outside_says_why_it_cannot_be_resumed(
    kernel: Server,
) -> None:
    kernel.ok(THREAD + "open('tmp acted', 'w').close()\nr = stillframe.snapshot('threaded, acted')\nprint('on')")
    assert kernel.node("threaded, acted")["ways_back"] == []
    error = resumed(kernel, "threaded, acted")["error"]
    assert (error["ename"], error["kind"]) == ("StateUnreachable", "refused")
    assert "live thread" in error["evalue"] and "open('tmp acted')" in error["evalue"]
    assert kernel.describe("threaded, acted")["variables"]["t"]["type"] == "Thread"  # it can be looked at


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Server]:
    """A server with room for 30 processes."""
    (tmp_path / "cwd").mkdir()
    server = Server(tmp_path / "cwd", limits={"processes": 30}).start()
    yield server
    server.stop()


def test_no_room_is_an_error_in_the_cell_and_nothing_is_lost(small: Server) -> None:
    code = IMPORT + (
        "made = 0\ntry:\n    while made < 50:\n        r = stillframe.snapshot(f'room {made}')\n        if r: break\n"
        "        made += 1\nexcept stillframe.ResourceLimit as e:\n    print('no room:', e)\nprint(made)"
    )
    reply = small.run(code, name="full")
    assert stdout(reply).startswith("no room: 30 state processes are the limit here.")
    made = int(stdout(reply).splitlines()[-1])
    assert 10 < made < 30 and small.states() == ["initial", *(f"room {n}" for n in range(made)), "full"]
    for number in range(made // 2, made):
        small.delete(f"room {number}")
    until(lambda: small.call("GET", "/health")[1]["processes"] < 25, what="the end of the deleted states")
    assert printed_after(small, "room 3").splitlines()[-1] == "3"

"""A failed cell goes on from where it has failed, once a variable was mended: loops, blocks, callers as before."""

from __future__ import annotations

import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from engine.test_kept_errors import CODE, failed
from engine.test_resting import kill_all_but_the_root
from support.server import Bell, Json, Server, stdout


def resumed(kernel: Server, state: str, **more: Any) -> Json:
    body = {"state_name": state, "exec_id": uuid.uuid4().hex, **more}
    status, reply = kernel.call("POST", "/resume", body)
    assert status == 200, reply
    return reply


def mended(kernel: Server, code: str, mend: str, frame: int | None = None, state: str = "initial") -> str:
    """What the cell puts out once it goes on."""
    name = failed(kernel, code, state)["error_state"]
    reply = resumed(kernel, name, mend=mend, frame=frame)
    assert reply["error"] is None, reply["error"]
    return stdout(reply)


def test_a_loop_goes_on_with_the_turn_that_has_failed(kernel: Server) -> None:
    name = failed(kernel, CODE)["error_state"]
    reply = resumed(kernel, name, mend="part = 3")
    assert reply["error"] is None and reply["output"][-1]["data"]["text/plain"] == "[12.0, 6.0, 4.0, 3.0]"


EVERY = int(os.environ.get("STILLFRAME_FAILURES_EVERY", "8"))
"""Of the calls of the program, every which one fails."""
PROGRAM = """
import contextlib, functools
made, bad, steps = [], {bad}, 0
def step(value=None):
    global steps
    steps += 1
    100 // (steps != bad)
    made.append(value)
    return value
class Manager:
    def __init__(self): step('init')
    def __enter__(self): step('enter'); return self
    def __exit__(self, *raised): made.append(raised[0]); step('exit')
    def __add__(self, other): return step('add')
    @property
    def size(self): return step(3)
    def __getattr__(self, name):
        if name == 'nothing': raise AttributeError(name)
        return step(name)
    def __len__(self): return step(2)
    def __bool__(self): return step(True)
    def __iter__(self): yield from (step('a'), step('b'))
    def __call__(self, *given, **named): return step((given, tuple(named)))
@contextlib.contextmanager
def managed():
    step('before')
    try: yield step('within')
    finally: step('after')
def numbers(n):
    for i in range(n):
        with Manager():
            yield step(i)
def descend(n): return step(0) if n == 0 else 1 + descend(step(n) - 1)
@functools.lru_cache
def cached(x): return step(x)
def everything():
    x = 'mine'
    squares = [step(x) ** 2 for x in (1, 2)] + [y for y in numbers(2) if step(y) is not None]
    pairs = {{step(k): [step(v) for v in 'xy'] for k in 'ab'}}
    try:
        try:
            step('try')
            {{}}['missing']
        except (ValueError, TypeError): step('never')
        finally: step('finally')
    except KeyError as error:
        step(repr(error))
        try: step('inner')
        except IndexError: pass
    m = Manager()
    with managed() as w, m as n:
        step(w)
        total = (m + n, m.size, m.other, len(m), bool(m), list_of(m), m(1, a=step(2)), hasattr(m, 'nothing'))
    for i in range(3):
        if step(i) and step(i) == 1: continue
        while step(True): break
        else: step('else')
    chosen = step(1) if step(0) else step(2)
    text = f'{{step(5):>4}} {{m.size!r}}'
    assert step(True) and not step(False), 'no'
    match step((1, 2)):
        case (a, b) if step(a): step(b)
    double = lambda z: step(z) * 2
    a, *rest = double(3), step(4), descend(2), cached(step(7)), cached(7)
    global counter
    counter = step(9)
    return x, squares, pairs, total, chosen, text, a, rest
def list_of(items):
    found = []
    for item in items: found.append(item)
    return found
class Body:
    field = step('field')
    @step
    def method(self): pass
result = everything()
for turn in range(2):
    with Manager(): step(turn)
shown = (steps, [m if not callable(m) else '' for m in made], result)
step('last')
print(*shown)
"""


def test_from_whatever_place_it_fails_it_comes_to_what_it_would_have_come_to(kernel: Server) -> None:
    """Every call in a program of every construct fails once, and is executed again with a number changed."""
    plain = kernel.run(PROGRAM.format(bad=-1))
    assert plain["error"] is None
    count = int(stdout(plain).split()[0]) + 1
    assert count > 70
    for bad in range(1, count + 1, EVERY):
        name = failed(kernel, PROGRAM.format(bad=bad))["error_state"]
        reply = resumed(kernel, name, mend="bad = -1")
        assert reply["error"] is None, (bad, reply["error"])
        assert reply["output"] == plain["output"], bad
        kernel.call("DELETE", f"/states/{name}")


def test_the_frame_further_out_makes_its_call_again(kernel: Server) -> None:
    name = failed(kernel, CODE)["error_state"]
    for body, expected in (
        ({"mend": "row = 6", "frame": 1}, "[12.0, 6.0, 2.0, 3.0]"),
        ({"mend": "row = 6", "frame": -2}, "[12.0, 6.0, 2.0, 3.0]"),
        ({"mend": "rows = [1]", "frame": 0}, "[12.0]"),
        ({"mend": "part, seen = 1, None"}, "[12.0, 6.0, 12.0, 3.0]"),
    ):
        assert resumed(kernel, name, **body)["output"][-1]["data"]["text/plain"] == expected
    # The state itself is what it was.
    assert kernel.call("POST", f"/states/{name}/evaluate", {"code": "seen"})[1]["repr"] == "[12, 0]"
    assert kernel.printed("print(rows)", name) == "[1, 2, 0, 4]\n"


def test_the_new_state_is_like_any_other(kernel: Server) -> None:
    name = failed(kernel, CODE + "after = 1\nafter")["error_state"]
    reply = resumed(kernel, name, mend="part = 3", new_state_name="whole")
    assert (reply["state_name"], reply["error_state"]) == ("whole", None)
    assert {"after"} <= set(reply["modified_symbols"])
    node = kernel.node("whole")
    assert (node["kind"], node["parent"]) == ("cell", kernel.node(name)["id"])
    for _ in range(2):
        assert (
            kernel.printed("rows.append(after); print(rows, report([2]))", "whole")
            == "[1, 2, 0, 4, 1] [6.0]\n"
        )


@pytest.mark.parametrize(
    ("code", "mend", "expected"),
    [
        ("n = 0\nprint(1 / n)", "n = 2", "0.5\n"),
        ("def f():\n    print(1 / missing)\nf()", "missing = 2", "0.5\n"),
        ("def f():\n    n = 0\n    def g(): return 1 / n\n    print(g(), n)\nf()", "n = 2", "0.5 2\n"),
        ("def f(n):\n    if n and 1 / (n - 1): print(n)\nf(1)", "n = 3", "3\n"),
        ("def f(n):\n    assert n\n    print(n)\nf(0)", "n = 3", "3\n"),
        (
            "x = 'mine'\ndef f(n):\n    x = 'own'\n    print([1 / (n - x) for x in (0, 1)], x)\nf(0)",
            None,
            None,
        ),
        (
            "def f(n):\n    x = 'own'\n    z = [1 / (n - x) for x in (0, 1)]\n    print(z, x)\nf(0)",
            "n = 2",
            "[0.5, 1.0] own\n",
        ),
        ("class C:\n    n = 0\n    m = 1 / n\nprint(C.m)", "n = 2", "0.5\n"),
        ("def f(n):\n    for i in range(2): n += 1; print(1 / (n - 2), i)\nf(0)", "n = 4", "0.5 1\n"),
    ],
)
def test_every_kind_of_variable_can_be_mended(
    kernel: Server, code: str, mend: str | None, expected: str | None
) -> None:
    if mend is not None:
        assert mended(kernel, code, mend) == expected
    else:
        assert mended(kernel, code, "n = 2") in ("[0.5, 1.0] own\n", "[-0.5, 1.0] own\n")


def test_what_is_handled_around_it_is_handled_still(kernel: Server) -> None:
    code = """import sys
def inner(n):
    try: raise KeyError('one')
    except KeyError: return 1 / n
def outer(n):
    try: raise ValueError('two')
    except ValueError:
        n = inner(n)
        print(n, sys.exception())
outer(0)
print(sys.exception())
"""
    assert mended(kernel, code, "n = 2") == "0.5 two\nNone\n"
    assert mended(kernel, code, "n = 4", frame=1) == "0.25 two\nNone\n"


def test_what_fails_again_is_kept_again_and_goes_on_again(kernel: Server) -> None:
    name = failed(kernel, "def f(a, b):\n    print(1 / a)\n    print(1 / b)\nf(0, 0)")["error_state"]
    reply = resumed(kernel, name, mend="a = 1", on_error="keep", error_state_name="second")
    assert (stdout(reply), reply["error"]["ename"], reply["error_state"]) == (
        "1.0\n",
        "ZeroDivisionError",
        "second",
    )
    reply = resumed(kernel, "second", mend="b = 2")
    assert (stdout(reply), reply["error"]) == ("0.5\n", None)


def test_what_goes_on_can_rest_and_choose(kernel: Server) -> None:
    code = "import stillframe\ndef f(n):\n    1 / n\n    stillframe.snapshot('rests')\n"
    code += "    return stillframe.choose([1, 2])\n"
    name = failed(kernel, code + "n = f(0)\nif n == 1: stillframe.reject()\nprint(n)")["error_state"]
    assert stdout(resumed(kernel, name, mend="n = 1")) == "2\n"
    assert stdout(resumed(kernel, "rests")) == "2\n"


def test_an_interrupted_cell_goes_on(kernel: Server, bell: Bell) -> None:
    with ThreadPoolExecutor(1) as pool:
        turn = f"if turns == 10: {bell.ring}"
        code = f"def f():\n    turns = 0\n    while turns >= 0:\n        turns += 1\n        {turn}\n"
        code += "    return turns\nprint(f())"
        reply = pool.submit(failed, kernel, code, exec_id="goes on")
        bell.wait()
        kernel.interrupt("goes on")
        name = reply.result()["error_state"]
    assert stdout(resumed(kernel, name, mend="turns = -9", frame=1)) in ("-9\n", "-8\n")


def test_what_a_handler_catches_or_c_code_swallows_is_not_kept(kernel: Server) -> None:
    swallowed = "class C:\n    def __getattr__(self, name): raise AttributeError(name)\n"
    code = (
        swallowed
        + "seen = [hasattr(C(), 'x') for _ in range(50)]\ntry: 1 / 0\nexcept ArithmeticError: raise\n"
    )
    name = failed(kernel, code)["error_state"]
    reply = resumed(kernel, name)
    assert (reply["error"]["ename"], reply["error"]["kind"]) == ("StateUnreachable", "refused")
    assert kernel.node(name)["processes"] == 2  # its frozen process and its tip


def test_what_failed_before_ends_the_cell_still(kernel: Server) -> None:
    name = failed(kernel, "def f(n):\n    try: 1 / n\n    finally: print(2 / n)\nf(0)\nprint('end')")[
        "error_state"
    ]
    reply = resumed(kernel, name, mend="n = 2")
    assert (stdout(reply), reply["error"]["ename"]) == ("1.0\n", "ZeroDivisionError")


def test_what_c_code_still_has_to_do_is_in_the_way(kernel: Server) -> None:
    name = failed(kernel, "def key(n): return 1 / n\nprint(sorted([0, 1], key=key))")["error_state"]
    reply = resumed(kernel, name, mend="n = 1")
    assert reply["error"]["ename"] == "NativeCallInTheWay" and "sorted" in reply["error"]["evalue"]
    assert stdout(resumed(kernel, name, mend="key = None", frame=0)) == "[0, 1]\n"


@pytest.mark.parametrize(
    ("more", "ename"),
    [
        ({"frame": 7}, "BadRequest"),
        ({"mend": "n ="}, "SyntaxError"),
        ({"mend": "1 / 0"}, "ZeroDivisionError"),
        ({"mend": "pass"}, "ZeroDivisionError"),
    ],
)
def test_what_cannot_be_done_is_an_error_and_changes_nothing(kernel: Server, more: Json, ename: str) -> None:
    name = failed(kernel, "def f(n): print(1 / n)\nf(0)")["error_state"]
    assert resumed(kernel, name, **more)["error"]["ename"] == ename
    assert stdout(resumed(kernel, name, mend="n = 2")) == "0.5\n"


def test_only_a_failure_is_mended(kernel: Server) -> None:
    kernel.run("x = 1", name="plain")
    kernel.run("import stillframe\nstillframe.snapshot('in call')")
    for state in ("plain", "in call"):
        reply = resumed(kernel, state, mend="x = 2")
        assert (reply["error"]["ename"], reply["error"]["kind"]) == ("BadRequest", "refused")


def test_the_frames_end_with_their_process(fresh: Server) -> None:
    name = failed(fresh, CODE)["error_state"]
    kill_all_but_the_root(fresh)
    assert resumed(fresh, name, mend="part = 1")["error"]["ename"] == "StateUnreachable"
    assert fresh.printed("print(rows)", name) == "[1, 2, 0, 4]\n"


def test_what_the_frames_held_is_let_go_of(kernel: Server) -> None:
    code = """import weakref
class Thing: pass
def inner(n):
    thing = Thing()
    seen.append(weakref.ref(thing))
    return 1 / n
def numbers(n):
    thing = Thing()
    seen.append(weakref.ref(thing))
    yield inner(n)
def outer(n):
    thing = Thing()
    seen.append(weakref.ref(thing))
    for one in numbers(n): pass
seen = []
outer(0)
print([ref() for ref in seen])
"""
    assert mended(kernel, code, "n = 2") == "[None, None, None]\n"
    assert mended(kernel, code, "n = 2", frame=-2) == "[None, None, None, None]\n"
    assert mended(kernel, code, "outer = lambda n: None", frame=0) == "[None, None, None]\n"
    reply = resumed(kernel, failed(kernel, code)["error_state"], mend="n = 2", frame=1)
    assert reply["error"]["ename"] == "CannotCapture" and "generator" in reply["error"]["evalue"]

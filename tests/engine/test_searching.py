"""Searches: stillframe.choose() and stillframe.reject() in a cell, against the same search written as plain loops."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from engine.test_resting import kill_all_but_the_root, resumed
from support.processes import until
from support.server import SOURCE, Bell, Json, Server, stdout

IMPORT = "from stillframe import choose, reject, snapshot\n"


def collected(kernel: Server, code: str, branches: Any = "all", **more: Any) -> Json:
    """The reply to a search for several endings."""
    body = {"code": code, "state_name": "initial", "exec_id": uuid.uuid4().hex, "branches": branches, **more}
    status, reply = kernel.call("POST", "/execute", body)
    assert status == 200, reply
    return reply


def until_only_states_hold_processes(kernel: Server) -> None:
    """Wait for the end of all processes but those that hold a state of the tree."""

    def is_so() -> bool:
        held = sum(node["processes"] for node in kernel.tree()["states"])
        return kernel.call("GET", "/health")[1]["processes"] == held

    until(is_so, what="the end of the search's processes")


class Puzzle:
    """A random search: how many options there are at each level, and which beginnings of a path are rejected."""

    def __init__(self, chance: random.Random) -> None:
        self.sizes = [
            chance.randint(0 if chance.random() < 0.05 else 1, 4) for _ in range(chance.randint(1, 4))
        ]
        paths = [
            path
            for depth in range(1, len(self.sizes) + 1)
            for path in itertools.product(*map(range, self.sizes[:depth]))
        ]
        self.rejected = {path for path in paths if chance.random() < 0.35}

    @property
    def cell(self) -> str:
        return (
            f"{IMPORT}sizes, rejected = {self.sizes!r}, {self.rejected!r}\npath = []\nfor size in sizes:\n"
            "    print('at', path)\n    path.append(choose(range(size)))\n"
            "    if tuple(path) in rejected: print('no'); reject()\nprint('found', path)"
        )

    def found(self) -> Iterator[list[int]]:
        """The plain search."""
        for path in itertools.product(*map(range, self.sizes)):
            if not any(path[:depth] in self.rejected for depth in range(1, len(path) + 1)):
                yield list(path)

    def text_of(self, path: list[int]) -> str:
        return "".join(f"at {path[:depth]}\n" for depth in range(len(path))) + f"found {path}\n"


@pytest.mark.parametrize("seed", range(12))
def test_a_search_finds_what_plain_loops_find_in_their_order(kernel: Server, seed: int) -> None:
    puzzle = Puzzle(random.Random(seed))
    found = list(puzzle.found())
    reply = kernel.run(puzzle.cell, name="first")
    if not found:
        assert (reply["error"]["ename"], reply["error"]["kind"]) == ("AllRejected", "user")
        assert collected(kernel, puzzle.cell)["error"]["ename"] == "AllRejected"
        return
    assert stdout(reply) == puzzle.text_of(found[0])
    assert kernel.printed("print(path)", "first") == f"{found[0]}\n"
    for branches, expected in (("all", found), (2, found[:2])):
        reply = collected(kernel, puzzle.cell, branches, new_state_name="sol")
        assert [stdout(branch) for branch in reply["branches"]] == [puzzle.text_of(path) for path in expected]
        names = [branch["state_name"] for branch in reply["branches"]]
        assert names == [f"sol/{number}" for number in range(1, len(expected) + 1)]
        assert [reply[key] for key in ("state_name", "output")] == ["sol/1", reply["branches"][0]["output"]]
        for name, path in list(zip(names, expected, strict=True))[-3:]:
            assert kernel.printed("print(path)", name) == f"{path}\n"
        for name in names:
            kernel.delete(name)


def test_what_a_rejected_branch_did_to_objects_is_not_there_in_the_next(kernel: Server) -> None:
    code = IMPORT + (
        "import random\nrandom.seed(1)\nseen = []\nclass Box: items = []\n"
        "n = choose([1, 2, 3])\nseen.append(n)\nBox.items.append(n)\n"
        "r = random.random()\nif n < 3: reject()\nprint(seen, Box.items, r == random.Random(1).random())"
    )
    assert stdout(kernel.run(code)) == "[3] [3] True\n"


def test_a_search_streams_what_is_certain_and_nothing_of_rejected_branches(kernel: Server) -> None:
    code = (
        IMPORT + "print('before')\nn = choose('abc')\nprint('tried', n)\nif n != 'c': reject()\nprint('done')"
    )
    body = {"code": code, "state_name": "initial", "exec_id": 1}
    with kernel.events("POST", "/execute", body) as events:
        found = list(events)
    assert (
        "".join(event.data["text"] for event in found if event.name == "output") == "before\ntried c\ndone\n"
    )
    assert found[-1].name == "result" and found[-1].data["error"] is None


def test_displays_belong_to_their_branch_and_updates_find_them(kernel: Server) -> None:
    code = IMPORT + (
        "from IPython.display import display\nshown = display('start', display_id=True)\nn = choose([1, 2])\n"
        "shown.update(f'tried {n}')\nif n == 1: reject()\nn"
    )
    reply = kernel.run(code)
    assert [output["data"]["text/plain"] for output in reply["output"]] == ["'tried 2'", "2"]


@pytest.mark.parametrize("code", ["reject()", "choose([])", "choose(iter(()))", "choose([1, 2])\nreject()",
                                  "x = choose('ab')\ny = choose(range(3))\nif x + str(y): reject()"])  # fmt: skip
def test_where_every_branch_is_rejected_the_execution_fails_and_says_so(kernel: Server, code: str) -> None:
    before = kernel.states()
    reply = kernel.run(IMPORT + "print('begun')\n" + code, name="none")
    assert reply["error"]["ename"] == "AllRejected" and stdout(reply) == "begun\n"
    assert kernel.states() == before
    until_only_states_hold_processes(kernel)


def test_one_option_is_no_choice_and_options_may_be_any_iterable(kernel: Server) -> None:
    assert stdout(
        kernel.run(IMPORT + "print(choose({'only'}), choose(x for x in 'ab'), choose({1: 2, 3: 4}))")
    ) == ("only a 1\n")


def test_an_exception_in_a_branch_ends_the_search_with_it(kernel: Server) -> None:
    code = IMPORT + "n = choose([3, 0, 1])\nif n == 3: reject()\nprint('tried', n)\n1 / n\n"
    reply = kernel.run(code)
    assert reply["error"]["ename"] == "ZeroDivisionError" and stdout(reply) == "tried 0\n"
    before = kernel.states()
    assert collected(kernel, code, new_state_name="never")["error"]["ename"] == "ZeroDivisionError"
    assert kernel.states() == before


def test_the_death_of_a_branch_ends_the_search_and_says_so(kernel: Server) -> None:
    code = IMPORT + "import os\nif choose([1, 2]) == 2: os._exit(4)\nreject()"
    error = kernel.fails(code)
    assert error["kind"] == "died" and "code 4" in error["evalue"]


def test_a_finally_of_a_rejected_branch_does_not_run(kernel: Server) -> None:
    code = (
        IMPORT
        + "n = choose([1, 2])\ntry:\n    if n == 1: reject()\nexcept BaseException: pass\nfinally: print('left', n)"
    )
    assert stdout(kernel.run(code)) == "left 2\n"


def test_a_search_inside_functions_generators_and_callbacks(kernel: Server) -> None:
    code = IMPORT + (
        "def colours(n):\n    for i in range(n):\n        with open('/dev/null') as f:\n"
        "            yield i, choose('rgb')\n"
        "picked = sorted(colours(3), key=lambda pair: (pair[1], choose([0, 1]) if pair[0] == 0 else 0))\n"
        "if [c for i, c in sorted(picked)] != list('gbr'): reject()\nprint(picked)"
    )
    assert stdout(kernel.run(code)) == "[(1, 'b'), (0, 'g'), (2, 'r')]\n"


def test_a_search_in_a_cell_that_awaits(kernel: Server) -> None:
    code = IMPORT + (
        "import asyncio\nasync def pick(n):\n    await asyncio.sleep(0)\n    return choose(range(n))\n"
        "a, b = await pick(3), await asyncio.wait_for(pick(3), 5)\nif a + b != 4: reject()\nprint(a, b)"
    )
    assert stdout(kernel.run(code)) == "2 2\n"


def test_an_interrupt_ends_a_search(kernel: Server, bell: Bell) -> None:
    code = IMPORT + f"n = choose(range(3))\nif n == 0: reject()\n{bell.ring}\nwhile True: pass"
    for branches in (1, "all"):
        with ThreadPoolExecutor(1) as pool:
            reply = pool.submit(collected, kernel, code, branches, exec_id="the search")
            bell.wait()
            assert kernel.interrupt("the search") is True
            error = reply.result()["error"]
        assert (error["ename"], error["kind"]) == ("KeyboardInterrupt", "interrupted")
        bell.drain()
        until_only_states_hold_processes(kernel)


def test_a_state_made_in_a_branch_stays_and_goes_on_with_choices_of_its_own(kernel: Server) -> None:
    code = IMPORT + (
        "a = choose([1, 2])\nr = snapshot(f'a is {a}')\nb = choose([10, 20])\n"
        "if a + b + (r.value if r else 0) != 22: reject()\nprint(a, b)"
    )
    assert stdout(kernel.run(code)) == "2 20\n"
    assert stdout(resumed(kernel, "a is 1", 1)) == "1 20\n"
    assert stdout(resumed(kernel, "a is 1", 11)) == "1 10\n"
    assert resumed(kernel, "a is 1", 0)["error"]["ename"] == "AllRejected"  # its own choices only
    every = resumed(kernel, "a is 2", 0, branches="all")
    assert [stdout(branch) for branch in every["branches"]] == ["2 20\n"]


def test_a_replay_of_a_search_goes_straight_to_what_was_found(fresh: Server) -> None:
    code = (
        IMPORT
        + "tries = open('tries', 'rb').read()\nn = choose(range(8))\nprint(n)\nif n < 6: reject()\nx = n"
    )
    (fresh.cwd / "tries").write_bytes(b"")
    name = fresh.ok(code)
    kill_all_but_the_root(fresh)
    assert fresh.node(name)["ways_back"] == ["replay"]
    assert fresh.printed("print(x)", name) == "6\n"


def test_a_program_with_live_threads_cannot_branch_and_is_told_so(kernel: Server) -> None:
    code = IMPORT + (
        "import threading, stillframe\nt = threading.Thread(target=threading.Event().wait, daemon=True); t.start()\n"
        "try: choose([1, 2])\nexcept stillframe.StateUnreachable as e: print(e)"
    )
    assert "live thread" in stdout(kernel.run(code)) and "choose() cannot branch here" in stdout(
        kernel.run(code)
    )


def test_outside_of_a_kernel_it_is_said_where_it_works() -> None:
    for call in ("choose([1])", "reject()"):
        code = (
            f"import stillframe\ntry: stillframe.{call}\nexcept RuntimeError as e: print(type(e).__name__, e)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(SOURCE)}
        )
        assert done.stdout.startswith(
            f"NotInCell {call.partition('(')[0]}() works in a cell that a kernel runs"
        ), done.stderr


@pytest.mark.parametrize("branches", [0, -1, "some", 1.5, None, True])
def test_how_many_branches_is_a_number_or_all(kernel: Server, branches: Json) -> None:
    body = {"code": "1", "state_name": "initial", "exec_id": 1, "branches": branches}
    status, answer = kernel.call("POST", "/execute", body)
    assert (status, answer["error"]["code"]) == (400, "BadRequest"), json.dumps(answer)


@pytest.mark.slow
def test_a_search_of_thousands_of_branches_loses_none(kernel: Server) -> None:
    """A frozen process ends as soon as it has forked its last option: what ends it must not reach its fork."""
    code = IMPORT + "path = [choose(range(3)) for _ in range(7)]\nif sum(path) != 14: reject()\nprint(path)"
    assert stdout(kernel.run(code, timeout_s=600)) == f"{[2] * 7}\n"


def test_no_process_of_a_search_is_left(kernel: Server) -> None:
    code = (
        IMPORT + "path = [choose(range(3)) for _ in range(4)]\nif path != [2, 1, 0, 2]: reject()\nprint(path)"
    )
    for _ in range(2):
        assert stdout(kernel.run(code, name="found")) == "[2, 1, 0, 2]\n"
        kernel.delete("found")
    until_only_states_hold_processes(kernel)


def test_the_newest_choice_is_gone_on_with_first_and_nothing_is_tried_twice(kernel: Server) -> None:
    code = IMPORT + (
        "def told(x):\n    with open('tmp tried', 'a') as f: f.write(x + ' ')\n    return x\n"
        "a = told(choose('ab'))\nb = told(a + choose('12'))\nc = told(b + choose('xy'))\nif c != 'b1y': reject()"
    )
    kernel.ok(code)
    assert (kernel.cwd / "tmp tried").read_text() == "a a1 a1x a1y a2 a2x a2y b b1 b1x b1y "

"""States beyond a budget rest in the store alone; each is there when it is used, and is right."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from support.processes import until
from support.server import Bell
from support.stored import Stored, stored

BUDGET = 8
STATES = 60


def at_rest(server: Stored) -> int:
    """Processes that hold states, but for the initial one, which is the root."""
    return sum(node["processes"] for node in server.tree()["states"] if node["parent"])


def wait_evicted(server: Stored, *names: str) -> None:
    until(lambda: not any(server.processes_of(name) for name in names), 60, f"{names} are evicted")


def test_sixty_states_within_a_budget_of_eight_processes_are_all_reachable_and_right(tmp_path: Path) -> None:
    choose = random.Random(STATES)
    values: dict[str, list[int]] = {"initial": []}
    with stored(tmp_path, "--process-budget", str(BUDGET)) as server:
        for number in range(STATES):
            source = choose.choice(list(values))
            code = f"x = [{number}]" if source == "initial" else f"x.append({number})"
            name = server.ok(code, source, f"n{number}")
            values[name] = [*values[source], number]
        until(lambda: at_rest(server) <= BUDGET, 60, "the states are within the budget")
        names = [name for name in values if name != "initial"]
        choose.shuffle(names)
        for name in names[: STATES // 2]:
            assert server.value(name, "x") == values[name]
        for name in names[STATES // 2 :]:
            assert server.printed("x.append(-1); print(x)", name) == f"{[*values[name], -1]}\n"
        until(lambda: at_rest(server) <= BUDGET, 60, "the states are within the budget again")
        assert all(node["stored"] for node in server.tree()["states"])
        assert server.call("GET", "/health")[1]["processes"] < 3 * BUDGET


def test_the_least_recently_used_goes_first_and_a_pinned_one_never(tmp_path: Path) -> None:
    with stored(tmp_path, "--keep", "evict", "--process-budget", "6") as server:
        for name in ("pinned", "used", "old"):
            server.ok(f"x = {name!r}", name=name)
        assert server.call("POST", "/states/pinned/pin") == (200, {"pinned": True})
        assert server.node("pinned")["pinned"] and server.describe("pinned")["pinned"]
        assert not any(server.node(name)["stored"] for name in ("pinned", "used", "old"))
        for number in range(8):
            server.value("used", "x")
            server.run("1", "used", f"more{number}")
        wait_evicted(server, "old", "more0")
        assert server.node("old")["ways_back"] == ["restore", "replay"]
        assert server.processes_of("pinned") and server.processes_of("used")
        assert not server.node("pinned")["stored"]
        assert server.call("DELETE", "/states/pinned/pin") == (200, {"pinned": False})
        for number in range(8):
            server.ok("1", name=f"again{number}")
        wait_evicted(server, "pinned")
        assert server.value("pinned", "x") == "pinned"


def test_a_pin_is_there_after_a_restart(tmp_path: Path) -> None:
    with stored(tmp_path) as server:
        server.ok("x = 1", name="one")
        server.call("POST", "/states/one/pin")
        server.restart()
        assert server.node("one")["pinned"]


def test_a_state_that_cannot_be_captured_names_the_variable_and_stays_as_a_process(tmp_path: Path) -> None:
    with stored(tmp_path, "--process-budget", "4") as server:
        server.ok("import socket\nline = socket.socketpair()\nx = 5", name="socket")
        node = until(lambda: _obstructed(server, "socket"), 60, "what stands in the way is known")
        assert any(obstacle.startswith("line") for obstacle in node["obstacles"]) and not node["stored"]
        assert server.describe("socket")["obstacles"] == node["obstacles"]
        for number in range(8):
            server.ok(f"y = {number}", name=f"n{number}")
        wait_evicted(server, "n0", "n1")
        assert server.processes_of("socket") and server.value("socket", "x") == 5
        assert server.printed("print(x)", "socket") == "5\n"


def _obstructed(server: Stored, name: str) -> dict[str, list[str]] | None:
    node = server.node(name)
    return node if node["obstacles"] else None


def test_where_there_is_no_room_a_state_that_cannot_be_captured_is_replayed(tmp_path: Path) -> None:
    """As the last of all: within the budget it would have kept its process for ever."""
    limits = {"processes": 12, "ready_processes": 2}
    with stored(tmp_path, "--keep", "never", limits=limits) as server:
        for number in range(14):
            server.ok(f"x = {number}", name=f"n{number}")
        assert any(server.processes_of(f"n{number}") == 0 for number in range(14))
        for number in range(14):
            assert server.printed("print(x)", f"n{number}") == f"{number}\n"


def test_the_eviction_of_a_state_does_not_disturb_a_cell_that_runs_in_it(tmp_path: Path, bell: Bell) -> None:
    with stored(tmp_path, "--process-budget", "4") as server:
        base = server.ok("x = 1", name="base")
        cell = server.begin(f"{bell.ring}\nimport time\nwhile x == 1: time.sleep(0.01)", base, "never")
        bell.wait()
        for number in range(10):
            server.ok(f"y = {number}", name=f"n{number}")
        wait_evicted(server, "base", "n0")
        assert not cell.is_done()
        server.interrupt(cell.exec_id)
        assert cell.reply()["error"]["kind"] == "interrupted"


def test_beyond_a_budget_of_memory_states_are_evicted(tmp_path: Path) -> None:
    limits = {"memory_budget_bytes": 200 << 20, "ready_processes": 1}
    with stored(tmp_path, limits=limits) as server:
        for number in range(8):
            server.ok(f"x = bytearray(50 << 20); x[{number}] = 1", name=f"n{number}")
        wait_evicted(server, "n0", "n1", "n2")
        for number in (0, 7):
            assert server.printed("print(len(x) >> 20, x.index(1))", f"n{number}") == f"50 {number}\n"


# What cannot be forked


@pytest.mark.slow
def test_a_state_with_polars_is_branched_by_a_restore(tmp_path: Path) -> None:
    pytest.importorskip("polars")
    with stored(tmp_path) as server:
        server.ok(
            "import polars as pl\nf = pl.DataFrame({'a': range(1000)})\nf.sum()", name="one", timeout_s=120
        )
        server.ok("f = f.with_columns(b=pl.col('a') * 2)", "one", "two", timeout_s=120)
        assert server.node("one")["hazards"]
        with server.events() as events:
            assert next(events).name == "tree"
            assert server.printed("print(f['a'].sum(), f.columns)", "one", timeout_s=120) == "499500 ['a']\n"
            happened = next(
                event for event in events if event.name in ("state_restored", "execution_finished")
            )
            assert happened.name == "state_restored" and happened.data["name"] == "one"
        assert server.printed("print(f['b'].sum())", "two", timeout_s=120) == "999000\n"


def test_a_state_with_a_live_thread_of_its_own_says_so_and_can_only_be_gone_on_from(tmp_path: Path) -> None:
    code = (
        "import threading, queue\n"
        "jobs, done = queue.Queue(), []\n"
        "worker = threading.Thread(target=lambda: done.append(jobs.get()), daemon=True)\n"
    )
    with stored(tmp_path) as server:
        server.ok(code, name="made")
        server.ok("worker.start(); open('started', 'w').close()", "made", "running")
        server.ok("x = 1", "running", "gone on")
        error = server.fails("x = 2", "running")  # the thread runs in the tip alone
        assert (
            error["ename"] == "StateUnreachable"
            and "thread" in error["evalue"]
            and "started" in error["evalue"]
        )
        node = server.node("running")
        assert node["obstacles"] and not node["stored"]
        assert server.printed("worker.start(); jobs.put(7); worker.join(); print(done)", "made") == "[7]\n"


def test_a_state_deep_in_a_chain_of_forks_is_rebased(tmp_path: Path) -> None:
    with stored(tmp_path) as server:
        name = server.ok("x = 0", name="n0")
        for number in range(1, 36):
            before, name = name, server.ok(f"x = {number}", name, f"n{number}")
            server.ok("pass", before, "beside")  # and so the next one is made in a fork
            server.ok("pass", name, "beside")
        deep = server.node(name)["fork_depth"]
        assert deep > 30
        server.wait_stored(name)
        assert server.printed("print(x)", name) == "35\n"
        assert server.node(name)["fork_depth"] <= 3
        assert server.printed("print(x)", name) == "35\n"

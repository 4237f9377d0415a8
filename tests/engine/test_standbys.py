"""A state that has nothing ready has a standby: a fork that was made ahead."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from support.processes import until, with_marker
from support.server import Server


def has_standby(server: Server, name: str) -> bool:
    """Whether nothing is ready in a state, and there is a process besides its frozen one."""
    node = server.node(name)
    return bool(node["ready"] == 0 and node["processes"] == 2)


def all_there(server: Server) -> dict[int, str]:
    """The processes, when each that the states are said to have is born, and none besides is left but the server.

    There each state but the initial one has its frozen process and one more.
    """

    def found() -> dict[int, str] | None:
        nodes = server.tree()["states"]
        there = with_marker(server.marker)
        counts = [node["processes"] for node in nodes if node["names"] != ["initial"]]
        return there if set(counts) <= {2} and len(there) == 1 + sum(n["processes"] for n in nodes) else None

    return until(found, 10, "two processes in each state")


def left_behind(server: Server) -> str:
    """A state whose tip has gone on, and which has a standby."""
    server.ok("import os\nx = 1", name="left")
    server.ok("x = 2", "left", "further")
    all_there(server)
    assert has_standby(server, "left")
    return "left"


def test_a_cell_in_a_state_that_was_gone_on_from_runs_in_a_process_that_was_there_already(
    fresh: Server,
) -> None:
    source = left_behind(fresh)
    there = all_there(fresh)
    pid = int(fresh.printed("print(os.getpid() if x == 1 else 0)", source))
    assert pid in there
    until(lambda: fresh.node(source)["ready"] == 1, 10, "a warm spare, since it was branched")


def test_a_standby_ends_with_its_state(fresh: Server) -> None:
    fresh.ok("0", name="other")
    fresh.ok("0", "other", "other's")
    before = len(all_there(fresh))
    assert has_standby(fresh, "other")
    fresh.delete(left_behind(fresh))
    fresh.delete("further")
    until(lambda: len(with_marker(fresh.marker)) == before, 10, "the end of all processes of both states")


def test_a_standby_that_is_killed_costs_nothing_but_itself(fresh: Server) -> None:
    before = set(all_there(fresh))
    left_behind(fresh)
    tip = int(fresh.printed("import os; print(os.getpid())", "further"))
    for pid in set(with_marker(fresh.marker)) - before - {tip}:
        with contextlib.suppress(ProcessLookupError):  # a look of the cell before
            os.kill(pid, signal.SIGKILL)
    until(lambda: fresh.node("left")["processes"] == 0, 10, "the end of its processes is known")
    assert fresh.printed("print(x)", "left") == "1\n"  # by replay


def test_as_many_states_have_one_as_the_limit_says(tmp_path: Path) -> None:
    server = Server(tmp_path, limits={"standby_processes": 2, "ready_processes": 1}).start()
    try:
        for number in range(5):
            server.ok(f"x = {number}", name=f"n{number}")
        until(lambda: sum(has_standby(server, f"n{n}") for n in range(5)) == 2, 10, "two standbys")
        assert [server.printed("print(x)", f"n{number}") for number in range(5)] == [
            f"{n}\n" for n in range(5)
        ]
    finally:
        server.stop()

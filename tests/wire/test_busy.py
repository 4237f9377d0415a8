"""A busy kernel answers: while many cells run, or hold the GIL in C, every other route is as quick as ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from support.processes import until
from support.server import Bell, Pending, Server, stdout

WORST_S = 1.0


def slowest_s(question: Callable[[], object], times: int = 40) -> float:
    """The longest of some answers, in seconds."""
    worst = 0.0
    for _ in range(times):
        start = time.perf_counter()
        question()
        worst = max(worst, time.perf_counter() - start)
    return worst


@pytest.fixture
def crowd(kernel: Server, bell: Bell) -> Iterator[list[Pending]]:
    """24 cells that wait, 2 that compute, and one that holds the GIL in C; all of them run."""
    kernel.ok("x = 1", name="calm")
    codes = ["import time; time.sleep(1000)"] * 24 + ["while True: pass"] * 2 + ["sum(range(10**12))"]
    cells = [kernel.begin(f"{bell.ring}\n{code}", "calm") for code in codes]
    for _ in cells:
        bell.wait()
    yield cells
    for cell in cells:
        kernel.interrupt(cell.exec_id)
    assert {cell.reply()["error"]["kind"] for cell in cells} == {"interrupted"}


def test_states_are_listed_while_the_kernel_is_busy(kernel: Server, crowd: list[Pending]) -> None:
    assert slowest_s(kernel.states) < WORST_S


def test_a_state_is_described_while_the_kernel_is_busy(kernel: Server, crowd: list[Pending]) -> None:
    assert slowest_s(lambda: kernel.describe("calm"), 10) < WORST_S


def test_other_cells_run_while_the_kernel_is_busy(kernel: Server, crowd: list[Pending]) -> None:
    assert slowest_s(lambda: kernel.printed("print(x)", "calm"), 10) < 2 * WORST_S


def test_what_runs_is_in_the_tree(kernel: Server, crowd: list[Pending]) -> None:
    running = kernel.tree()["executions"]
    assert {one["exec_id"] for one in running} == {cell.exec_id for cell in crowd}
    assert {one["state_name"] for one in running} == {"calm"}


def test_two_branches_that_compute_run_at_once(kernel: Server) -> None:
    """Each waits for a byte of the other: they end only if both run."""
    state = kernel.ok("import os")
    paths = [str(kernel.cwd / f"meet-{side}") for side in "ab"]
    meet = "os.mkfifo({0!r}) if not os.path.exists({0!r}) else None\n"
    kernel.ok("".join(meet.format(path) for path in paths), state)
    left, right = paths
    one = kernel.begin(f"open({left!r}, 'w').write('1'); print(open({right!r}).read())", state)
    two = kernel.begin(f"print(open({left!r}).read()); open({right!r}, 'w').write('2')", state)
    assert [stdout(one.reply()), stdout(two.reply())] == ["2\n", "1\n"]
    kernel.printed(f"for p in {paths}: os.unlink(p)", state)


def test_executions_end_in_the_tree_when_they_end(kernel: Server) -> None:
    kernel.ok("x = 1")
    until(lambda: kernel.tree()["executions"] == [], 5, "no execution in progress")

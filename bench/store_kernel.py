"""What a store costs a kernel, and what coming back from it takes: many states, restarts, in the background.

Each answer is checked; a wrong one ends the bench.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.results import Taken
from bench.store_capture import OURS, stored_bytes
from stillframe import Kernel, Limits
from stillframe.store import Store

PAUSE_S = 0.05
"""Between two requests, as somebody who thinks would make it."""
SHORT_PAUSE_S = 0.015
"""Before a request, as in the bench of the kernel: what follows a reply, the next tip, is done by then."""


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    states: int = 2_000
    base_mb: int = 200
    budget: int = 50
    executions: int = 1_000
    catalog: int = 10_000
    starts: int = 10
    captured: int = 25
    captured_mb: int = 100


QUICK = Plan(60, 20, 8, 60, 1_000, 3, 3, 20)


def wait(is_done: Callable[[], bool]) -> None:
    while not is_done():
        time.sleep(0.05)


def waiting(kernel: Kernel) -> int:
    """States that are still to be captured."""
    return int(kernel.health()["store"]["waiting"])


def timed(run: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    run()
    return time.perf_counter() - began_s


def measure_many(folder: Path, taken: Taken, plan: Plan) -> None:
    """Many states of one base, few processes: execute in random ones."""
    choose = random.Random(0)
    store = folder / "many"
    with Kernel(store=store, limits=Limits(process_budget=plan.budget)) as kernel:
        elements = plan.base_mb * (1 << 20) // 8
        kernel.execute(f"import numpy as np\na = np.arange({elements}.)", name="base").raise_for_error()
        began_s = time.perf_counter()
        for number in range(plan.states):
            kernel.execute(
                f"x = {number}; mine = a[x : x + 1000] + 1", "base", f"n{number}"
            ).raise_for_error()
        taken.numbers["many made s"] = time.perf_counter() - began_s
        wait(lambda: all(node.stored for node in kernel.tree(memory=False).states))
        taken.numbers["many stored s"] = time.perf_counter() - began_s
        processes = 0
        for _ in range(plan.executions):
            number = choose.randrange(plan.states)
            time.sleep(PAUSE_S)
            began_s = time.perf_counter()
            done = kernel.execute("print(x, a[x], mine[0])", f"n{number}", "looked").raise_for_error()
            taken.add("many", OURS, time.perf_counter() - began_s)
            assert done.text == f"{number} {number}.0 {number + 1}.0\n", done.text
            processes = max(processes, kernel.health()["processes"])
        reached = sum(kernel.value(f"n{number}", "x") == number for number in range(plan.states))
    taken.numbers["many reached"], taken.numbers["many processes"] = reached, processes
    taken.numbers["many bytes"] = stored_bytes(store)


def measure_restart(folder: Path, taken: Taken, plan: Plan) -> None:
    """From the start of a server to its first answers, with many states in its catalog."""
    store = folder / "restart"
    with Kernel(store=store) as kernel:
        kernel.execute("x = 1", name="one").raise_for_error()
    fill(store, plan.catalog)
    for number in range(plan.starts):
        began_s = time.perf_counter()
        with Kernel(store=store) as kernel:
            names = kernel.states()
            taken.add("restart", OURS, time.perf_counter() - began_s)
            assert len(names) == plan.catalog
            taken.add("restart, tree", OURS, timed(lambda kernel=kernel: kernel.tree(memory=False)))  # type: ignore[misc]
            taken.add("restart, used", OURS, timed(lambda kernel=kernel, n=number: kernel.value(f"s{n}", "x")))  # type: ignore[misc]


def fill(path: Path, count: int) -> None:
    """Have the catalog know `count` states: a chain with branches, as notebooks make them, all with one snapshot."""
    with Store.open(path) as store:
        rows = store.catalog.states()
        one = next(row for row in rows if row.snapshot)
        record = store.catalog.get_snapshot(one.snapshot)
        parent = one.id
        with store.catalog.transaction():
            for number in range(count - len(rows)):
                row = msgspec.structs.replace(
                    one, id=f"{number:032x}", parent=parent, names=[f"s{number}"], snapshot=""
                )
                row.code = f"x = 1  # cell {number} of a notebook that somebody has written\n" * 5
                row.outputs = [{"output_type": "stream", "name": "stdout", "text": "some text\n" * 20}]
                store.catalog.add_state(row)
                store.catalog.add_snapshot(row.id, record)
                parent = row.id if number % 10 else parent


CELL = "s = 0.0\nfor i in range(500_000): s += i * 0.5"
LARGE = [f"large{number}" for number in range(6)]


def measure_background(folder: Path, taken: Taken, plan: Plan) -> None:
    """A running cell, and replies, while states are captured; beside the same in a kernel that captures none, as a
    reply's own state is captured too. Both kernels are there all the time, and one of them is asked at a time."""
    with Kernel(store=folder / "background") as busy, Kernel(store=folder / "calm", keep="never") as calm:
        for kernel in (busy, calm):
            kernel.execute("import numpy as np", name="base").raise_for_error()
        for number in range(plan.captured):
            begin_captures(busy, plan, number)
            rounds = 0
            while is_capturing(busy):
                one_round(busy, taken, "during captures", is_capturing)
                rounds += 1
            wait(lambda: waiting(busy) == 0)
            for _ in range(rounds):
                one_round(calm, taken, "no capture", lambda _: True)


def is_capturing(kernel: Kernel) -> bool:
    """Whether one of the large states is still to be captured."""
    tree = kernel.tree(memory=False)
    return not all(tree.named(name).stored for name in LARGE)


def begin_captures(kernel: Kernel, plan: Plan, number: int) -> None:
    """A few states with arrays of their own, which are captured from now on."""
    elements = plan.captured_mb * (1 << 20) // 8
    for place, name in enumerate(LARGE):
        code = f"b = np.random.default_rng({number * len(LARGE) + place}).random({elements})"
        kernel.execute(code, "base", name).raise_for_error()


def one_round(kernel: Kernel, taken: Taken, subject: str, counts: Callable[[Kernel], bool]) -> None:
    """One cell that computes, and some short ones. What is still so at its end was so throughout, and counts."""

    def one(measure: str, code: str, source: str, name: str) -> None:
        time.sleep(SHORT_PAUSE_S)
        seconds = timed(lambda: kernel.execute(code, source, name).raise_for_error())
        if counts(kernel):
            taken.add(f"{measure} beside captures", subject, seconds)

    one("cell", CELL, "base", "computed")
    kernel.execute("x = 0", "base", "newest").raise_for_error()
    for _ in range(3):
        one("reply", "x += 1", "newest", "newest")

"""`python -m bench.store`: what a store costs a kernel, and what coming back from it takes.

    many         2,000 states of a 200 MB base within a budget of 50 processes: execute in random ones
    restart      from the start of a server to its first answers, with 10,000 states in its catalog
    background   a running cell, and a reply, while states are captured, beside the same while none are

`--quick` makes all of it small. Each answer is checked; a wrong one ends the bench.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench import machine
from bench.figures import Sample, digits, ms, table
from stillframe import Kernel, Limits
from stillframe.store import Store

PAUSE_S = 0.05
"""Between two requests, as somebody who thinks would make it."""


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    states: int = 2_000
    base_mb: int = 200
    budget: int = 50
    executions: int = 1_000
    catalog: int = 10_000
    starts: int = 10
    captured: int = 40
    captured_mb: int = 100
    rounds: int = 300


QUICK = Plan(60, 20, 8, 60, 1_000, 3, 6, 20, 30)


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


@contextmanager
def place(folder: Path) -> Iterator[Path]:
    """A directory for one store, on the disk that is measured."""
    path = Path(tempfile.mkdtemp(dir=folder, prefix="store-"))
    try:
        yield path / "store"
    finally:
        shutil.rmtree(path)


def wait(kernel: Kernel, is_done: Callable[[], bool]) -> None:
    while not is_done():
        time.sleep(0.05)


def waiting(kernel: Kernel) -> int:
    """States that are still to be captured."""
    return int(kernel.health()["store"]["waiting"])


def timed(run: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    run()
    return time.perf_counter() - began_s


# Many states, few processes


def many(plan: Plan, folder: Path) -> str:
    choose = random.Random(0)
    limits = Limits(process_budget=plan.budget)
    with place(folder) as store, Kernel(store=store, limits=limits) as kernel:
        elements = plan.base_mb * (1 << 20) // 8
        kernel.execute(f"import numpy as np\na = np.arange({elements}.)", name="base").raise_for_error()
        began_s = time.perf_counter()
        for number in range(plan.states):
            kernel.execute(
                f"x = {number}; mine = a[x : x + 1000] + 1", "base", f"n{number}"
            ).raise_for_error()
        made_s = time.perf_counter() - began_s
        wait(kernel, lambda: all(node.stored for node in kernel.tree(memory=False).states))
        stored_s = time.perf_counter() - began_s
        say(f"made {plan.states} states in {made_s:.0f} s, stored after {stored_s:.0f} s")
        sample, processes = Sample(), 0
        for _ in range(plan.executions):
            number = choose.randrange(plan.states)
            time.sleep(PAUSE_S)
            began_s = time.perf_counter()
            done = kernel.execute("print(x, a[x], mine[0])", f"n{number}", "looked").raise_for_error()
            sample.seconds.append(time.perf_counter() - began_s)
            assert done.text == f"{number} {number}.0 {number + 1}.0\n", done.text
            processes = max(processes, kernel.health()["processes"])
        reached = sum(kernel.value(f"n{number}", "x") == number for number in range(plan.states))
        written = sum(path.stat().st_blocks * 512 for path in store.rglob("*") if path.is_file())
    head = ["", f"{plan.states:,} states of {plan.base_mb} MB, {plan.budget} processes"]
    rows = [
        ["execute in a random state, ms: median (p99; n)", ms(sample)],
        ["reachable and right", f"{reached:,} of {plan.states:,}"],
        ["most processes, looks and bases included", str(processes)],
        ["to make them, s", digits(made_s)],
        ["until all are stored, s", digits(stored_s)],
        ["on the disk, MB a state", digits(written / 1e6 / plan.states)],
    ]
    return "## Many states, few processes\n" + table(head, rows)


# Restart


def restart(plan: Plan, folder: Path) -> str:
    with place(folder) as store:
        with Kernel(store=store) as kernel:
            kernel.execute("x = 1", name="one").raise_for_error()
        fill(store, plan.catalog)
        first, tree, used = Sample(), Sample(), Sample()
        for number in range(plan.starts):
            began_s = time.perf_counter()
            with Kernel(store=store) as kernel:
                names = kernel.states()
                first.seconds.append(time.perf_counter() - began_s)
                assert len(names) == plan.catalog
                tree.seconds.append(timed(lambda kernel=kernel: kernel.tree(memory=False)))  # type: ignore[misc]
                used.seconds.append(timed(lambda kernel=kernel, n=number: kernel.value(f"s{n}", "x")))  # type: ignore[misc]
    head = ["ms: median (p99; n)", f"{plan.catalog:,} states"]
    rows = [
        ["from the start to the first answer, GET /states", ms(first)],
        ["then GET /tree", ms(tree)],
        ["then a variable of a state, restored for it", ms(used)],
    ]
    return "## Restart\n" + table(head, rows)


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


# In the background

CELL = "s = 0.0\nfor i in range(2_000_000): s += i * 0.5"


def background(plan: Plan, folder: Path) -> str:
    cells, replies = (Sample(), Sample()), (Sample(), Sample())
    with place(folder) as store, Kernel(store=store) as kernel:
        kernel.execute("import numpy as np", name="base").raise_for_error()
        for number in range(plan.captured):
            begin_captures(kernel, plan, number)
            while waiting(kernel) and len(cells[1]) < plan.rounds:
                one_round(kernel, cells[1], replies[1], plan, lambda: waiting(kernel) > 0)
            wait(kernel, lambda: waiting(kernel) == 0)
            for _ in range(max(1, plan.rounds // plan.captured)):
                one_round(kernel, cells[0], replies[0], plan, lambda: waiting(kernel) == 0)
            wait(kernel, lambda: waiting(kernel) == 0)
    head = ["ms: median (p99; n)", "no capture", "during captures", "slower by"]
    rows = [
        [name, ms(calm), ms(busy), f"{(busy.median_s / calm.median_s - 1) * 100:+.1f} %"]
        for name, (calm, busy) in (("a cell that computes", cells), ("a reply in the newest state", replies))
    ]
    return "## In the background\n" + table(head, rows)


def begin_captures(kernel: Kernel, plan: Plan, number: int) -> None:
    """A few states with arrays of their own, which are captured from now on."""
    for place_ in range(3):
        elements = plan.captured_mb * (1 << 20) // 8
        code = f"b = np.random.default_rng({number * 3 + place_}).random({elements})"
        kernel.execute(code, "base", f"large{place_}").raise_for_error()


def one_round(kernel: Kernel, cells: Sample, replies: Sample, plan: Plan, counts: Callable[[], bool]) -> None:
    """One cell that computes, and some short ones. They count where the captures were as they should be throughout."""
    seconds = timed(lambda: kernel.execute(CELL, "base", "computed").raise_for_error())
    if counts():
        cells.seconds.append(seconds)
    state = kernel.execute("x = 0", name="newest").state
    for _ in range(10):
        time.sleep(PAUSE_S / 10)
        seconds = timed(lambda: kernel.execute("x += 1", state or "newest", "newest").raise_for_error())
        if counts():
            replies.seconds.append(seconds)


MEASURES = {"many": many, "restart": restart, "background": background}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.store", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small; says whether it works, not how fast")
    parser.add_argument("--only", action="append", choices=list(MEASURES), help="these measures (repeatable)")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()), help="on the disk to measure"
    )
    parser.add_argument("--write", type=Path, help="write the page to this file instead of printing it")
    options = parser.parse_args(arguments)
    plan = QUICK if options.quick else Plan()
    facts = machine.description()
    parts = ["# The store of a kernel", "Written by `python -m bench.store`; do not edit."]
    parts.append(table(["machine", ""], [[name, value] for name, value in facts]))
    for name in options.only or MEASURES:
        say(name)
        parts.append(MEASURES[name](plan, options.folder))
    page = "\n\n".join(parts) + "\n"
    if options.write:
        options.write.write_text(page)
    else:
        print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())

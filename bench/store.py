"""What a store costs, beside a plain write of the same bytes, dill and Kishu, in one run.

    python -m bench.store [--quick] [--peers PYTHON] [--write docs/benchmarks_store.md]

The interpreter that runs this has stillframe; PYTHON has the peers.
"""

# The prose is one line per paragraph, as the page has it.
# ruff: noqa: E501
from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import time
from pathlib import Path

from bench import machine
from bench.figures import digits, mb, table
from bench.notebook import CELLS
from bench.results import Taken
from bench.store_capture import OURS, measure_arrays, measure_notebook, measure_objects, measure_peers
from bench.store_kernel import QUICK, Plan, measure_background, measure_many, measure_restart
from bench.store_peers import ARRAY_BYTES, ARRAYS

HEAD = """# Benchmarks of the store

Written by `make bench-store`; do not edit. All through the doors that a user has: an embedded kernel with a store. A capture is timed from the reply to the cell until the state says that it is stored, so the way of the news is in it.

{machine}

## Targets
{targets}"""

CAPTURE = """## 1 GB in 20 arrays
{table}

The plain write is of the same bytes, with fsync, on the same disk, before each round. dill writes the session once, with fsync, and reads it again. Our restore is the answer to a cell that reads an element of each array, in a server that was started anew and had restored another state with the same imports before.

## A notebook of {cells} cells, some 500 MB
{notebook}

Kishu checks after each cell what has changed, and stores it before the next. stillframe replies, and stores the state behind it: the next cell may run meanwhile; here it waits, so that both are timed until all is on the disk.

## A million small objects, one in a hundred changed
{objects}"""

KERNEL = """## Many states, few processes
{many}

## Restart
{restart}

## In the background
{background}

Two kernels are there all the time, and one of them is asked at a time: one in which captures of {captured_mb} MB each go on while the cells run, and one that captures nothing. The cell computes for some time in Python alone; a reply is to `x += 1` in the newest state, 15 ms after the last one. The captures run at the lowest priority: beside a process that only computes at that priority a reply takes no longer, beside one that only copies memory it does, as both share the way to the memory."""


def targets(taken: Taken, plan: Plan) -> list[list[str]]:
    """One row per target: what, limit, measured, verdict. None is typed in by hand."""
    rows = []
    numbers = taken.numbers

    def judge(text: str, limit: float, figure: float, unit: str, *, is_ceiling: bool = True) -> None:
        # What was not measured is not met.
        is_met = figure <= limit if is_ceiling else figure >= limit
        sign = "≤" if is_ceiling else "≥"
        verdict = "not measured" if math.isnan(figure) else "met" if is_met else "**not met**"
        rows.append([text, f"{sign} {digits(limit)}{unit}", f"{digits(figure)}{unit}", verdict])

    def slower(measure: str) -> float:
        calm, busy = taken.median_s(measure, "no capture"), taken.median_s(measure, "during captures")
        return (busy / calm - 1) * 100

    first = taken.median_s("raw write", OURS) / taken.median_s("first", OURS)
    judge("first capture of 1 GB, of the rate of a plain synced write", 0.7, first, "×", is_ceiling=False)
    judge("again, unchanged", 0.1, taken.median_s("again", OURS), " s")
    judge("one of 20 arrays changed: written, of its bytes", 1.1, numbers["one changed"] / ARRAY_BYTES, "×")
    judge("the notebook, stored bytes, of Kishu's", 0.1, numbers["notebook"] / numbers.get("kishu", math.nan), "×")
    cell = taken.median_s("cell, stored", OURS) / taken.median_s("cell, stored", "kishu")
    judge("the notebook, median of a cell until it is stored, of Kishu's", 0.1, cell, "×")
    judge("1 GB restored, to the first answer", 50, taken.median_s("restore", OURS) * 1e3, " ms")
    for change in ("scattered", "together"):
        share = numbers[f"objects {change}"] / numbers["objects"] * 100
        judge(f"1 % of a million objects changed, {change}: written, of all", 10, share, " %")
    judge(f"of {plan.states:,} states reachable and right", plan.states, numbers["many reached"], "", is_ceiling=False)
    judge(f"{plan.catalog:,} states in the catalog: start to first answer", 1, taken.median_s("restart", OURS), " s")
    judge("a capture slows a running cell by", 10, slower("cell beside captures"), " %")
    return rows


def document(taken: Taken, plan: Plan, facts: list[tuple[str, str]], *, is_quick: bool) -> str:
    """The whole page."""
    numbers = taken.numbers
    parts = [
        HEAD.format(
            machine=table(["machine", ""], [list(fact) for fact in facts]),
            targets=table(["target", "limit", "measured", "verdict"], targets(taken, plan)),
        )
    ]
    if is_quick:
        parts.append("**This was `--quick`: small, rough figures.**")
    size = ARRAYS * ARRAY_BYTES
    arrays = [
        ["a plain write, synced", taken.ms("raw write", OURS), mb(size)],
        ["first capture", taken.ms("first", OURS), mb(numbers["arrays"])],
        ["again, unchanged", taken.ms("again", OURS), mb(numbers["again"])],
        ["one of 20 arrays changed", taken.ms("one changed", OURS), mb(numbers["one changed"])],
        ["restored, to the first answer", taken.ms("restore", OURS), ""],
        ["dill: dump_module, synced", taken.ms("first", "dill"), mb(numbers.get("dill", math.nan))],
        ["dill: load_module", taken.ms("restore", "dill"), ""],
    ]
    names = {"cell": "the reply", "cell, stored": "until it is stored", "cell, without a store": "the reply, no store"}
    notebook = [
        [f"stillframe: {title}", taken.ms(measure, OURS), digits(sum(taken.seconds(measure, OURS)))]
        for measure, title in names.items()
    ]
    kishu = sum(taken.seconds("cell, stored", "kishu"))
    notebook.append(["Kishu: until it is stored", taken.ms("cell, stored", "kishu"), digits(kishu)])
    stored = f"On the disk: stillframe {mb(numbers['notebook'])} MB, Kishu {mb(numbers.get('kishu', math.nan))} MB."
    objects = [
        [f"changed ones {change}", mb(numbers[f"objects {change}"]), taken.ms(f"objects {change}", OURS)]
        for change in ("scattered", "together")
    ]
    parts.append(
        CAPTURE.format(
            table=table(["", "ms: median (p99; n)", "MB written"], arrays),
            cells=len(CELLS),
            notebook=table(["a cell", "ms: median (p99; n)", "s in all"], notebook) + f"\n\n{stored}",
            objects=table(
                [f"of {mb(numbers['objects'])} MB", "MB written", "ms: median (p99; n)"], objects
            ),
        )
    )
    many = [
        ["execute in a random state, ms: median (p99; n)", taken.ms("many", OURS)],
        ["reachable and right", f"{numbers['many reached']:,.0f} of {plan.states:,}"],
        ["most processes, looks and bases included", f"{numbers['many processes']:.0f}"],
        ["to make them, s", digits(numbers["many made s"])],
        ["until all are stored, s", digits(numbers["many stored s"])],
        ["on the disk, MB a state", digits(numbers["many bytes"] / 1e6 / plan.states)],
    ]
    restart = [
        ["from the start to the first answer, GET /states", taken.ms("restart", OURS)],
        ["then GET /tree", taken.ms("restart, tree", OURS)],
        ["then a variable of a state, restored for it", taken.ms("restart, used", OURS)],
    ]
    background = [
        [title, taken.ms(f"{measure} beside captures", "no capture"), taken.ms(f"{measure} beside captures", "during captures")]
        for measure, title in (("cell", "a cell that computes"), ("reply", "a reply in the newest state"))
    ]
    parts.append(
        KERNEL.format(
            many=table(["", f"{plan.states:,} states of {plan.base_mb} MB, {plan.budget} processes"], many),
            restart=table(["ms: median (p99; n)", f"{plan.catalog:,} states"], restart),
            background=table(["ms: median (p99; n)", "no capture", "during captures"], background),
            captured_mb=plan.captured_mb,
        )
    )
    return "\n\n".join(parts) + "\n"


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def measured(peers: str | None, plan: Plan, parent: Path, rounds: int) -> Taken:
    taken = Taken()
    with tempfile.TemporaryDirectory(dir=parent, prefix=".bench-store-") as name:
        folder = Path(name)
        if peers:
            say("dill and Kishu")
            measure_peers(peers, folder, taken)
        say("1 GB in 20 arrays")
        measure_arrays(folder, taken, rounds)
        say("a million small objects")
        measure_objects(folder, taken)
        say("a notebook")
        measure_notebook(folder, taken)
        for measure in (measure_many, measure_restart, measure_background):
            say(measure.__name__)
            measure(folder, taken, plan)
    return taken


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.store", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="some minutes' worth; says whether it works, not how fast")
    parser.add_argument("--peers", help="the interpreter that has dill and Kishu; without one they are left out")
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="on the disk to measure; 10 GB are used")
    parser.add_argument("--write", type=Path, help="write the page to this file instead of printing it")
    options = parser.parse_args(arguments)
    plan = QUICK if options.quick else Plan()
    facts, started, load = machine.description(), time.monotonic(), os.getloadavg()[0]
    if options.peers:
        versions = machine.versions(options.peers, ["dill", "kishu"])
        facts.append(("the peers'", ", ".join(f"{name} {version}" for name, version in versions.items())))
    taken = measured(options.peers, plan, options.folder, 1 if options.quick else 5)
    facts.append(("load before", digits(load)))
    facts.append(("duration", f"{(time.monotonic() - started) / 60:.1f} minutes"))
    page = document(taken, plan, facts, is_quick=options.quick)
    if options.write:
        options.write.write_text(page)
        unmet = sum(row[-1] != "met" for row in targets(taken, plan))
        say(f"wrote {options.write}; {unmet} targets not met")
    else:
        print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())

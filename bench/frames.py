"""What capture and resume cost, beside plain pickle, dill, cloudpickle and pyteleport, in one run.

    python -m bench.frames [--quick] [--peers PYTHON] [--write docs/benchmarks_frames.md]

The interpreter that runs this has stillframe; PYTHON has the peers. All take turns, in an order that rotates.
"""

# The prose is one line per paragraph, as the page has it.
# ruff: noqa: E501
from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import frames_programs, machine, teleport
from bench.figures import digits, ms, table
from bench.results import Taken
from bench.turns import UNCOUNTED, Turn, alternate

DEPTH = 5000
CYCLES = 300
IN_A_ROW = 10
BUSY_LOAD = 1.5
PARTS = ["capture", "save", "load", "go on"]
MODULES = ["pickle", "stillframe", "cloudpickle", "dill"]
DATA = {"scalars": "350 thousand scalars", "objects": "1.7 MB of small objects"}
OURS, PEER = "stillframe", "pyteleport"

HEAD = """# Benchmarks of frames

Written by `make bench-frames`; do not edit. Capture and resume of running programs, beside plain pickle, dill, cloudpickle and pyteleport, on one machine, in one run.

{machine}

## Targets
{targets}

Times are milliseconds: **median** (99th percentile; how many). All take turns, in an order that rotates; the first {uncounted} of each are not counted. Collections of garbage are off where times are taken within a process, plain pickle included."""

EIGHT = """## Eight frames
Eight functions of `__main__` that have called each other, with a few locals each; nothing of the start of an interpreter is in it. *Capture* makes a continuation of the live frames, *save* pickles it with the functions' code, *load* makes the continuation again, *go on* makes the frames and runs them to their ends, a few additions each. The result is checked. {in_a_row} in a row make a turn.

{table}

pyteleport has no continuation of its own: capture is its `snapshot`, save what makes code of that and pickles it; its pickle is loaded when that code runs, so in the last column. It always takes the whole thread and the whole module, so it has a thread and a module with nothing else in it.

Depth {depth:,}, one function that has called itself:

{deep}"""

VALUES = """## Values
`dumps` and `loads` in one process. The scalars are numbers and texts in lists and dicts. The small objects are of two classes of `__main__`, one with `__slots__`: plain pickle finds the classes by their names, the others take them along by value.

{table}"""

PROGRAMS = """## A whole program, to a file and back
A small script that captures itself. Ours is synced to disk before the call returns, pyteleport's is not. The first includes what is imported for it. A resume is timed from the start of the new interpreter to the end of the program, which has nothing left to do; a bare start is `python -c pass` of the same interpreter.

{table}"""

TELEPORT = """## To the next line, running locally
From the call of teleport to its return in another interpreter on this machine: `stillframe.teleport()` and pyteleport's `tp_dummy()`. The first is of a script that has just imported the library, the second from where that arrived. The target is judged on the first, which is the strictest: pyteleport loads at its import what stillframe loads at the call, as the third row shows.

{table}"""

LARGE = """## A large array
A numpy array of {size_mb:,} MB teleported through a shell on this machine, in {s:.2f} s. Memory is the most that the processes of a side had in RAM, in units of the array.

{table}"""

LEAKS = """## Nothing left behind
{cycles} cycles of capture, save, load and go on, of eight frames in one process: {objects} more objects that the collector knows and {descriptors} more descriptors than after a warm-up. `tests/frames/test_leaks.py` has the other kinds of cycles."""


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    eight: int = 30
    deep: int = 9
    values: int = 15
    snapshots: int = 40
    starts: int = 25
    teleports: int = 15
    array_mb: int = 1024
    budget_s: float = 25.0


QUICK = Plan(eight=5, deep=3, values=5, snapshots=5, starts=5, teleports=3, array_mb=64, budget_s=3.0)


class Answering:
    """A program that answers requests, one line each."""

    def __init__(self, python: str, folder: Path, name: str, text: str) -> None:
        script = folder / f"{name}.py"
        script.write_text(text)
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([python, str(script)], stdin=pipe, stdout=pipe, text=True)

    def ask(self, *request: Any) -> Any:
        assert self._process.stdin and self._process.stdout
        print(json.dumps(request), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{request} was not answered: exit code {self._process.wait()}")
        return json.loads(line)

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def in_turns(subjects: dict[str, Callable[[int], float]], rounds: int, budget_s: float) -> None:
    """Each subject once a round; they keep their figures themselves. They get negative numbers while they warm up."""
    turns = {
        name: Turn(lambda i: None, lambda i, go=go: go(i - UNCOUNTED))  # type: ignore[misc]
        for name, go in subjects.items()
    }
    alternate(turns, rounds, 0.0, budget_s)


def measure_eight(ours: Answering, peer: Answering, taken: Taken, plan: Plan) -> None:
    def asked(name: str, program: Answering) -> Callable[[int], float]:
        def go(number: int) -> float:
            total_s = 0.0
            for *parts, status, value in program.ask("times", "eight", IN_A_ROW):
                assert (status, value) == (0, frames_programs.FRAMES_COME_TO), (name, status, value)
                total_s += sum(parts)
                if number >= 0:
                    for part, seconds in zip(PARTS, parts, strict=True):
                        taken.add(part, name, seconds)
                    taken.add("eight", name, sum(parts))
            return total_s

        return go

    in_turns({OURS: asked(OURS, ours), PEER: asked(PEER, peer)}, plan.eight, plan.budget_s)
    for number in range(-1, plan.deep):
        parts = ours.ask("deep", DEPTH)
        if number >= 0:
            for part, seconds in zip(PARTS, parts, strict=True):
                taken.add(f"deep {part}", OURS, seconds)
            taken.add("deep", OURS, sum(parts))
    taken.numbers["objects"], taken.numbers["descriptors"] = ours.ask("cycles", CYCLES)


def measure_values(ours: Answering, peers: Answering, taken: Taken, plan: Plan) -> None:
    for what in DATA:

        def asked(module: str, what: str = what) -> Callable[[int], float]:
            program = ours if module in MODULES[:2] else peers

            def go(number: int) -> float:
                dumped, loaded, size = program.ask("taken", module, what)
                if number >= 0:
                    taken.add(f"{what} dumps", module, dumped)
                    taken.add(f"{what} loads", module, loaded)
                    taken.add(what, module, dumped + loaded)
                taken.numbers[f"{what} {module}"] = size
                return float(dumped + loaded)

            return go

        in_turns({module: asked(module) for module in MODULES}, plan.values, plan.budget_s)


def timed(command: list[str], folder: Path) -> float:
    """Seconds from a process's start to its end."""
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True)
    return time.perf_counter() - start


def output_of(command: list[str], folder: Path) -> list[float]:
    """What a program printed last."""
    environment = {**os.environ, "TMPDIR": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return list(json.loads(done.stdout.splitlines()[-1]))


def measure_programs(peer: str, folder: Path, taken: Taken, plan: Plan) -> None:
    files = {OURS: folder / "small.snapshot", PEER: folder / "small.pyc"}
    pythons = {OURS: sys.executable, PEER: peer}
    for name, text in ((OURS, frames_programs.SNAPSHOTS), (PEER, frames_programs.DUMPS)):
        (folder / f"{name}_captures.py").write_text(text)
    for _ in range(3):
        for name, path in files.items():
            script = f"{name}_captures.py"
            first, *others = output_of([pythons[name], script, str(path), str(plan.snapshots)], folder)
            taken.add("first snapshot", name, first)
            for seconds in others:
                taken.add("snapshot", name, seconds)
    # As still resume does it.
    runner = [sys.executable, "-P", "-m", "stillframe.capture.runner", str(files[OURS])]
    commands = {
        ("resume", OURS): runner,
        ("resume", PEER): [peer, str(files[PEER])],
        ("start", OURS): [sys.executable, "-c", "pass"],
        ("start", PEER): [peer, "-c", "pass"],
    }

    def started(key: tuple[str, str]) -> Callable[[int], float]:
        def go(number: int) -> float:
            seconds = timed(commands[key], folder)
            if number >= 0:
                taken.add(*key, seconds)
            return seconds

        return go

    in_turns({" ".join(key): started(key) for key in commands}, plan.starts, plan.budget_s)


def measure_teleports(peer: str, folder: Path, taken: Taken, plan: Plan) -> None:
    pythons = {OURS: sys.executable, PEER: peer}
    for name, text in ((OURS, frames_programs.TELEPORTS), (PEER, frames_programs.PYTELEPORTS)):
        (folder / f"{name}_teleports.py").write_text(text)

    def teleported(name: str) -> Callable[[int], float]:
        def go(number: int) -> float:
            imported, first, second = output_of([pythons[name], f"{name}_teleports.py"], folder)
            if number >= 0:
                taken.add("teleport", name, first)
                taken.add("import and teleport", name, imported + first)
                taken.add("second teleport", name, second)
            return first + second

        return go

    in_turns({name: teleported(name) for name in pythons}, plan.teleports, plan.budget_s)


def measure_large(taken: Taken, plan: Plan) -> None:
    """By the program of bench.teleport."""
    options = json.dumps({"to": ["sh", "-c"], "python": sys.executable})
    for line in teleport.run(teleport.LARGE, str(plan.array_mb), options):
        assert isinstance(line, dict)
        taken.numbers |= line
    for side in ("here", "there", "before"):
        taken.numbers[side] = taken.numbers[f"{side}_mb"] / plan.array_mb


# ---- The page -------------------------------------------------------------------------------------------


def ratio(taken: Taken, over: tuple[str, str], under: tuple[str, str]) -> float:
    """Of two medians."""
    return taken.median_s(*over) / taken.median_s(*under)


def targets(taken: Taken, plan: Plan) -> list[list[str]]:
    """One row per target: what, limit, measured, verdict. None is typed in by hand."""
    rows = []

    def judge(text: str, limit: float, figure: float, unit: str) -> None:
        # What was not measured is not met.
        verdict = "met" if figure <= limit else "**not met**"
        rows.append([text, f"≤ {digits(limit)}{unit}", f"{digits(figure)}{unit}", verdict])

    judge("eight frames: capture, save, load, go on", 0.5, taken.median_s("eight", OURS) * 1e3, " ms")
    for what, title in DATA.items():
        for way in ("dumps", "loads"):
            measure = f"{what} {way}"
            judge(
                f"{title}: {way} over plain pickle's",
                1.5,
                ratio(taken, (measure, OURS), (measure, "pickle")),
                "×",
            )
    judge(
        "teleport to the next line, over pyteleport's",
        0.5,
        ratio(taken, ("teleport", OURS), ("teleport", PEER)),
        "×",
    )
    title = f"a {plan.array_mb:,} MB array teleported: memory over its size"
    judge(f"{title}, here", 1.3, taken.numbers["here"], "×")
    judge(f"{title}, there", 1.3, taken.numbers["there"], "×")
    judge(f"objects left behind by {CYCLES} cycles", 0, taken.numbers["objects"], "")
    judge(f"descriptors left behind by {CYCLES} cycles", 0, taken.numbers["descriptors"], "")
    return rows


def document(taken: Taken, plan: Plan, facts: list[tuple[str, str]], *, is_quick: bool, is_busy: bool) -> str:
    """The whole page."""
    parts = [
        HEAD.format(
            machine=table(["machine", ""], [list(fact) for fact in facts]),
            targets=table(["target", "limit", "measured", "verdict"], targets(taken, plan)),
            uncounted=UNCOUNTED,
        )
    ]
    if is_quick:
        parts.append("**This was `--quick`: few rounds, rough figures.**")
    if is_busy:
        parts.append(
            f"**Others were busy on this machine (load above {BUSY_LOAD}): times are too long, ratios rougher.**"
        )
    parts += [_eight(taken), _values(taken), _programs(taken), _teleports(taken), _large(taken, plan)]
    numbers = {name: digits(taken.numbers[name]) for name in ("objects", "descriptors")}
    parts.append(LEAKS.format(cycles=CYCLES, **numbers))
    return "\n\n".join(parts) + "\n"


def _eight(taken: Taken) -> str:
    columns = [*PARTS, "eight"]
    rows = [[name, *(taken.ms(part, name) for part in columns)] for name in (OURS, PEER)]
    over = [digits(ratio(taken, (part, PEER), (part, OURS))) + "×" for part in columns]
    deep = [
        [f"{DEPTH:,} frames", *(taken.ms(f"deep {part}", OURS) for part in PARTS), taken.ms("deep", OURS)]
    ]
    return EIGHT.format(
        table=table(["", *PARTS, "in all"], [*rows, ["pyteleport over stillframe", *over]]),
        deep=table(["", *PARTS, "in all"], deep),
        depth=DEPTH,
        in_a_row=IN_A_ROW,
    )


def _values(taken: Taken) -> str:
    rows = []
    for what, title in DATA.items():
        for module in MODULES:
            cells = [f"{title}, {module}", digits(taken.numbers[f"{what} {module}"] / 1e6)]
            for way in ("dumps", "loads"):
                measure = f"{what} {way}"
                cells += [
                    taken.ms(measure, module),
                    digits(ratio(taken, (measure, module), (measure, "pickle"))) + "×",
                ]
            rows.append(cells)
    return VALUES.format(table=table(["", "MB", "dumps", "over pickle", "loads", "over pickle"], rows))


def _programs(taken: Taken) -> str:
    titles = {
        "first snapshot": "the first capture of a script, to a file",
        "snapshot": "any other capture of it",
        "resume": "resume, from the start of an interpreter",
        "start": "a bare start of an interpreter",
    }
    rows = [[title, taken.ms(measure, OURS), taken.ms(measure, PEER)] for measure, title in titles.items()]
    over = [digits(ratio(taken, ("resume", name), ("start", name))) + "×" for name in (OURS, PEER)]
    return PROGRAMS.format(table=table(["", OURS, PEER], [*rows, ["resume over a bare start", *over]]))


def _teleports(taken: Taken) -> str:
    rows = []
    for measure, title in (
        ("teleport", "the first"),
        ("second teleport", "the second"),
        ("import and teleport", "the import of the library and the first"),
    ):
        over = digits(ratio(taken, (measure, OURS), (measure, PEER))) + "×"
        rows.append([title, taken.ms(measure, OURS), taken.ms(measure, PEER), over])
    start = ms(taken.samples.get(("start", OURS)))
    rows.append(["a bare start of an interpreter", start, taken.ms("start", PEER), ""])
    return TELEPORT.format(table=table(["", OURS, PEER, "ours over theirs"], rows))


def _large(taken: Taken, plan: Plan) -> str:
    rows = [
        ["here, before the teleport", digits(taken.numbers["before"])],
        ["here, relay included", digits(taken.numbers["here"])],
        ["there, keeper included", digits(taken.numbers["there"])],
    ]
    return LARGE.format(size_mb=plan.array_mb, s=taken.numbers["s"], table=table(["", "× its size"], rows))


# ---- The run --------------------------------------------------------------------------------------------


def versions(peer: str) -> list[tuple[str, str]]:
    """The versions of what is measured."""
    mine = machine.versions(sys.executable, ["stillframe", "numpy"])
    others = machine.versions(peer, ["pyteleport", "dill", "cloudpickle"])
    return [
        ("stillframe's", ", ".join(f"{name} {version}" for name, version in mine.items())),
        ("the peers'", ", ".join(f"{name} {version}" for name, version in others.items())),
    ]


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def measured(peer: str, plan: Plan) -> Taken:
    taken = Taken()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = {
            "ours": (sys.executable, frames_programs.OURS),
            "peers": (peer, frames_programs.PEERS),
            "pyteleport": (peer, frames_programs.PYTELEPORT),
        }
        programs = {}
        try:
            for key, (python, text) in texts.items():
                programs[key] = Answering(python, folder, f"answering_{key}", text)
            say("eight frames")
            measure_eight(programs["ours"], programs["pyteleport"], taken, plan)
            say("values")
            measure_values(programs["ours"], programs["peers"], taken, plan)
        finally:
            for program in programs.values():
                program.close()
        say("whole programs")
        measure_programs(peer, folder, taken, plan)
        say("teleports")
        measure_teleports(peer, folder, taken, plan)
        say("a large array")
        measure_large(taken, plan)
    return taken


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.frames", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute's worth")
    parser.add_argument("--peers", default=sys.executable, help="the interpreter that has the peers")
    parser.add_argument("--write", type=Path, help="write the page to this file instead of printing it")
    options = parser.parse_args(arguments)
    plan = QUICK if options.quick else Plan()
    facts, started, load = (
        machine.description() + versions(options.peers),
        time.monotonic(),
        os.getloadavg()[0],
    )
    taken = measured(options.peers, plan)
    facts.append(("load after", f"{os.getloadavg()[0]:.2f}"))
    facts.append(("duration", f"{(time.monotonic() - started) / 60:.1f} minutes"))
    page = document(taken, plan, facts, is_quick=options.quick, is_busy=load > BUSY_LOAD)
    if options.write:
        options.write.write_text(page)
        unmet = sum("not met" in row[-1] for row in targets(taken, plan))
        say(f"wrote {options.write}; {unmet} targets not met")
    else:
        print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())

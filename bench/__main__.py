"""`python -m bench`: stillframe beside its peers, in one run. See --help."""

from __future__ import annotations

import argparse
import gc
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import machine, measures, report, targets
from bench.figures import ms
from bench.measures import QUICK, Plan
from bench.results import Results
from bench.states import KINDS, SMALL, Kind
from bench.subjects import Floor, starters

SIZED = ["newest", "older", "hot"]
OTHER = ["chain", "branches", "parallel", "start"]
QUICK_KINDS = ["empty", "array_100mb", "lists_1m"]


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute's worth, printed rather than written")
    parser.add_argument("--only", action="append", choices=SIZED + OTHER, help="these measures (repeatable)")
    parser.add_argument("--state", action="append", choices=[k.key for k in KINDS], help="these states only")
    names = ["stillframe", "snapshot-kernel", "ipykernel"]
    parser.add_argument("--subject", action="append", choices=names, help="these kernels only")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has stillframe")
    parser.add_argument("--write", type=Path, help="write the page to this file instead of printing it")
    return parser.parse_args(arguments)


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    options = parsed(arguments)
    chosen = options.only or SIZED + OTHER
    plan = QUICK if options.quick else Plan()
    keys = options.state or (QUICK_KINDS if options.quick else [kind.key for kind in KINDS])
    starts = starters(options.python)
    starts = {name: starts[name] for name in options.subject or starts}
    facts = machine.description() + versions(options.python)
    # A collection in the harness is nobody's latency.
    gc.disable()
    results, started = Results(), time.monotonic()
    for kind in KINDS:
        if kind.key in keys and set(chosen) & set(SIZED):
            with ExitStack() as stack:
                say(kind.title)
                subjects = begin(stack, starts)
                floor = Floor(options.python)
                stack.callback(floor.close)
                sized(subjects, floor, kind, chosen, plan, results)
    others(starts, chosen, plan, results)
    facts.append(("duration", f"{(time.monotonic() - started) / 60:.1f} minutes"))
    page = report.document(results, plan, facts, is_quick=options.quick)
    if options.write:
        options.write.write_text(page)
        say(f"wrote {options.write}; {targets.unmet(results)} targets not met")
    else:
        print(page)
    return 0


def versions(ours: str) -> list[tuple[str, str]]:
    """The versions of what is measured."""
    mine = machine.versions(ours, ["stillframe", "ipython", "numpy", "pandas"])
    names = ["snapshot-kernel", "ipykernel", "jupyter-client", "numpy", "pandas"]
    peers = machine.versions(sys.executable, names)
    return [
        ("stillframe's", ", ".join(f"{name} {version}" for name, version in mine.items())),
        ("the peers'", ", ".join(f"{name} {version}" for name, version in peers.items())),
    ]


def begin(stack: ExitStack, starts: dict[str, Any]) -> dict[str, Any]:
    """Starts each subject; they end with the stack."""
    subjects = {}
    for name, starter in starts.items():
        subjects[name] = starter()
        stack.callback(subjects[name].close)
    return subjects


def sized(
    subjects: dict[str, Any], floor: Floor, kind: Kind, chosen: list[str], plan: Plan, results: Results
) -> None:
    """The measures that are made for every kind of state."""
    for subject in subjects.values():
        subject.execute(kind.code, "initial", "base")
    if "newest" in chosen:
        measures.newest(subjects, kind, plan, results)
        tell(results, "newest", kind.key)
        tell(results, "newest_unpaced", kind.key)
    if "older" in chosen:
        measures.older(subjects, kind, plan, results)
        tell(results, "older", kind.key)
    if "hot" in chosen:
        floor.hold(kind.code)
        measures.hot(subjects, floor, kind, plan, results)
        tell(results, "hot", kind.key)


def others(starts: dict[str, Any], chosen: list[str], plan: Plan, results: Results) -> None:
    """The measures that are made for one state."""
    with_states = {name: starter for name, starter in starts.items() if name != "ipykernel"}
    if "chain" in chosen:
        with ExitStack() as stack:
            say(f"a chain of {plan.chain}")
            subjects = begin(stack, with_states)
            for subject in subjects.values():
                subject.execute(SMALL.code, "initial", "base")
            measures.chain(subjects, plan, results)
            tell(results, "chain_early", SMALL.key)
            tell(results, "chain_late", SMALL.key)
    for name, measure in (("branches", measures.branches), ("parallel", measures.parallel)):
        if name in chosen:
            with ExitStack() as stack:
                say(name)
                measure(begin(stack, with_states), plan, results)
    if "start" in chosen:
        say("start")
        measures.start(starts, plan, results)
        tell(results, "start", "")


def tell(results: Results, measure: str, key: str) -> None:
    """Progress, for whoever waits."""
    found = {name: sample for (m, k, name), sample in results.samples.items() if (m, k) == (measure, key)}
    say(f"  {measure}: " + ", ".join(f"{name} {ms(sample)}" for name, sample in found.items()))


if __name__ == "__main__":
    sys.exit(main())

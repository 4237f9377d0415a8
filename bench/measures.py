"""The measures. Each leaves its figures in Results and the subjects as it found them.

`x+1` is the cell everywhere, `x` being an int in the state, and its answer is checked every time.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from bench import machine
from bench.figures import Sample
from bench.results import Results
from bench.states import BRANCHED, SMALL, Kind
from bench.subjects import Floor, IPyKernel, RestSubject, Stillframe, Wrong
from bench.turns import LEAST, Turn, alternate

BRANCHES_OF_HOT = 40
"""More than the processes that stillframe keeps ready, so that none of them waits with a spare."""
BURST = 10
SPARE_S = 0.25
LOOP = "total = 0\nfor i in range({count}):\n    total += i * i\ntotal"
CHAIN_EARLY = slice(4, 15)
CHAIN_LATE = slice(-11, None)


@dataclass(frozen=True)
class Plan:
    """How much to measure."""

    rounds: int = 200
    pause_s: float = 0.015
    budget_s: float = 8.0
    chains: int = 3
    chain: int = 500
    branches: int = 1000
    starts: int = 5
    loop_s: float = 1.0


QUICK = Plan(rounds=25, budget_s=1.5, chains=1, chain=100, branches=100, starts=2, loop_s=0.5)


def newest(subjects: dict[str, Any], kind: Kind, plan: Plan, results: Results) -> None:
    """Each cell runs in the state that the one before made: with a pause before each, and without."""
    turns = {}
    for name, subject in subjects.items():
        turns[name] = _chain_turn(subject, subject.room(kind.size_bytes), "n")
    results.keep("newest", kind.key, alternate(turns, plan.rounds, plan.pause_s, plan.budget_s))
    _delete_all(subjects, kind, "n")
    bursts = {name: Sample() for name in subjects}
    lengths = {name: min(BURST, subject.room(kind.size_bytes) - 1) for name, subject in subjects.items()}
    spent = dict.fromkeys(subjects, 0.0)
    for _ in range(plan.rounds):
        for name, subject in subjects.items():
            is_done = len(bursts[name]) >= plan.rounds
            if is_done or (spent[name] > plan.budget_s and len(bursts[name]) >= LEAST):
                continue
            taken = _burst(subject, lengths[name])
            spent[name] += sum(taken)
            # The first of a burst met a kernel at rest.
            bursts[name].seconds += taken[1:]
    results.keep("newest_unpaced", kind.key, bursts)


def older(subjects: dict[str, Any], kind: Kind, plan: Plan, results: Results) -> None:
    """Each cell runs in the base, over and over; stillframe has the time to make its spare ready."""
    turns, spares = {}, [0, 0]
    for name, subject in subjects.items():
        if isinstance(subject, IPyKernel):
            continue
        names = [f"o{i}" for i in range(min(8, subject.room(kind.size_bytes)))]
        turns[name] = _branch_turn(subject, ["base"], names)
        if isinstance(subject, Stillframe):
            turns[name] = _watched(turns[name], subject, ["base"], spares, wait_s=SPARE_S)
    results.keep("older", kind.key, alternate(turns, plan.rounds, plan.pause_s, plan.budget_s))
    _note_spares(results, "older_spare_ratio", kind, spares)
    _delete_all(subjects, kind, "o")


def hot(subjects: dict[str, Any], floor: Floor, kind: Kind, plan: Plan, results: Results) -> None:
    """Cells run in many branches of the base in turn, so that no spare waits in them; beside a bare fork.

    snapshot-kernel holds as many branches as its copies leave room for: any stored state is the same to it.
    """
    turns, spares = {"bare fork": Turn(lambda i: None, lambda i: floor.fork())}, [0, 0]
    for name, subject in subjects.items():
        if isinstance(subject, IPyKernel):
            continue
        sources = _branch(subject, kind, results)
        turns[name] = _branch_turn(subject, sources, ["h"])
        if isinstance(subject, Stillframe):
            turns[name] = _watched(turns[name], subject, sources, spares, wait_s=0)
    results.keep("hot", kind.key, alternate(turns, plan.rounds, plan.pause_s, plan.budget_s))
    _note_spares(results, "hot_spare_ratio", kind, spares)


def chain(subjects: dict[str, Any], plan: Plan, results: Results) -> None:
    """A line of states, all kept: the replies at its start against those at its end."""
    early, late = {name: Sample() for name in subjects}, {name: Sample() for name in subjects}
    for _ in range(plan.chains):
        taken: dict[str, list[float]] = {name: [] for name in subjects}
        for i in range(plan.chain):
            for name, subject in subjects.items():
                time.sleep(plan.pause_s)
                source = f"c{i - 1}" if i else "base"
                taken[name].append(subject.execute("x+1", source, f"c{i}", "2"))
        for name, subject in subjects.items():
            early[name].seconds += taken[name][CHAIN_EARLY]
            late[name].seconds += taken[name][CHAIN_LATE]
            for i in range(plan.chain):
                subject.delete(f"c{i}")
    results.keep("chain_early", SMALL.key, early)
    results.keep("chain_late", SMALL.key, late)


def branches(subjects: dict[str, Any], plan: Plan, results: Results) -> None:
    """Many branches of one large base, as fast as they come: time and memory of each."""
    for name, subject in subjects.items():
        count = plan.branches if isinstance(subject, Stillframe) else subject.room(BRANCHED.size_bytes)
        subject.execute(BRANCHED.code, "initial", "base")
        before = settled_bytes()
        sample = Sample([subject.execute(f"y = {k}", "base", f"b{k}") for k in range(count)])
        each = (before - settled_bytes()) / count
        results.keep("branches", BRANCHED.key, {name: sample})
        results.note("branch_bytes", each, BRANCHED.key, name)
        results.note("branch_count", count, BRANCHED.key, name)
        if isinstance(subject, Stillframe):
            held = [node["memory"] for node in subject.nodes(memory=True) if node["memory"]]
            private = sum(memory["private_bytes"] for memory in held)
            results.note("branch_private_bytes", private / count, BRANCHED.key, name)


def parallel(subjects: dict[str, Any], plan: Plan, results: Results) -> None:
    """Two cells that only compute, at once, against one of them alone."""
    for name, subject in subjects.items():
        if not isinstance(subject, RestSubject):
            continue
        subject.execute("x = 1", "initial", "base")
        once_s = subject.execute(LOOP.format(count=10**6), "base", "p0")
        code = LOOP.format(count=int(10**6 * plan.loop_s / once_s))
        connections = [subject.connect(), subject.connect()]
        alone, both = Sample(), Sample()
        for _ in range(3):
            alone.seconds.append(_at_once(subject, connections[:1], code))
            both.seconds.append(_at_once(subject, connections, code))
        for connection in connections:
            connection.close()
        results.keep("parallel_one", "", {name: alone})
        results.keep("parallel_two", "", {name: both})


def start(starters: dict[str, Callable[[], Any]], plan: Plan, results: Results) -> None:
    """From the start of the process to its first answer. The first start of each is not counted."""
    samples = {name: Sample() for name in starters}
    for number in range(plan.starts + 1):
        for name, starter in starters.items():
            with ExitStack() as stack:
                subject = starter()
                stack.callback(subject.close)
                if not isinstance(subject, IPyKernel):
                    # ipykernel's first cell was answered while it was started.
                    subject.execute("x = 1", "initial", "base")
                seconds = subject.answered() - subject.own.started
            if number:
                samples[name].seconds.append(seconds)
    results.keep("start", "", samples)


def settled_bytes(patience_s: float = 5.0) -> int:
    """Available memory, once it has stopped moving."""
    steady, last = 0, machine.available_bytes()
    deadline = time.monotonic() + patience_s
    while steady < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
        now = machine.available_bytes()
        steady = steady + 1 if abs(now - last) < 2**20 else 0
        last = now
    return last


def _chain_turn(subject: Any, room: int, prefix: str) -> Turn:
    """Turns that go on from the state of the turn before, in a ring of `room` names."""

    def ready(i: int) -> None:
        if i >= room:
            subject.delete(f"{prefix}{i % room}")

    def go(i: int) -> float:
        source = f"{prefix}{(i - 1) % room}" if i else "base"
        return float(subject.execute("x+1", source, f"{prefix}{i % room}", "2"))

    return Turn(ready, go)


def _branch_turn(subject: Any, sources: list[str], names: list[str]) -> Turn:
    """Turns that run in each of `sources` in turn, in a ring of names."""

    def ready(i: int) -> None:
        if i >= len(names):
            subject.delete(names[i % len(names)])

    def go(i: int) -> float:
        return float(subject.execute("x+1", sources[i % len(sources)], names[i % len(names)], "2"))

    return Turn(ready, go)


def _watched(turn: Turn, subject: Stillframe, sources: list[str], spares: list[int], wait_s: float) -> Turn:
    """The same, counting in `spares` [ready, asked] how often a spare waited; waits `wait_s` for one."""

    def ready(i: int) -> None:
        turn.ready(i)
        deadline = time.monotonic() + wait_s
        source = sources[i % len(sources)]
        while not (is_ready := _has_spare(subject, source)) and time.monotonic() < deadline:
            time.sleep(0.002)
        spares[0] += is_ready
        spares[1] += 1

    return Turn(ready, turn.go)


def _has_spare(subject: Stillframe, name: str) -> bool:
    return any(name in node["names"] and node["ready"] for node in subject.nodes())


def _note_spares(results: Results, name: str, kind: Kind, spares: list[int]) -> None:
    if spares[1]:
        results.note(name, spares[0] / spares[1], kind.key)


def _branch(subject: Any, kind: Kind, results: Results) -> list[str]:
    """Branches of the base to run in; notes what memory each takes."""
    is_ours = isinstance(subject, Stillframe)
    count = BRANCHES_OF_HOT if is_ours else min(BRANCHES_OF_HOT, subject.room(kind.size_bytes) - 1)
    before = settled_bytes()
    names = [f"b{k}" for k in range(count)]
    for name in names:
        subject.execute("y = 0", "base", name)
    results.note("state_bytes", (before - settled_bytes()) / count, kind.key, subject.name)
    if isinstance(subject, Stillframe):
        held = [node["memory"] for node in subject.nodes(memory=True) if set(node["names"]) & set(names)]
        private = [memory["private_bytes"] for memory in held if memory]
        if private:
            results.note("state_private_bytes", statistics.mean(private), kind.key, subject.name)
    return names


def _burst(subject: Any, length: int) -> list[float]:
    """One cell after the other without a pause; the states are deleted when nobody is timed."""
    taken = [subject.execute("x+1", f"u{i - 1}" if i else "base", f"u{i}", "2") for i in range(length + 1)]
    for i in range(length + 1):
        subject.delete(f"u{i}")
    return taken


def _at_once(subject: RestSubject, connections: list[Any], code: str) -> float:
    """Seconds until each connection has its answer to `code`."""
    failures: list[Exception] = []

    def ask(number: int) -> None:
        body = {"code": code, "exec_id": f"p{number}", "state_name": "base", "new_state_name": f"p{number}"}
        try:
            subject.execute_over(connections[number], body, None)
        except (Wrong, OSError) as error:
            failures.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(connections))]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    if failures:
        raise failures[0]
    return seconds


def _delete_all(subjects: dict[str, Any], kind: Kind, prefix: str) -> None:
    for subject in subjects.values():
        for i in range(subject.room(kind.size_bytes)):
            subject.delete(f"{prefix}{i}")

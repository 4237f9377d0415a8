"""`python -m bench.soak`: many executions from many clients, cut short and killed, every answer checked.

Phases: a warm-up, a reset, the soak itself, a reset, the end. What the server holds (processes, descriptors,
memory) is compared at rest: after the second reset with after the first.
"""

# The prose is one line per paragraph, as the page has it.
# ruff: noqa: E501
from __future__ import annotations

import argparse
import os
import statistics
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bench import machine
from bench.figures import Sample, digits, mb, table
from bench.oracle import Slot, WrongAnswer
from bench.player import Player
from bench.subjects import Stillframe

SLOTS = 64
CLIENTS = 16
WARM_UP = 1000
GROWTH_BYTES = 32 * 2**20
"""How much more memory the server may hold after the soak than after the warm-up."""
AVAILABLE_BYTES = 256 * 2**20
"""The same for the whole machine, on which others run too."""
WRONG_SHOWN = 20

HEAD = """# Soak

Written by `make soak`; do not edit. {executions:,} executions over {slots} states by {clients} clients at once: a tenth interrupted, a tenth with their process killed from outside, the others branching, moving names, renaming and deleting. Every answer is checked against an oracle in the client.

{machine}

## Verdict
{verdict}

## What was done
{done}

## What the server holds, at rest
{held}
"""


@dataclass(frozen=True)
class Held:
    """What the server holds at one moment."""

    when: str
    processes: int
    descriptors: int
    resident_bytes: int
    available_bytes: int
    files: int

    def row(self) -> list[str]:
        counts = [str(self.processes), str(self.descriptors), str(self.files)]
        return [self.when, *counts, mb(self.resident_bytes), mb(self.available_bytes)]


def descendants(pid: int) -> set[int]:
    """All processes below a process, ended but not reaped ones too."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found, fresh = set[int](), {pid}
    while fresh:
        fresh = {child for child, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return found


def living(pids: set[int], patience_s: float = 1.0) -> set[int]:
    """Those that are still there after `patience_s`; sooner if none is."""
    deadline = time.monotonic() + patience_s
    while (left := {pid for pid in pids if Path(f"/proc/{pid}").exists()}) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def held(server: Stillframe, when: str, patience_s: float = 20.0) -> Held:
    """What the server holds, once its processes and descriptors have not changed for a second."""
    pid, last, steady = server.own.popen.pid, (-1, -1), 0
    deadline = time.monotonic() + patience_s
    while steady < 10 and time.monotonic() < deadline:
        time.sleep(0.1)
        now = len(descendants(pid)), len(os.listdir(f"/proc/{pid}/fd"))
        steady = steady + 1 if now == last else 0
        last = now
    status = Path(f"/proc/{pid}/status").read_text()
    resident = int(status.partition("VmRSS:")[2].split()[0]) * 1024
    files = sum(1 for _ in Path(server.own.directory.name).rglob("*"))
    return Held(when, *last, resident, machine.available_bytes(), files)


def run(server: Stillframe, executions: int, seed: int) -> tuple[list[Player], float]:
    """Makes the slots and lets all clients play at once; then each slot and the list of names must be right."""
    slots = [Slot(number) for number in range(SLOTS)]
    pid = server.own.popen.pid
    players = [Player(number, server.url, pid, slots, seed) for number in range(CLIENTS)]
    started = time.monotonic()
    for slot in slots:
        players[0].make(slot)
    shares = [executions // CLIENTS + (number < executions % CLIENTS) for number in range(CLIENTS)]
    threads = [
        threading.Thread(target=player.play, args=(share,))
        for player, share in zip(players, shares, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - started
    for slot in slots:
        try:
            players[0].check(slot)
        except WrongAnswer as error:
            players[0].wrong.append(f"at the end: {error}")
    _, answer = server.rest.ask("GET", "/states")
    if sorted(answer["states"]) != sorted(["initial", *(slot.name for slot in slots)]):
        players[0].wrong.append(f"at the end the states are {answer['states']}")
    for player in players:
        player.close()
    return players, seconds


def soak(python: str, executions: int, seed: int) -> tuple[str, bool]:
    """The page, and whether all went well."""
    facts = machine.description()
    versions = machine.versions(python, ["stillframe", "ipython"])
    facts.append(("versions", ", ".join(f"{name} {version}" for name, version in versions.items())))
    facts.append(("seed", str(seed)))
    server = Stillframe.start(python)
    moments, players = [held(server, "fresh")], list[Player]()
    try:
        warm, _ = run(server, min(WARM_UP, executions), seed)
        moments.append(held(server, f"after a warm-up of {min(WARM_UP, executions):,}"))
        server.rest.ask("POST", "/reset")
        moments.append(held(server, "after a reset"))
        players, seconds = run(server, executions, seed + 1)
        moments.append(held(server, f"after {executions:,} more"))
        server.rest.ask("POST", "/reset")
        moments.append(held(server, "after a reset"))
        mine = descendants(server.own.popen.pid)
    finally:
        server.close()
    survivors = living(mine)
    wrong = [line for player in warm + players for line in player.wrong]
    verdict, is_well = judged(wrong, moments[2], moments[4], len(survivors))
    page = HEAD.format(
        executions=executions,
        slots=SLOTS,
        clients=CLIENTS,
        machine=table(["machine", ""], [list(fact) for fact in facts]),
        verdict=verdict,
        done=done(players, seconds),
        held=table(
            ["", "processes", "descriptors", "files", "server's memory, MB", "machine's available memory, MB"],
            [moment.row() for moment in moments],
        ),
    )
    if wrong:
        page += "\n## Wrong answers\n" + "\n".join(f"- `{line}`" for line in wrong[:WRONG_SHOWN]) + "\n"
    return page, is_well


def judged(wrong: list[str], before: Held, after: Held, survivors: int) -> tuple[str, bool]:
    """The verdict as a table, and whether all of it is good."""
    grown = after.resident_bytes - before.resident_bytes
    lost = before.available_bytes - after.available_bytes
    checks = [
        ("wrong answers", "0", str(len(wrong)), not wrong),
        ("processes more than before", "0", f"{after.processes - before.processes:+d}",
         after.processes <= before.processes),
        ("descriptors more than before", "0", f"{after.descriptors - before.descriptors:+d}",
         after.descriptors <= before.descriptors),
        ("files left more than before", "0", f"{after.files - before.files:+d}", after.files <= before.files),
        ("growth of the server, MB", f"≤ {mb(GROWTH_BYTES)}", mb(grown), grown <= GROWTH_BYTES),
        ("loss of the machine's available memory, MB", f"≤ {mb(AVAILABLE_BYTES)}", mb(lost), lost <= AVAILABLE_BYTES),
        ("processes left after the end", "0", str(survivors), not survivors),
    ]  # fmt: skip
    rows = [[text, limit, measured, "met" if is_met else "**not met**"] for text, limit, measured, is_met in checks]
    return table(["", "limit", "measured", "verdict"], rows), all(check[3] for check in checks)


def done(players: list[Player], seconds: float) -> str:
    """How often each thing was done, and how long an answer took."""
    total = sum((player.done for player in players), Counter[str]())
    executions = sum(player.begun["executions"] for player in players)
    sample = Sample([s for player in players for s in player.seconds])
    rows = [[name, f"{count:,}"] for name, count in sorted(total.items())]
    rows += [
        ["executions in all", f"{executions:,}"],
        ["seconds", digits(seconds)],
        ["executions a second", digits(executions / seconds)],
        ["answer of a cell that ends, ms: median", digits(statistics.median(sample.seconds) * 1e3)],
        ["99th percentile", digits(sample.percentile_s(99) * 1e3)],
    ]
    return table(["", ""], rows)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--executions", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has stillframe")
    parser.add_argument("--write", type=Path, help="write the page to this file instead of printing it")
    options = parser.parse_args(arguments)
    page, is_well = soak(options.python, options.executions, options.seed)
    if options.write:
        options.write.write_text(page)
    print(page)
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())

"""docs/benchmarks.md: the figures as tables, with what is needed to read them."""

# The prose is one line per paragraph, as the page has it.
# ruff: noqa: E501
from __future__ import annotations

from bench import targets
from bench.figures import digits, mb, ms, table
from bench.measures import BRANCHES_OF_HOT, Plan
from bench.results import Results
from bench.states import BRANCHED, KINDS, SMALL

SUBJECTS = ["stillframe", "snapshot-kernel", "ipykernel"]

HEAD = """# Benchmarks

Written by `make bench`; do not edit. stillframe beside snapshot-kernel (states as deep copies in one process) and ipykernel (one state, no way back), on one machine, in one run.

{machine}

## Targets
{targets}

Latencies are judged with a pause of {pause_ms} ms before each request, as between two cells of a notebook or two steps of a program that thinks; the same without any pause stands beside it. "Faster than snapshot-kernel" is measured against its best median of all measures below, paced or not: a copy costs the same wherever it is made, and a virtual machine that hands out fresh pages slowly would make it look worse than it is.

## How it was measured
- The cell is `x+1`, `x` being an int in the state; every answer is checked. A time is one round trip seen by the client: the request's first byte to the answer's last.
- REST kernels: one kept-alive connection of `http.client` with TCP_NODELAY, the same code for both. ipykernel: jupyter_client's blocking client, until both result and reply are there.
- The kernels take turns, request by request, in an order that rotates. Where a kernel is slow it takes part in fewer, evenly spread rounds.
- Times are milliseconds: **median** (99th percentile; number of requests)."""


def document(results: Results, plan: Plan, facts: list[tuple[str, str]], *, is_quick: bool) -> str:
    """The whole page."""
    machine = table(["machine", ""], [[name, value] for name, value in facts])
    head = HEAD.format(
        machine=machine, targets=targets.section(results), pause_ms=f"{plan.pause_s * 1e3:.0f}"
    )
    parts = [head]
    if is_quick:
        parts.append("**This was `--quick`: few rounds, rough figures.**")
    parts += [
        _newest(results, plan), _older(results), _hot(results), _chain(results, plan), _branches(results),
        _memory(results), _parallel(results), _start(results),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def _rows(results: Results, columns: list[tuple[str, str]]) -> list[list[str]]:
    """One row per state with the columns' (measure, subject); states not measured are left out."""
    rows = []
    for kind in KINDS:
        samples = [results.sample(measure, kind.key, subject) for measure, subject in columns]
        if any(samples):
            rows.append([kind.title, *map(ms, samples)])
    return rows


def _newest(results: Results, plan: Plan) -> str:
    rows = _rows(results, [("newest", name) for name in SUBJECTS])
    unpaced = _rows(results, [("newest_unpaced", name) for name in SUBJECTS])
    if not rows:
        return ""
    return f"""## In the newest state
Each cell runs in the state that the one before made, with a pause of {plan.pause_s * 1e3:.0f} ms before each request:

{table(["state", *SUBJECTS], rows)}

Without any pause: bursts of up to 10 cells, each sent when the answer to the one before is there, so that what stillframe does after its reply (freezing the new state) delays the next one. The first of a burst is not counted.

{table(["state", *SUBJECTS], unpaced)}"""


def _older(results: Results) -> str:
    rows = _rows(results, [("older", "stillframe"), ("older", "snapshot-kernel"), ("newest", "stillframe")])
    ratios = [r for kind in KINDS if (r := results.number("older_spare_ratio", kind.key)) is not None]
    if not rows:
        return ""
    said = f"A spare was ready in {min(ratios):.0%} of the requests or more. " if ratios else ""
    return f"""## In an older state, recently used
All cells run in the same base. Before each, and before the pause, the harness waits until stillframe has a spare process of the base ready (at most 0.25 s). {said}ipykernel has no older states.

{table(["state", "stillframe", "snapshot-kernel", "stillframe, newest"], rows)}"""


def _hot(results: Results) -> str:
    rows = _rows(results, [("hot", name) for name in ("stillframe", "bare fork", "snapshot-kernel")])
    ratios = [r for kind in KINDS if (r := results.number("hot_spare_ratio", kind.key)) is not None]
    if not rows:
        return ""
    said = f" A spare waited in {max(ratios):.0%} of the requests or fewer." if ratios else ""
    return f"""## In any other hot state
Cells run in {BRANCHES_OF_HOT} branches of the base in turn, so that no warmed spare waits for them.{said} A standby may: a fork that was made ahead and is not warm, as in up to 64 states (docs/decisions/0017-standbys.md). The floor is a bare `os.fork` in a plain Python process that holds the same objects, until a byte from the child is read. snapshot-kernel holds as many branches as 1 GB of copies allows.

{table(["state", "stillframe", "bare fork", "snapshot-kernel"], rows)}"""


def _chain(results: Results, plan: Plan) -> str:
    rows = [
        [name, ms(early), ms(results.sample("chain_late", SMALL.key, name))]
        for name in SUBJECTS
        if (early := results.sample("chain_early", SMALL.key, name))
    ]
    if not rows:
        return ""
    head = ["", "states 5 to 15", f"states {plan.chain - 10} to {plan.chain}"]
    return f"""## A chain of {plan.chain}
Each state is made from the one before and all are kept; {SMALL.title}, {plan.chains} chains.

{table(head, rows)}"""


def _branches(results: Results) -> str:
    rows = []
    for name in SUBJECTS:
        count = results.number("branch_count", BRANCHED.key, name)
        size = results.number("branch_bytes", BRANCHED.key, name)
        if count is None or size is None:
            continue
        private = results.number("branch_private_bytes", BRANCHED.key, name)
        sample = results.sample("branches", BRANCHED.key, name)
        rows.append([name, f"{count:,.0f}", ms(sample), mb(size), mb(private) if private is not None else "–"])
    if not rows:
        return ""
    head = ["", "branches", "time of each, ms", "memory of each, MB", "private, MB"]
    return f"""## Many branches of one base
`y = k` in the same base ({BRANCHED.title}) over and over without a pause; all branches are kept. Memory is the fall of the machine's MemAvailable, page tables and kernel memory included, over the number of branches; private is the sum over the state processes of what only they hold.

{table(head, rows)}"""


def _memory(results: Results) -> str:
    rows = []
    for kind in KINDS:
        size = results.number("state_bytes", kind.key)
        if size is None:
            continue
        private = results.number("state_private_bytes", kind.key)
        peer = results.number("state_bytes", kind.key, "snapshot-kernel")
        cells = [mb(value) if value is not None else "–" for value in (size, private, peer)]
        rows.append([kind.title, *cells])
    if not rows:
        return ""
    return f"""## Memory of one more state
A branch of the base in which `y = 0` ran, MB: the fall of MemAvailable over the {BRANCHES_OF_HOT} branches above.

{table(["state", "stillframe", "of which private", "snapshot-kernel"], rows)}"""


def _parallel(results: Results) -> str:
    rows = []
    for name in SUBJECTS:
        one, two = (results.median_s(key, "", name) for key in ("parallel_one", "parallel_two"))
        if one and two:
            rows.append([name, digits(one), digits(two), digits(two / one)])
    if not rows:
        return ""
    return f"""## Two branches that compute at once
Seconds until all answers are there, medians of 3. ipykernel runs one cell at a time.

{table(["", "one", "two at once", "ratio"], rows)}"""


def _start(results: Results) -> str:
    rows = [[name, ms(sample)] for name in SUBJECTS if (sample := results.sample("start", "", name))]
    if not rows:
        return ""
    return f"""## From start to first answer
From the start of the server's process until its first cell was answered, its files being in the page cache.

{table(["", "ms"], rows)}"""

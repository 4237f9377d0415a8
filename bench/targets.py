"""The targets that the kernel was built to, checked against what was measured. None is typed in by hand.

A target of latency is judged on the paced figures (the user thinks between two cells); the figure
without a pause stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.figures import digits, table
from bench.results import Results
from bench.states import BRANCHED, KINDS, SMALL

PEER = "snapshot-kernel"
TITLES = {kind.key: kind.title for kind in KINDS}


Figure = tuple[float, str] | None
"""A figure and where it was measured."""

Measured = Callable[[Results], Figure]


@dataclass(frozen=True)
class Check:
    """One target. `measured` gives the figure and where it was the worst, or None if it was not measured."""

    text: str
    limit: float
    is_ceiling: bool
    unit: str
    measured: Measured
    unpaced: Measured = lambda results: None

    def row(self, results: Results) -> list[str]:
        figure, other = self.measured(results), self.unpaced(results)
        target = f"{'≤' if self.is_ceiling else '≥'} {digits(self.limit)}{self.unit}"
        if figure is None:
            return [self.text, target, "not measured", "–", "–"]
        is_met = figure[0] <= self.limit if self.is_ceiling else figure[0] >= self.limit
        return [
            self.text,
            target,
            self._shown(figure),
            self._shown(other),
            "met" if is_met else "**not met**",
        ]

    def _shown(self, figure: Figure) -> str:
        if figure is None:
            return "–"
        return f"{digits(figure[0])}{self.unit}" + (f" ({figure[1]})" if figure[1] else "")


def ratios(results: Results, over: tuple[str, str], under: tuple[str, str]) -> dict[str, float]:
    """Median over median, by the title of each state for which both (measure, subject) were measured."""
    found = {}
    for kind in KINDS:
        high = results.median_s(over[0], kind.key, over[1])
        low = results.median_s(under[0], kind.key, under[1])
        if high is not None and low:
            found[kind.title] = high / low
    return found


def worst(found: dict[str, float]) -> Figure:
    """The largest ratio and the state that has it."""
    if not found:
        return None
    title = max(found, key=found.__getitem__)
    return found[title], title


def faster(measure: str, key: str) -> Measured:
    """How many times faster than snapshot-kernel at one state.

    Its best median counts, of all measures: to a copying kernel each state is as good as any other, and a
    machine that takes pages fresh from its hypervisor would flatter whoever does not copy.
    """

    def measured(results: Results) -> Figure:
        ours = results.median_s(measure, key)
        theirs = [results.median_s(name, key, PEER) for name in ("newest", "newest_unpaced", "older", "hot")]
        known = [median for median in theirs if median is not None]
        return (min(known) / ours, "") if ours and known else None

    return measured


def spread(measure: str) -> Measured:
    """The largest median over the smallest, over all states."""

    def measured(results: Results) -> Figure:
        medians = {k.title: m for k in KINDS if (m := results.median_s(measure, k.key)) is not None}
        if len(medians) < 2:
            return None
        high, low = max(medians, key=medians.__getitem__), min(medians, key=medians.__getitem__)
        return medians[high] / medians[low], f"{high} over {low}"

    return measured


def at(key: str, over: tuple[str, str], under: tuple[str, str]) -> Measured:
    """The ratio at one state."""

    def measured(results: Results) -> Figure:
        found = ratios(results, over, under).get(TITLES[key])
        return None if found is None else (found, "")

    return measured


def anywhere(over: tuple[str, str], under: tuple[str, str]) -> Measured:
    """The worst ratio over all states."""
    return lambda results: worst(ratios(results, over, under))


def slower_of_older(results: Results) -> Figure:
    """How much faster than snapshot-kernel at 100 MB, with a warmed spare and without: the smaller."""
    found = {}
    for measure, title in (("older", "recently used"), ("hot", "any other")):
        ratio = faster(measure, "array_100mb")(results)
        if ratio is None:
            return None
        found[title] = ratio[0]
    title = min(found, key=found.__getitem__)
    return found[title], title


def of_chain(results: Results) -> Figure:
    early, late = (results.median_s(name, SMALL.key) for name in ("chain_early", "chain_late"))
    return (late / early, "") if early and late else None


def of_pair(results: Results) -> Figure:
    one, two = results.median_s("parallel_one", ""), results.median_s("parallel_two", "")
    return (two / one, "") if one and two else None


def of_start(results: Results) -> Figure:
    seconds = results.median_s("start", "")
    return None if seconds is None else (seconds, "")


def of_branch(results: Results) -> Figure:
    size = results.number("branch_bytes", BRANCHED.key)
    count = results.number("branch_count", BRANCHED.key)
    return None if size is None or count is None else (size / 1e6, f"{count:,.0f} branches")


OURS, UNPACED = ("newest", "stillframe"), ("newest_unpaced", "stillframe")
CHECKS = [
    Check("newest state: largest median over smallest, all states", 1.3, True, "×",
          spread("newest"), spread("newest_unpaced")),
    Check("newest, empty state: over snapshot-kernel", 1.5, True, "×",
          at("empty", OURS, ("newest", PEER)), at("empty", UNPACED, ("newest_unpaced", PEER))),
    Check("newest, 100 MB array: faster than snapshot-kernel", 10, False, "×",
          faster("newest", "array_100mb"), faster("newest_unpaced", "array_100mb")),
    Check("newest, 1M small lists: faster than snapshot-kernel", 500, False, "×",
          faster("newest", "lists_1m"), faster("newest_unpaced", "lists_1m")),
    Check("newest: over ipykernel's round trip, worst state", 1, True, "×",
          anywhere(OURS, ("newest", "ipykernel")), anywhere(UNPACED, ("newest_unpaced", "ipykernel"))),
    Check("older, recently used: over newest, worst state", 1.5, True, "×",
          anywhere(("older", "stillframe"), OURS)),
    Check("any other hot state: over a bare fork, worst state", 4, True, "×",
          anywhere(("hot", "stillframe"), ("hot", "bare fork"))),
    Check("older or other, 100 MB array: faster than snapshot-kernel", 5, False, "×", slower_of_older),
    Check("chain: replies at its end over those at its start", 1.3, True, "×", of_chain),
    Check("branches of a 250 MB base: memory of each", 3, True, " MB", of_branch),
    Check("two CPU-bound branches at once: over one", 1.2, True, "×", of_pair),
    Check("from start to first answer", 0.8, True, " s", of_start),
]  # fmt: skip


def section(results: Results) -> str:
    """The targets as a table."""
    head = ["target", "limit", "measured", "without a pause", "verdict"]
    return table(head, [check.row(results) for check in CHECKS])


def unmet(results: Results) -> int:
    return sum("not met" in check.row(results)[-1] for check in CHECKS)

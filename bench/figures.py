"""Samples of times, and how they are written."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field


@dataclass
class Sample:
    """Times of one kind of request, in seconds."""

    seconds: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.seconds)

    @property
    def median_s(self) -> float:
        return statistics.median(self.seconds) if self.seconds else math.nan

    def percentile_s(self, percent: float) -> float:
        """By nearest rank: a time that was measured, never one between two."""
        if not self.seconds:
            return math.nan
        rank = math.ceil(percent / 100 * len(self.seconds))
        return sorted(self.seconds)[max(rank, 1) - 1]


def digits(value: float) -> str:
    """A figure with three digits that count."""
    if math.isnan(value):
        return "–"
    if value == 0:
        return "0"
    return f"{value:,.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def ms(sample: Sample | None) -> str:
    """Median and 99th percentile in milliseconds, and how many there were."""
    if not sample:
        return "–"
    return f"**{digits(sample.median_s * 1e3)}** ({digits(sample.percentile_s(99) * 1e3)}; {len(sample)})"


def mb(size_bytes: float) -> str:
    return digits(size_bytes / 1e6)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; all columns but the first are figures."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)

"""Taking turns: one request of each subject after the other, so that drift of the machine hits all alike.

Invariants:
  * The order rotates every round: no subject always follows the same one.
  * A slow subject takes part in evenly spread rounds, as many as its share of time allows, never in fewer
    than LEAST of them.
  * The first three requests of each subject are not counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.figures import Sample

LEAST = 5
UNCOUNTED = 3


@dataclass(frozen=True)
class Turn:
    """`ready(i)` makes room and is not timed; `go(i)` makes request i and returns its seconds."""

    ready: Callable[[int], None]
    go: Callable[[int], float]

    def take(self, i: int, pause_s: float) -> float:
        self.ready(i)
        time.sleep(pause_s)
        return self.go(i)


def alternate(turns: dict[str, Turn], rounds: int, pause_s: float, budget_s: float) -> dict[str, Sample]:
    """`rounds` requests of each, or as many as fit in `budget_s` per subject; `pause_s` before each."""
    counts: dict[str, int] = {}
    for name, turn in turns.items():
        seconds = min(turn.take(i, pause_s) for i in range(UNCOUNTED))
        counts[name] = min(rounds, max(LEAST, int(budget_s / (seconds + pause_s))))
    samples = {name: Sample() for name in turns}
    names = list(turns)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            if (number + 1) * counts[name] // rounds > number * counts[name] // rounds:
                taken = samples[name].seconds
                taken.append(turns[name].take(UNCOUNTED + len(taken), pause_s))
    return samples

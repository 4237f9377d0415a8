"""What stand-ins cost: `python -m bench.stand_ins [--write FILE]`, a table for docs/frames.md.

Each call is timed in this process with stand-ins and without, in turns; what counts is the least time of each, which
is the one that was disturbed least. `calls back` are calls that go to Python; `does not` are those that are looked at
and left to C.
"""

from __future__ import annotations

import argparse
import functools
import platform
import random
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stillframe import use_stand_ins

SIZE = 10_000
ROUNDS = 15
chance = random.Random(3)
numbers = [chance.randrange(SIZE) for _ in range(SIZE)]
floats = [chance.random() for _ in range(SIZE)]
words = [str(number) for number in numbers]
text = " ".join(words)


class Compared:
    """Has an order of its own."""

    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        self.value = value

    def __lt__(self, other: Compared) -> bool:
        return self.value < other.value


things = [Compared(number) for number in numbers]


def each(items: list[Any]) -> Any:
    """A generator, the least that a program does in one."""
    yield from items


CALLS_BACK: dict[str, Callable[[], Any]] = {
    "all(generator)": lambda: all(number >= 0 for number in numbers),
    "any(generator)": lambda: any(number < 0 for number in numbers),
    "dict(generator)": lambda: dict((number, number) for number in numbers),
    "frozenset(generator)": lambda: frozenset(each(numbers)),
    "functools.reduce(function, list)": lambda: functools.reduce(lambda a, b: a + b, numbers),
    "join(generator)": lambda: "".join(each(words)),
    "list(generator)": lambda: list(each(numbers)),
    "list(map(function, list))": lambda: list(map(lambda number: number + 1, numbers)),
    "max(generator)": lambda: max(each(numbers)),
    "max(list, key=function)": lambda: max(numbers, key=lambda number: -number),
    "min(objects)": lambda: min(things),
    "re.sub(pattern, function, text)": lambda: re.sub(r"\d+", lambda match: match[0], text),
    "set(generator)": lambda: set(each(numbers)),
    "sorted(list, key=function)": lambda: sorted(numbers, key=lambda number: -number),
    "sorted(objects)": lambda: sorted(things),
    "sum(generator of floats)": lambda: sum(each(floats)),
    "sum(generator of ints)": lambda: sum(each(numbers)),
    "tuple(generator)": lambda: tuple(each(numbers)),
}
DOES_NOT: dict[str, Callable[[], Any]] = {
    "list(a list of 10)": lambda: list(numbers[:10]),
    "sum(a list of 10)": lambda: sum(numbers[:10]),
    "max(1, 2)": lambda: max(1, 2),
    "sorted(a list)": lambda: sorted(numbers),
    "sorted(a list, key=len)": lambda: sorted(words, key=len),
    "sum(a list)": lambda: sum(numbers),
    "a list's join": lambda: "".join(words),
    "dict(zip(list, list))": lambda: dict(zip(words, numbers, strict=True)),
}


def times_s(call: Callable[[], Any]) -> tuple[float, float]:
    """The least time of the call without and with stand-ins."""
    began = time.perf_counter()
    call()
    number = max(1, int(0.002 / (time.perf_counter() - began)))
    least = [float("inf"), float("inf")]
    for turn in range(2 * ROUNDS):
        use_stand_ins(turn % 2 == 1)
        began = time.perf_counter()
        for _ in range(number):
            call()
        least[turn % 2] = min(least[turn % 2], (time.perf_counter() - began) / number)
    use_stand_ins(False)
    return least[0], least[1]


def table() -> str:
    """The page's table, as Markdown."""
    lines = ["| call | without, µs | with, µs | ratio |", "| --- | ---: | ---: | ---: |"]
    for title, calls in (("calls back", CALLS_BACK), ("does not", DOES_NOT)):
        lines.append(f"| *{title}* | | | |")
        for name, call in calls.items():
            without_s, with_s = times_s(call)
            lines.append(
                f"| `{name}` | {1e6 * without_s:.3g} | {1e6 * with_s:.3g} | {with_s / without_s:.2f}× |"
            )
    return "\n".join(lines)


def main() -> None:
    """Measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    page = f"CPython {platform.python_version()}, {SIZE:,} items where a call does not say otherwise.\n\n{table()}\n"
    if options.write is None:
        sys.stdout.write(page)
    else:
        options.write.write_text(page)


if __name__ == "__main__":
    main()

"""What a change of 1 % of many small objects writes: as a patch, as chunks by content, as a pickle per variable.

python -m bench.patches [COUNT]      one line per case; the figures of decision 0014
"""

from __future__ import annotations

import pickle
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from blake3 import blake3

from stillframe.store.snapshots import apply_patch, patch_of

AVERAGE_BITS, SMALLEST, LARGEST = 13, 2048, 65536
REACH = 32
"""Bytes that decide whether a chunk ends behind them."""


class Particle:
    """A small object."""

    def __init__(self, number: int) -> None:
        self.number, self.name, self.place = number, f"p{number}", (number * 0.5, number * 0.25)


def particles(count: int) -> list[Any]:
    return [Particle(number) for number in range(count)]


def rows(count: int) -> list[Any]:
    return [{"number": number, "name": str(number), "value": number * 0.1} for number in range(count)]


def change(objects: list[Any], how: str) -> None:
    """Change a hundredth of the objects: scattered, in a row, or scattered with a new one before each."""
    dice, count = random.Random(1), len(objects)
    in_a_row = range(count // 3, count // 3 + count // 100)
    chosen = in_a_row if how == "in a row" else sorted(dice.sample(range(count), count // 100), reverse=True)
    for at in chosen:
        found = objects[at]
        if isinstance(found, Particle):
            found.number, found.place = dice.random(), (dice.random(), found.place[1])  # type: ignore[assignment]
        else:
            found["value"], found["name"] = dice.random(), found["name"] + "x"
        if how == "inserted":
            objects.insert(at, Particle(7) if isinstance(found, Particle) else dict(found))


def chunks(data: bytes) -> list[bytes]:
    """The data, cut where its content says, into pieces of 8 KiB on average."""
    table = np.random.default_rng(0).integers(0, 2**64, 256, dtype=np.uint64)
    values = table[np.frombuffer(data, dtype=np.uint8)]
    sums = np.zeros(len(values), dtype=np.uint64)
    for back in range(REACH):
        sums[back:] += values[: len(values) - back] << np.uint64(back)
    mask = np.uint64(((1 << AVERAGE_BITS) - 1) << 18)
    pieces, last = [], 0
    for cut in [*np.flatnonzero((sums & mask) == 0).tolist(), len(data)]:
        while cut - last > LARGEST:
            pieces.append(data[last : last + LARGEST])
            last += LARGEST
        if cut - last >= SMALLEST or cut == len(data):
            pieces.append(data[last:cut])
            last = cut
    return pieces


def timed(act: Callable[[], bytes]) -> tuple[bytes, float]:
    began_s = time.perf_counter()
    result = act()
    return result, time.perf_counter() - began_s


def main(count: int) -> None:
    for make in (particles, rows):
        for how in ("scattered", "in a row", "inserted"):
            objects = make(count)
            before = pickle.dumps(objects, 5)
            change(objects, how)
            after = pickle.dumps(objects, 5)
            patch, made_s = timed(lambda before=before, after=after: patch_of(before, after))
            again, applied_s = timed(lambda b=before, p=patch, n=len(after): apply_patch(b, p, n))
            assert again == after
            known = {blake3(piece).digest() for piece in chunks(before)}
            new = sum(len(piece) for piece in chunks(after) if blake3(piece).digest() not in known)
            megabytes = len(after) / 1e6
            print(
                f"{make.__name__}, {how}: pickle {megabytes:.0f} MB; patch {len(patch) / len(after):.2%}, made at "
                f"{megabytes / made_s:.0f} MB/s, applied at {megabytes / applied_s:.0f}; chunks {new / len(after):.0%}"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)

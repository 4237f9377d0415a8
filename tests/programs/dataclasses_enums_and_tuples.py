"""With dataclasses, enums, flags and named tuples."""

import dataclasses
import enum
import os
from collections import namedtuple

import stillframe


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: list = dataclasses.field(default_factory=list)


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Flag(enum.Flag):
    A = 1
    B = 2


Pair = namedtuple("Pair", "left right")
held = [Point(1, [2]), Colour.RED, Flag.A | Flag.B, Pair(1, 2)]
stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
print(
    held[0] == Point(1, [2]), held[1] is Colour.RED, held[2] == Flag.A | Flag.B, held[3] == Pair(1, 2), held
)

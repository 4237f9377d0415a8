"""Not a number, infinities, the largest and smallest numbers, surrogates and bytes."""

import math
import os

import stillframe

nan = float("nan")
values = [
    nan,
    math.inf,
    -math.inf,
    5e-324,
    2**200,
    -(2**63),
    complex(-0.0, 1),
    "\ud800\U0001d11e\x00",
    b"\x00\xff",
]
stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
print([ascii(value) for value in values], values[0] != values[0])

"""In the middle of a condition with `and`, `or`, a chained comparison and a walrus."""

import os

import stillframe


def capture(value):
    stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
    return value


if 0 < (n := capture(5)) < 10 and not (n == 4) or n == 99:
    print("in between", n)

"""1,000 generators deep."""

import os
import sys

import stillframe

sys.setrecursionlimit(10_000)


def deep(n):
    if n == 0:
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        yield "bottom"
        return "value"
    return (yield from deep(n - 1))


g = deep(1000)
print(next(g))
try:
    next(g)
except StopIteration as stop:
    print(stop.value)

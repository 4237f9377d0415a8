"""In the callbacks of map, filter and zip's sources, all lazy, nested in each other."""

import os

import stillframe


def is_even(n):
    if n == 2:
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
    return n % 2 == 0


for pair in zip(map(str, filter(is_even, range(5))), "abc"):
    print(pair)

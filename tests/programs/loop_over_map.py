"""In the function of a map that a for loop goes over."""

import os

import stillframe


def double(n):
    if n == 2:
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
    return n * 2


for n in map(double, [1, 2, 3]):
    print(n)

"""In a generator expression."""

import os

import stillframe


def step(n):
    if n == 1:
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
    return n


base = 10
for n in (step(i) + base for i in range(3)):
    print(n)

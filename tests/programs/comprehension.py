"""In the middle of nested comprehensions of every kind."""

import os

import stillframe


def step(n):
    if n == 3:
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
    return n


print([[{step(i + j): {step(i * j)} for j in range(2)} for i in range(3)] for _ in range(1)])

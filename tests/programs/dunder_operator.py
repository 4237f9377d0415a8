"""In __add__, in the middle of an expression."""

import os

import stillframe


class Number:
    def __init__(self, n):
        self.n = n

    def __add__(self, other):
        if other.n == 2:
            stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        return Number(self.n + other.n)


print([0, (Number(1) + Number(2) + Number(3)).n, 4])

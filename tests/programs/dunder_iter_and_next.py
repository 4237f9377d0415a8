"""In the __next__ of an iterator written in Python, under a for loop and in an unpacking."""

import os

import stillframe


class Countdown:
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return self

    def __next__(self):
        if self.n == 2:
            stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        if not self.n:
            raise StopIteration
        self.n -= 1
        return self.n


for n in Countdown(4):
    print(n)

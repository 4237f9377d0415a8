"""Deep in functions, methods and properties that call each other."""

import os

import stillframe


class Walker:
    def __init__(self, n):
        self.n = n

    @property
    def next(self):
        return Walker(self.n - 1)

    def __len__(self):
        if self.n == 0:
            stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
            return 0
        return 1 + size(self.next)


def size(walker):
    return len(walker)


print("before")
print(size(Walker(30)))

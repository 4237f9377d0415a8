"""Objects of a type that has a reducer in copyreg."""

import copyreg
import os

import stillframe


class Odd:
    __slots__ = ("a", "b")

    def __init__(self, a, b):
        self.a, self.b = a, b


copyreg.pickle(Odd, lambda odd: (Odd, (odd.a, odd.b)))
odd = Odd([1], 2)
stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
print(type(odd).__name__, odd.a, odd.b)

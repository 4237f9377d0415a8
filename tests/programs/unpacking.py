"""In the iterator that an unpacking assignment has asked for its items."""

import os

import stillframe


class Pair:
    def __iter__(self):
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        return iter((1, [2, 3]))


(a, [b, *c]), d = Pair(), "d"
print(a, b, c, d)

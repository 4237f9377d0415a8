"""In __eq__, called by ==, after __hash__ was used by a dictionary."""

import os

import stillframe


class Key:
    def __init__(self, n):
        self.n = n

    def __hash__(self):
        return self.n

    def __eq__(self, other):
        return self.n == other.n


class Loud(Key):
    __hash__ = Key.__hash__

    def __eq__(self, other):
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        return super().__eq__(other)


table = {Key(1): "one", Key(2): "two"}
print(Loud(1) == Key(1), table[Key(2)])

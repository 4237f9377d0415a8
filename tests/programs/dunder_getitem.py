"""In __getitem__, __setitem__ and __contains__ of one expression."""

import os

import stillframe


class Table(dict):
    def __getitem__(self, key):
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        return super().__getitem__(key)

    def __setitem__(self, key, value):
        print("storing", key, value)
        super().__setitem__(key, value)


table = Table(a=1)
table["a"] += 10
print(dict(table))

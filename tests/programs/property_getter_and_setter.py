"""In a property's setter, called in the middle of an expression of its getter."""

import os

import stillframe


class Thing:
    _size = 1

    @property
    def size(self):
        return self._size

    @size.setter
    def size(self, value):
        print("before")
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        self._size = value


thing = Thing()
thing.size += 4
print(thing.size)

"""In a __new__, after which __init__ is still to be called."""

import os

import stillframe


class Thing:
    def __new__(cls, value):
        self = super().__new__(cls)
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        self.first = value
        return self

    def __init__(self, value):
        self.second = [value]


thing = Thing(5)
print(thing.first, thing.second)

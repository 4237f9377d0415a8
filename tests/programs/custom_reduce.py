"""Objects that say with __reduce__ how they are captured."""

import os

import stillframe


class Counted:
    made = 0

    def __init__(self, name):
        Counted.made += 1
        self.name = name
        self.cache = [name] * 3

    def __reduce__(self):
        return Counted, (self.name,)


thing = Counted("n")
thing.cache = "not captured"
stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
print(thing.name, isinstance(thing, Counted))

"""In an __init__ that was called from the __init__ of a subclass."""

import os

import stillframe


class Base:
    def __init__(self, a):
        self.a = a
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        self.b = a + 1


class Thing(Base):
    def __init__(self):
        super().__init__(1)
        self.c = self.b + 1


print(sorted(vars(Thing()).items()))

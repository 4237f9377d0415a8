"""With objects that have a finalizer: it runs once for each, when it goes."""

import os

import stillframe


class Finalized:
    def __init__(self, name):
        self.name = name

    def __del__(self):
        print("gone", self.name)


first, second = Finalized("first"), Finalized("second")
del first
stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
print("alive")
del second
print("end")

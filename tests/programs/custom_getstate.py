"""Objects that say with __getstate__ and __setstate__ what of them is captured."""

import os

import stillframe


class Connected:
    def __init__(self, address):
        self.address = address
        self.handle = ["open", address]

    def __getstate__(self):
        return {"address": self.address}

    def __setstate__(self, state):
        self.address = state["address"]
        self.handle = ["open", self.address]


one = Connected("a")
both = [one, one]
stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
print(one.address, one.handle, both[0] is both[1] is one)

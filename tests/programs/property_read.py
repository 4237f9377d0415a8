"""In a property's getter."""

import os

import stillframe


class Thing:
    @property
    def size(self):
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        return 5


print([1, Thing().size + 1, 3])

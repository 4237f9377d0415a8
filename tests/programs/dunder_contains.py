"""In __contains__, for `not in`."""

import os

import stillframe


class Everything:
    def __contains__(self, item):
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        return item == 1


print("before")
print([2 not in Everything()])

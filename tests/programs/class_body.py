"""In the body of a class."""

import os

import stillframe


class Thing:
    first = 1
    stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
    second = first + 1

    def method(self):
        return self.first, self.second, __class__.__name__


print(Thing().method())

"""In __radd__, after the left operand has declined."""

import os

import stillframe


class Left:
    def __add__(self, other):
        return NotImplemented


class Right:
    def __radd__(self, other):
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        return type(other).__name__, "reflected"


print("before", Left() + Right())

"""In the guard and in the property that a match statement asks for."""

import os

import stillframe


class Point:
    __match_args__ = ("x", "y")

    def __init__(self, x, y):
        self.x, self.y = x, y


def guard(x):
    stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
    return x > 0


def kind(point):
    match point:
        case Point(0, y):
            return "on the axis", y
        case Point(x, y) if guard(x):
            return "right", x, y
        case _:
            return "left"


print("before")
print(kind(Point(1, 2)))

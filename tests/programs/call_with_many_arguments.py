"""In an argument of a call: what was computed before it is on the stack, what comes after is still to come."""

import os

import stillframe


def function(*args, **kwargs):
    return args, kwargs


def capture(value):
    stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
    return value


def late(value):
    print("late", value)
    return value


print(function(late(1), 2.0, *[3, "4"], capture(True), *late([6]), k=late(7), **late({"l": 8})))

"""The names of the calling functions are what they were."""

import os
import sys

import stillframe


def names():
    frame, found = sys._getframe(), []
    while frame.f_code.co_name != "<module>":
        found.append(frame.f_code.co_name)
        frame = frame.f_back
    return found


def inner():
    stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
    return names()


def outer():
    return [inner() for _ in range(1)][0][:2]


print("before")
print(outer())

"""A generator that list() goes over: what list() has so far is in native code."""

# refused: list

import os

import stillframe
import stillframe.errors


def numbers():
    yield 1
    try:
        stillframe.snapshot(os.environ["SNAPSHOT"])
    except stillframe.errors.NativeCallInTheWay as error:
        print("refused:", error)
    yield 2


print(list(numbers()))
print("goes on")

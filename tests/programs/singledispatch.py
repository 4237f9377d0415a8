"""In a function chosen by the type of its argument."""

import functools
import os

import stillframe


@functools.singledispatch
def describe(value):
    return "something"


@describe.register
def _(value: int):
    stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
    return f"the number {value}"


print("before")
print(describe("x"), describe(5), describe(6.0))

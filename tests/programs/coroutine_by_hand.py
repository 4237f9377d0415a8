"""In a coroutine that is driven by hand."""

import os
import types

import stillframe


@types.coroutine
def pause(value):
    return (yield value)


async def inner():
    got = await pause("first")
    stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
    return [got, await pause("second")]


async def outer():
    return {"inner": await inner()}


c = outer()
print(c.send(None))
print(c.send("one"))
try:
    c.send("two")
except StopIteration as stop:
    print(stop.value)

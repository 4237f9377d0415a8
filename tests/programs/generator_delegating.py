"""In the innermost of generators that delegate; its value comes up through all of them."""

import os

import stillframe


def bottom():
    got = yield "bottom"
    stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
    return [got]


def middle():
    return ["middle", *(yield from bottom())]


def top():
    return ["top", *(yield from middle())]


g = top()
print(next(g))
try:
    g.send("sent")
except StopIteration as stop:
    print(stop.value)

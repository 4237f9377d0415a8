"""In the handler of an exception that was thrown into a generator."""

import os

import stillframe


def catching():
    try:
        yield "ready"
    except ValueError as error:
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        yield f"caught {error}"


g = catching()
print(next(g))
print(g.throw(ValueError("thrown")))
print(next(g, "end"))

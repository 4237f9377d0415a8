"""sys.exc_info() is what it was, here and in the callers, also between a generator and its user."""

import os
import sys

import stillframe


def generator():
    try:
        raise KeyError("in the generator")
    except KeyError:
        yield repr(sys.exc_info()[1])
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        yield repr(sys.exc_info()[1])
    yield repr(sys.exc_info()[1])


try:
    raise ValueError("outside")
except ValueError:
    for seen in generator():
        print(seen, repr(sys.exc_info()[1]))
print(sys.exc_info())

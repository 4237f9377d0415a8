"""In the middle of an f-string with specs that are computed."""

import os

import stillframe


def capture(value):
    stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
    return value


print(f"{1:>3}|{'a':{capture(5)}}|{2.5:.3f}|{'end'!r}")

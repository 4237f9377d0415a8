"""In the condition of an assert, before names are deleted."""

import os

import stillframe


def capture(value):
    stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
    return value


def main():
    a, b = [1], [2]
    del a
    assert capture(b) == [2], "never"
    try:
        return a
    except UnboundLocalError:
        return "a is gone", b


print(main())

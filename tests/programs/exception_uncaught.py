"""An exception that nobody catches: the traceback and the exit code are as they would have been."""

# not at a prompt: it goes on after an exception

import os

import stillframe


def inner(n):
    stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
    return 1 / n


def outer():
    try:
        return [inner(0)]
    finally:
        print("finally")


print("before")
outer()

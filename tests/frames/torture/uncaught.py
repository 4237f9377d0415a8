"""A program that ends with an uncaught exception: its traceback goes to stderr, and the exit code is 1."""

import sys

from snap import snap


class Cleanup:
    def __enter__(self):
        return self

    def __exit__(self, *details):
        print("leaving", details[0].__name__, snap("exit"))


def generator():
    try:
        yield snap(1)
        yield snap(2)
    finally:
        print("generator finished")


def inner(n):
    try:
        with Cleanup():
            return snap(n) / 0
    except ZeroDivisionError as error:
        raise KeyError(snap("translated")) from error
    finally:
        print("finally", snap("f"))


def outer():
    for number in generator():
        print("number", number)
        if number == 2:
            inner(number)


def hook(kind, error, traceback):
    print("hook", kind.__name__, snap(str(error)))
    sys.__excepthook__(kind, error, traceback)


if snap(True):
    sys.excepthook = hook
outer()

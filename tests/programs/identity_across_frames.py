"""One list held by three frames, a closure, a global variable and a default argument."""

import os

import stillframe

shared = [1]


def outer(held):
    return middle({"k": held}, lambda: held)


def middle(box, get, default=shared):
    def inner(argument):
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        argument.append(2)
        return [argument is box["k"], argument is get(), argument is default, argument is shared]

    return inner(box["k"])


print(outer(shared), shared)

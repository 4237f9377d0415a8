"""In a function that changes a variable of the function around it."""

import os

import stillframe


def outer():
    count = 0

    def inner():
        nonlocal count
        count += 1
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        count += 10

    inner()
    return count


print(outer())

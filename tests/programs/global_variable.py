"""In a function that changes a global variable before and after."""

import os

import stillframe

count = 0


def increment():
    global count
    count += 1
    stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
    count += 10


increment()
print(count, globals()["count"])

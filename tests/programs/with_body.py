"""In the body of a with statement."""

import os

import stillframe


class Manager:
    def __enter__(self):
        print("enter")
        return self

    def __exit__(self, *details):
        print("exit", details)


with Manager() as manager:
    print("before")
    stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
    print("after", isinstance(manager, Manager))
print("end")

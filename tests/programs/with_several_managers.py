"""In the body of a with statement with three managers, which then fails."""

import os

import stillframe


class Manager:
    def __init__(self, name):
        self.name = name

    def __enter__(self):
        print("enter", self.name)
        return self.name

    def __exit__(self, kind, error, traceback):
        print("exit", self.name, repr(error))
        return self.name == "a"


with Manager("a") as a, Manager("b") as b, Manager("c") as c:
    stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
    print(a, b, c)
    raise ValueError("in the body")
print("end")

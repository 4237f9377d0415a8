"""In __setattr__, called by an assignment to several targets."""

import os

import stillframe


class Watched:
    def __setattr__(self, name, value):
        if name == "b":
            stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        super().__setattr__(name, [value])


w = Watched()
w.a = w.b = w.c = 1
print(vars(w))

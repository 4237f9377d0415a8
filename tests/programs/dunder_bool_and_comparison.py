"""In __bool__ and __lt__, whose results decide a branch."""

import os

import stillframe


class Answer:
    def __init__(self, truth):
        self.truth = truth

    def __bool__(self):
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        return self.truth


class Compared:
    def __lt__(self, other):
        return Answer(False)


print("before")
if Compared() < 1:
    print("never")
else:
    print("not less")

"""In the middle of an unpacking assignment: one target is stored, the next is being stored, others are to come."""

import os

import stillframe


class Box(dict):
    def __setitem__(self, key, value):
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        super().__setitem__(key, value)


box = Box()
(a, box["k"], [b, *c]), d = (1, "stored", [2, 3, 4]), "d"
print(a, box, b, c, d)

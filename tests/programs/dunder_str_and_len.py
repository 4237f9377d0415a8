"""In __str__ and __len__, called by builtin functions."""

import os

import stillframe


class Thing:
    def __len__(self):
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        return 3

    def __str__(self):
        return f"thing of {len(self)}"


print("before")
print(str(Thing()))

"""In __getattr__ and __getattribute__."""

import os

import stillframe


class Dynamic:
    def __getattr__(self, name):
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        return f"<{name}>"


print("before")
print([1, Dynamic().anything.upper()])

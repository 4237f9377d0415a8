"""In __call__, with arguments of every kind."""

import os

import stillframe


class Function:
    def __call__(self, *args, **kwargs):
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        return args, kwargs


print("before")
print([0, Function()(1, *[2, 3], k=4, **{"l": 5})])

"""In a cached property, whose value is computed once."""

import functools
import os

import stillframe


class Lazy:
    @functools.cached_property
    def value(self):
        print("computing")
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        return [1]


lazy = Lazy()
print(lazy.value is lazy.value)

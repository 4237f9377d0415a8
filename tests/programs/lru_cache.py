"""In a function with a cache: what it computes is stored after resuming, and what was stored is there."""

import functools
import os

import stillframe


@functools.lru_cache(maxsize=10)
def square(n):
    print("computing", n)
    if n == 2:
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
    return n * n


print(square(1), square(2), square(1), square(2))
print(square.cache_info())

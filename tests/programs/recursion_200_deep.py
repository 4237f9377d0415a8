"""200 calls deep, with a handler on every level."""

import os

import stillframe


def down(n):
    if n == 0:
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        return []
    try:
        return [*down(n - 1), n]
    finally:
        if n % 50 == 0:
            print("leaving", n)


print("before")
print(sum(down(200)))

"""Captured twice in one function: the second time in the resumed program."""

# snapshots: 2

import os

import stillframe


def main():
    items = []
    for turn in range(2):
        items.append(turn)
        path = os.environ["SNAPSHOT"] + str(turn)
        stillframe.snapshot(path) or os._exit(0)
    return items


print("before")
print(main())

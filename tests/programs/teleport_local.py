"""Goes on in a new Python here; standard output and the exit code are passed through."""

# teleports

import os

import stillframe


def main(items):
    print("before", items)
    here = os.getpid()
    stillframe.teleport("local")
    items.append(os.getpid() != here or "the same process")
    return items


print("after", main([1]))

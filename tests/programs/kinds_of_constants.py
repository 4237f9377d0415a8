"""1, 1.0, True, 0, 0.0, -0.0, False, 1j keep their kinds: as constants, on the stack and in variables."""

import os

import stillframe


def kinds(*values):
    return [(type(value).__name__, repr(value)) for value in values]


def capture():
    stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
    return 1


def main():
    one, point, true, minus = 1, 1.0, True, -0.0
    print(kinds(1, 1.0, True, capture(), 0, 0.0, -0.0, False, 1j, -0j, (1, 1.0, True), (0.0, -0.0)))
    return kinds(one, point, true, minus, 1.0, True, 1, 0.0, -0.0)


print(main())

"""A program that is within some builtin function's call all the time: `within_builtins.py STEPS [FOLDER]`.

In the midst of each of its six calls it goes on when there is a file in FOLDER named by its number.
"""

import functools
import os
import sys


class Version:
    """Compared by a method of its own, and slowly."""

    def __init__(self, number):
        self.number = number

    def __lt__(self, other):
        wait("3")
        return digest(self.number, 3) % 101 < digest(other.number, 3) % 101


def wait(number):
    while len(sys.argv) > 2 and not os.path.exists(os.path.join(sys.argv[2], number)):
        digest(1, 50)


def digest(number, rounds):
    for _ in range(rounds):
        number = (number * 31 + 7) % 1_000_003
    return number


def numbers(count, call=None):
    for number in range(count):
        if call and number == count // 2:
            wait(call)
        yield digest(number, 50)


def waiting(call):
    def key(number):
        wait(call)
        return digest(number, 30)

    return key


def main(steps):
    print("begin")
    total = sum(digest(number, 20) for number in numbers(steps, "0"))
    total += len(list(map(lambda number: digest(number, 30), numbers(steps, "1"))))
    total += functools.reduce(lambda a, b: digest(a + b, 20), numbers(steps, "2"))
    versions = sorted(map(Version, numbers(steps)))
    first = min(sorted(numbers(steps), key=waiting("4")), key=waiting("5"))
    print(total, first, [version.number for version in versions[:5]], versions[-1].number)


# The whole program is one call of a builtin function.
list(map(main, [int(sys.argv[1])]))

"""A program that is within some builtin function's call all the time: `within_builtins.py STEPS`."""

import functools
import sys


class Version:
    """Compared by a method of its own, and slowly."""

    def __init__(self, number):
        self.number = number

    def __lt__(self, other):
        return digest(self.number, 3) % 101 < digest(other.number, 3) % 101


def digest(number, rounds):
    for _ in range(rounds):
        number = (number * 31 + 7) % 1_000_003
    return number


def numbers(count):
    for number in range(count):
        yield digest(number, 50)


def main(steps):
    print("begin")
    total = sum(digest(number, 20) for number in numbers(steps))
    total += len(list(map(lambda number: digest(number, 30), numbers(steps))))
    total += functools.reduce(lambda a, b: digest(a + b, 20), numbers(steps))
    versions = sorted(map(Version, numbers(steps)))
    first = min(
        sorted(numbers(steps), key=lambda number: digest(number, 30)), key=lambda number: digest(number, 30)
    )
    print(total, first, [version.number for version in versions[:5]], versions[-1].number)


# The whole program is one call of a builtin function.
list(map(main, [int(sys.argv[1])]))

"""A computation in one thread, with objects, generators, exceptions and a random number in each step."""

import random

STEPS = 60_000


class Walker:
    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.place = 0

    def steps(self):
        while True:
            try:
                if self.place % 7 == 3:
                    raise ValueError(self.place)
                yield self.chance.randrange(1000) + sum(n * n for n in range(20))
            except ValueError as error:
                yield error.args[0] % 1000


def walk(count):
    walker = Walker(7)
    for number, step in zip(range(count), walker.steps(), strict=False):
        walker.place = (walker.place * 31 + step + random.randrange(10)) % 1_000_003
        if number % 10_000 == 0:
            print(number, walker.place)
    return walker.place


random.seed(5)
print("end", walk(STEPS))

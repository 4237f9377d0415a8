"""A computation in one thread, with objects, generators, exceptions and a random number in each step.

`steps.py [FILE]`: until FILE is there it takes its time, and does not end, but has the same result. How far it has
come is the time of FILE.alive, to a millisecond or two. Where it finds itself in another process, it says at what time
it has been captured.
"""

import os
import random
import sys
import time

STEPS = 60_000
hurry = sys.argv[1] if len(sys.argv) > 1 else __file__
last = {"process": os.getpid(), "time": time.time()}


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


def look():
    # It may be captured in the midst of this.
    now, here = time.time(), os.getpid()
    if here != last["process"]:
        print("captured at", last["time"], file=sys.stderr)
    last.update(process=here, time=now)


def take_time(milliseconds):
    for _ in range(milliseconds):
        look()
        os.utime(f"{hurry}.alive")
        end = time.monotonic() + 0.001
        while time.monotonic() < end:
            sum(n * n for n in range(20))


def walk(count):
    walker = Walker(7)
    for number, step in zip(range(count), walker.steps(), strict=False):
        walker.place = (walker.place * 31 + step + random.randrange(10)) % 1_000_003
        if number % 10_000 == 0:
            print(number, walker.place)
        while number % 100 == 0 and not os.path.exists(hurry):
            take_time(5)
            if number < STEPS - 100:
                break
        look()
    return walker.place


random.seed(5)
print("end", walk(STEPS))

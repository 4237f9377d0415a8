"""With suspended generators, one of them in a try clause."""

import os

import stillframe


def numbers(n):
    try:
        while True:
            n += (yield n) or 1
    finally:
        print("closed at", n)


one, two = numbers(1), numbers(10)
print(next(one), next(two), two.send(5))
stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
print(next(one), next(two), one.send(100))
one.close()
two.close()

"""With an exhausted generator, one that was never started, and one that was closed."""

import inspect
import os

import stillframe


def one():
    yield 1


exhausted, unstarted, closed = one(), one(), one()
print(list(exhausted))
closed.close()
stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
print([inspect.getgeneratorstate(g) for g in (exhausted, unstarted, closed)])
print(list(exhausted), list(unstarted), list(closed))

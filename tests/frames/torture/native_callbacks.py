"""Native functions that call back with their state in C; here a capture may be refused, naming the function."""

import functools
import re

from snap import snap

events = []


def key(x):
    return snap(-x) if x == 2 else -x


events.append(sorted([1, 2, 3], key=key))
items = [3, 1, 2]
items.sort(key=key)
events.append(items)
events.append(max([1, 2, 3], key=key))
events.append(sum(snap(x) if x == 1 else x for x in range(3)))
events.append(any(snap(x) > 0 for x in [1]))
events.append(list(snap(x) for x in [1]))
events.append(functools.reduce(lambda a, b: snap(a + b), [1, 2]))
events.append(re.sub("b", lambda match: snap(match[0].upper()), "abc"))


class Compared:
    def __init__(self, value):
        self.value = value

    def __lt__(self, other):
        return snap(self.value < other.value)


events.append([c.value for c in sorted([Compared(2), Compared(1)])])
events.append("-".join(snap(x) for x in "a"))
events.append(dict((snap(k), 1) for k in "a"))

print("\n".join(map(repr, events)))

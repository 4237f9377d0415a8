"""Builtin functions that call back, while stand-ins written in Python do what they do: captured within all of them."""

import functools
import os
import re
import sys

from snap import snap

if os.environ.get("SNAP_AT"):
    # The undisturbed run is C's: what it prints must be what the stand-ins make of it.
    import stillframe

    stillframe.use_stand_ins()

events = []


def numbers(n):
    for i in range(n):
        yield snap(i)


def key(x):
    return snap(-x)


class Source:
    """An iterator that knows its length."""

    def __init__(self, *items):
        self.items = list(items)

    def __iter__(self):
        return snap(self)

    def __length_hint__(self):
        return snap(len(self.items))

    def __next__(self):
        if not self.items:
            raise StopIteration
        return snap(self.items.pop(0))


class Compared:
    def __init__(self, value):
        self.value = value

    def __repr__(self):
        return f"<{self.value}>"

    def __lt__(self, other):
        return snap(self.value < other.value)

    def __gt__(self, other):
        return snap(self.value > other.value)

    def __eq__(self, other):
        return snap(self.value == other.value)

    def __add__(self, other):
        return snap(Compared(self.value + other.value))

    def __bool__(self):
        return snap(self.value > 2)


class Unsure(Compared):
    """Leaves the answer to the other one."""

    def __lt__(self, other):
        return snap(NotImplemented)


class Mapped:
    def keys(self):
        return numbers(2)

    def __getitem__(self, key):
        return snap(key * 2)


def compared(*values):
    return [Compared(value) for value in values]


# What collects.
events.append(list(numbers(2)))
events.append(tuple(numbers(2)))
events.append(set(numbers(2)))
events.append(frozenset(numbers(2)))
events.append(list(Source(1, 2)))
events.append(tuple(map(key, [1, 2])))
events.append(list(map(key, numbers(1))))
events.append(dict((snap(k), 1) for k in "ab"))
events.append(dict(Mapped(), more=3))
events.append("-".join(snap(x) for x in "abc"))
items = [0]
items.extend(numbers(2))
chosen = {0}
chosen.update([5], numbers(2), Source(7))
options = {}
options.update(((x, snap(x)) for x in "ab"), last=1)
events.append((items, chosen, options))

# What looks for one.
events.append((max(numbers(3)), min(numbers(3)), max([1, 2], key=key), min(1, 2, 3, key=key)))
events.append(max((x for x in ()), default=snap("nothing")))
events.append(max(compared(1, 3, 2)))
events.append((any(snap(x) for x in [0, 1, 2]), all(snap(x) for x in [1, 0])))
events.append((any(compared(1, 3, 4)), all(compared(3, 2))))

# What adds up.
events.append((sum(numbers(3)), sum((snap(x / 3) for x in range(4)), 0.1), sum([[snap(1)], [2]], [])))
events.append(sum(compared(1, 2, 3), Compared(0)))
events.append(functools.reduce(lambda a, b: snap(a + b), [1, 2, 3]))
events.append(functools.reduce(lambda a, b: a * b, numbers(3), 5))
events.append(functools.reduce(lambda a, b: snap(a + b), Source("a", "b")))

# What sorts.
events.append(sorted([3, 1, 2], key=key))
events.append(sorted(numbers(3), key=key, reverse=True))
items = compared(3, 1, 2, 5, 4)
items.sort()
events.append(items)
events.append(sorted([(1, Compared(2)), (1, Compared(1)), (0, Compared(5))]))
events.append(sorted([Unsure(2), Unsure(1)], reverse=True))
twice = sorted([2, 1], key=lambda x: max([1, 2], key=lambda y: snap(x * y)))
events.append(twice)

# What replaces.
events.append(re.sub("[bd]", lambda match: snap(match[0].upper()), "abcd"))
events.append(re.compile("b*").subn(lambda match: snap(f"<{match.start()}>"), "abbc", 2))

# What fails, in the middle.


def failing(x):
    snap(x)
    return 1 // (2 - x)


for attempt in (
    lambda: sorted([1, 2, 3], key=failing),
    lambda: list(map(failing, [1, 2])),
    lambda: sum(failing(x) for x in [1, 2]),
    lambda: max([3, 1, 2], key=failing),
):
    try:
        attempt()
    except ZeroDivisionError as error:
        traceback, lines = error.__traceback__, []
        while traceback:
            lines.append((traceback.tb_frame.f_code.co_name, traceback.tb_lineno))
            traceback = traceback.tb_next
        events.append((snap(str(error)), lines))
events.append(sorted([1, 2], key=lambda x: snap(sys._getframe(1).f_code.co_name)))
items = [3, 1, 2]
try:
    items.sort(key=lambda x: snap(items.append(x) or x))
except ValueError as error:
    events.append((str(error), items))
events.append([sorted(row, key=key) for row in ([1, 2], [2, 1])])
partial = functools.partial(sorted, key=key)
events.append(list(map(partial, [[1, 2], numbers(2)])))

print("\n".join(map(repr, events)))

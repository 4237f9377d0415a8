"""Native lazy iterators over Python code: map, filter, zip, enumerate and itertools that call back."""

import itertools

from snap import snap

events = []


class Source:
    """An iterator written in Python."""

    def __init__(self, *items):
        self.items = list(items)

    def __iter__(self):
        return self

    def __next__(self):
        if not self.items:
            raise StopIteration
        return snap(self.items.pop(0))


def generate(n):
    for i in range(n):
        yield snap(i)


def double(x):
    return snap(x * 2)


def is_odd(x):
    return snap(x % 2)


for x in map(double, [1, 2]):
    events.append(x)
for x in map(double, generate(2)):
    events.append(x)
for x in map(lambda a, b: snap((a, b)), "ab", Source(1, 2)):
    events.append(x)
for x in filter(is_odd, [1, 2, 3]):
    events.append(x)
for x in filter(None, Source(0, 1)):
    events.append(x)
for pair in zip(generate(2), Source("a", "b")):
    events.append(pair)
for pair in enumerate(generate(2), 5):
    events.append(pair)
for x in iter(lambda: snap(len(events)), 17):
    events.append(("until 17", x))
    if len(events) > 30:
        break
for x in itertools.takewhile(lambda n: snap(n) < 2, [0, 1, 2, 3]):
    events.append(x)
for x in itertools.chain(generate(1), Source("s")):
    events.append(x)
for x in itertools.islice(generate(5), 2):
    events.append(x)
for x in itertools.starmap(double, [(1,), (2,)]):
    events.append(x)
for x in itertools.accumulate([1, 2, 3], lambda a, b: snap(a + b)):
    events.append(x)
for x in reversed(type("R", (), {"__len__": lambda s: 2, "__getitem__": lambda s, i: snap(i)})()):
    events.append(x)
m = map(double, generate(2))
events.append([next(m), next(m), next(m, "end")])
g = (x for x in map(double, [1]))
events.append(next(g))
for key, group in itertools.groupby([1, 1, 2], key=double):
    events.append((key, [item for item in group]))
unpacked = [*map(str, [1, 2])]
nested = map(double, map(double, [1]))
events.append([x for x in nested])

print("\n".join(map(repr, events)))

"""Comprehensions of every kind, nested, with conditions, walrus, closures, over iterators written in Python."""

from snap import snap

events = []


class Countdown:
    def __init__(self, start):
        self.left = start

    def __iter__(self):
        return self

    def __next__(self):
        if self.left == 0:
            snap("exhausted")
            raise StopIteration
        self.left -= 1
        return snap(self.left)


def numbers():
    yield snap(1)
    yield snap(2)


events.append([snap(i) for i in range(2)])
events.append([snap((i, j)) for i in range(2) for j in "ab" if snap(i)])
events.append([[snap(i * j) for j in range(2)] for i in range(2)])
events.append({snap(i): snap(-i) for i in range(2)})
events.append(sorted({snap(i % 2) for i in range(3)}))
events.append([i for i in Countdown(2)])
events.append([i for i in numbers() if snap(i) > 1])
events.append({i: [j for j in numbers()] for i in Countdown(1)})
events.append([x for x in snap([1, 2, 3]) if x != 2])
events.append([y for x in [1, 2] if (y := snap(x * 2)) > 2])
events.append(y)
total = 0
events.append([total := total + snap(v) for v in [1, 2]])
events.append([(lambda: snap(i))() for i in range(2)])
late = [lambda: snap(i) for i in range(2)]
events.append([function() for function in late])


def in_function(n):
    outer = [n]
    inner = [snap(outer + [i]) for i in range(n)]
    nested = [[snap(i + j + n) for j in range(1)] for i in range(2)]
    gen = (snap(outer[0] + i) for i in range(2))
    outer = [10]
    return inner, nested, [item for item in gen], {i: snap(outer) for i in range(1)}


events.append(in_function(2))


class Body:
    items = [1, 2]
    doubled = [snap(i * 2) for i in items]
    keyed = {i: snap(i) for i in items}
    lazy = (snap(i) for i in items)


events.append((Body.doubled, Body.keyed, next(Body.lazy), next(Body.lazy)))
generator = (snap((i, j)) for i in numbers() for j in Countdown(i))
events.append(next(generator))
events.append([item for item in generator])
events.append(next(generator, "exhausted"))


def failing():
    try:
        return [1 // snap(i) for i in (1, 0, 2)]
    except ZeroDivisionError as error:
        return str(error)


events.append(failing())
events.append([i for i in [snap(1), snap(2), snap(3)] if snap(i) if i > 1 if not i == snap(3)])
i = "untouched"
events.append([i for i in range(1)] and i)
events.append([[k for k in Countdown(2)] for _ in [0] if [snap(k) for k in range(1)]])
events.append([*(snap(i) for i in [1])] if False else [v for v in (snap(i) for i in [1, 2])])
events.append([a + b for a, b in {snap("k"): snap("v")}.items()])
events.append([x for (x, *_) in [snap([1, 2]), snap((3, 4))]])
matrix = [[1, 2], [3, 4]]
events.append([[snap(row[i]) for row in matrix] for i in range(2)])
events.append([f"{snap(k)}={snap(v)}" for k, v in dict(a=1).items()])
events.append([v if snap(v) else "none" for v in (0, 1)])
events.append([locals_ for locals_ in [sorted(k for k in {"a": snap(1)})]])


def yielding_comprehension_values():
    for value in [snap(i) for i in range(2)]:
        yield {snap(value): [snap(value) for _ in range(1)]}


events.append([item for item in yielding_comprehension_values()])


def shadow(x):
    y = [x for x in [snap(1)]]
    return x, y, [z := snap(5) for _ in [0]], z


events.append(shadow("kept"))


def closures():
    cell = "before"
    get = [lambda: (cell, i) for i in [snap(1), snap(2)]]
    cell = "after"
    return [g() for g in get]


events.append(closures())

print("\n".join(map(repr, events)))

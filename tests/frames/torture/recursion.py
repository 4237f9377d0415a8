"""Recursion: 200 deep, mutual, through dunders, generators, classes, eval, with handlers on every level."""

import sys

from snap import snap

events = []


def down(n, path=()):
    if n == 0:
        return snap(len(path))
    return down(n - 1, (*path, n)) + 1


events.append(down(200))


def hanoi(n, a, b, c, moves):
    if n:
        hanoi(n - 1, a, c, b, moves)
        moves.append((snap(a) if n == 3 else a, c))
        hanoi(n - 1, b, a, c, moves)
    return moves


events.append(len(hanoi(4, "a", "b", "c", [])))


def ackermann(m, n):
    if m == 0:
        return n + 1
    if n == 0:
        return ackermann(m - 1, 1)
    if (m, n) == (2, 2):
        snap((m, n))
    return ackermann(m - 1, ackermann(m, n - 1))


events.append(ackermann(2, 3))


class Node:
    def __init__(self, depth):
        self.child = Node(depth - 1) if depth else snap(None)

    def __len__(self):
        return snap(0) if self.child is None else 1 + len(self.child)

    def __repr__(self):
        return f"({self.child!r})" if self.child else snap("()")

    def __iter__(self):
        yield self
        if self.child:
            yield from self.child
        else:
            snap("end of the chain")

    @property
    def bottom(self):
        return self.child.bottom if self.child else snap(self)

    def __getattr__(self, name):
        if name.startswith("up"):
            return getattr(self, name[2:]) if name != "up" else snap("top")
        raise AttributeError(name)

    def __eq__(self, other):
        return snap(True) if self.child is None else self.child == other.child

    __hash__ = None


chain = Node(8)
events.append(len(chain))
events.append(repr(chain))
events.append(len([node for node in chain]))
events.append(chain.bottom.child)
events.append(chain.upupup)
events.append(chain == Node(8))


def with_handlers(n):
    try:
        if n == 0:
            return 1 / snap(0)
        return with_handlers(n - 1)
    except ZeroDivisionError as error:
        if n == 2:
            snap("half way up")
        if n < 4:
            raise
        return str(error), n
    finally:
        events.append(("finally", n)) if n % 2 else None


events.append(with_handlers(6))


def alternating(n, how=0):
    """Each level gets to the next by another way."""
    if n == 0:
        return [snap("bottom")]
    ways = [
        lambda: alternating(n - 1, how + 1),
        lambda: [alternating(n - 1, how + 1) for _ in range(1)][0],
        lambda: next(iter_once(lambda: alternating(n - 1, how + 1))),
        lambda: eval("alternating(n - 1, how + 1)", {"alternating": alternating, "n": n, "how": how}),
        lambda: Called(n - 1, how + 1)(),
        lambda: Called(n - 1, how + 1).value,
        lambda: Called(n - 1, how + 1)[0],
        lambda: yield_from(n - 1, how + 1),
    ]
    return [n, *ways[how % len(ways)]()]


def iter_once(function):
    yield function()


def yield_from(n, how):
    def generator():
        return (yield from inner())

    def inner():
        return alternating(n, how)
        yield

    try:
        generator().send(None)
    except StopIteration as stop:
        return stop.value


class Called:
    def __init__(self, n, how):
        self.arguments = n, how

    def __call__(self):
        return alternating(*self.arguments)

    @property
    def value(self):
        return alternating(*self.arguments)

    def __getitem__(self, key):
        return alternating(*self.arguments)


events.append(alternating(24))


def to_the_limit(n):
    try:
        return to_the_limit(n + 1)
    except RecursionError:
        return "limit"


limit = sys.getrecursionlimit()
sys.setrecursionlimit(400)
events.append(to_the_limit(0))
events.append(down(100))
sys.setrecursionlimit(limit)
snap("after the limit was reached")


def generators(n):
    if n:
        yield n
        yield from generators(n - 1)
    else:
        yield snap(0)


events.append(sum([value for value in generators(50)]))


def permutations(items):
    if not items:
        yield snap([]) if len(events) < 0 else []
    for i, item in enumerate(items):
        for rest in permutations(items[:i] + items[i + 1 :]):
            yield [snap(item) if item == 3 and i == 2 else item, *rest]


events.append([p for p in permutations([1, 2, 3])])

print("\n".join(map(repr, events)))

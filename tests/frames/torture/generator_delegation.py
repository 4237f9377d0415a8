"""yield from: over generators, iterators and lists; values, sends, throws and closes that pass through."""

from snap import snap

events = []


def inner(label):
    try:
        got = yield snap((label, 1))
        events.append((label, "got", snap(got)))
        got = yield snap((label, 2))
        events.append((label, "got", got))
    except KeyError as error:
        events.append((label, "caught", repr(error)))
        yield snap((label, "after the error"))
    except GeneratorExit:
        events.append((label, snap("closed")))
        raise
    finally:
        snap("inner finally")
    return snap((label, "returned"))


def outer(label):
    snap("outer starts")
    first = yield from inner(label + " a")
    events.append(("first", first))
    second = yield from inner(label + " b")
    return snap([first, second])


g = outer("sends")
events.append(next(g))
events.append([g.send(snap(i)) for i in range(3)])
try:
    g.send("last")
except StopIteration as stop:
    events.append(stop.value)

g = outer("throws")
next(g)
events.append(g.throw(KeyError(snap("k"))))
events.append(next(g))
events.append(g.throw(KeyError("l")))
events.append(next(g, "done"))

g = outer("closes")
next(g)
g.close()
g = outer("fails")
next(g)
try:
    g.throw(ZeroDivisionError(snap("not caught inside")))
except ZeroDivisionError as error:
    events.append(repr(error))


def deep(n):
    if n == 0:
        yield snap("bottom")
        try:
            yield snap("again")
        except ValueError as error:
            yield snap(str(error))
        return snap("value from the bottom")
    snap(n)
    value = yield from deep(n - 1)
    return (n, snap(value))


g = deep(5)
events.append(next(g))
events.append(next(g))
events.append(g.throw(ValueError("down five generators")))
try:
    next(g)
except StopIteration as stop:
    events.append(stop.value)


def over_others():
    a = yield from [snap(1), 2]
    b = yield from "xy"
    c = yield from range(2)
    d = yield from {"k": snap("v")}
    e = yield from zip([1], [snap(2)])
    return snap([a, b, c, d, e])


def collect(generator):
    seen = []
    value = None
    while True:
        try:
            seen.append(snap(generator.send(value)))
        except StopIteration as stop:
            return seen, stop.value


events.append(collect(over_others()))


class Iterator:
    """Not a generator, but answers send, throw and close."""

    def __init__(self):
        self.n = 0

    def __iter__(self):
        return snap(self)

    def __next__(self):
        self.n += 1
        if self.n > 3:
            raise StopIteration(snap("the iterator's value"))
        return snap(self.n)

    def send(self, value):
        events.append(("send", value))
        return snap(next(self))

    def throw(self, *error):
        events.append(("throw", repr(error[-1] if len(error) > 1 else error[0])))
        return snap("thrown")

    def close(self):
        events.append(("close", snap(self.n)))


def over_iterator():
    value = yield from Iterator()
    events.append(("value", value))
    return snap(value)


g = over_iterator()
events.append([next(g), g.send(snap("s")), g.throw(KeyError("t")), next(g), next(g, "end")])
g = over_iterator()
next(g)
g.close()


def numbers(n):
    for i in range(n):
        yield snap(i)


def flatten(items):
    for item in items:
        if isinstance(item, list):
            yield from flatten(item)
        else:
            yield snap(item)


events.append([v for v in flatten([1, [2, [3]], 4])])


def chained(*iterables):
    for iterable in iterables:
        yield from iterable


events.append([v for v in chained(numbers(2), "a", numbers(1))])


def in_try():
    try:
        yield from numbers(1)
        raise ValueError(snap("after the numbers"))
    except ValueError as error:
        yield from (str(error), snap("handled"))
    else:
        yield "never"
    finally:
        yield from numbers(1)


events.append([v for v in in_try()])


def in_an_expression():
    return [(yield from numbers(1)), snap(1), (yield from returning())]


def returning():
    yield snap("y")
    return snap("r")


events.append(collect(in_an_expression()))
shared = numbers(3)


def first_user():
    yield from shared


a, b = first_user(), first_user()
events.append([next(a), next(b), next(a), next(b, "end")])
lazy = ((yield_ for yield_ in numbers(snap(2))) for _ in range(1))
events.append([[snap(v) for v in g] for g in lazy])

print("\n".join(map(repr, events)))

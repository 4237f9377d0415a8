"""Frames with much on their evaluation stacks: values of every kind in flight, deep expressions, half a display."""

from snap import snap

events = []


def f(*args, **kwargs):
    return [*args, *kwargs.items()]


def g(x):
    return f(x, snap(x))


events.append(f(1, [2, (3, {4: f(5, snap(6)), 7: snap(8)}, snap(9)), f"{snap(10)}"], k=snap(11)))
events.append(
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, [11, [12, [13, [14, [15, snap(16), 17], 18], 19], 20], 21], 22, 23]
)
events.append(f(f(f(f(f(f(f(snap(1), 2), 3), 4), 5), 6), 7), 8))
events.append(1 + (2 + (3 + (4 + (5 + (6 + (7 + snap(8))))))))
events.append(((((((snap(1) + 2) * 3) - 4) / 5) ** 2) // 1) % 100)
events.append([snap(1), *[snap(2), *[snap(3), *[snap(4)]]]])
events.append({"a": {"b": {"c": {"d": snap(1)}, "e": snap(2)}, "f": snap(3)}, "g": snap(4)})
events.append(f(*[1, 2], *(3, snap(4)), a=5, **{"b": snap(6)}, **{"c": 7, "d": snap(8)}))
events.append("%s-%s-%s" % (snap(1), f(snap(2)), f"{f(snap(3))}{4}{snap(5)!r:>4}"))
events.append(1 < 2 < snap(3) < 4 < snap(5) < 6 > snap(2) != 7)
events.append((1 and 2 and snap(3) and 4) or snap(5) or 6)
events.append((snap(0) or snap("") or snap([]) or snap("last")) if snap(1) else snap("never"))
events.append([x + y + z + snap(1) for x in (1, 2) for y in (3,) for z in (snap(4), 5) if x + snap(y) + z])


class Holder:
    def __init__(self, value):
        self.value = value

    def method(self, *args):
        return (self.value, *args)

    def __getitem__(self, key):
        return (self.value, key)

    def __setitem__(self, key, value):
        events.append((self.value, key, value))

    def __call__(self, *args):
        return Holder(args)


h = Holder("h")
events.append(h.method(snap(1), h.method(snap(2), h.method(snap(3)))))
events.append(h[snap(1) : snap(2) : snap(3), h[snap(4)], ..., snap(None)])
h[snap(1), h[snap(2)]] = f(snap(3), h[snap(4)])
events.append(h(snap(1))(snap(2)).method(*h.method(snap(3))))


def loops_and_handlers():
    """For loops and handlers keep their own things on the stack, below the expression."""
    for a in [1]:
        for b in (2,):
            try:
                raise ValueError(a + b)
            except ValueError as error:
                for c in "x":
                    with Manager() as m:
                        try:
                            for d in {"k": 1}:
                                return [
                                    a,
                                    b,
                                    c,
                                    d,
                                    str(error),
                                    m,
                                    f(a, snap(b), c),
                                    snap(d),
                                    {snap(a): [snap(b)]},
                                ]
                        finally:
                            events.append(["in finally", snap(c), f(snap(1), [2, snap(3)])])


class Manager:
    def __enter__(self):
        return [snap("entered")]

    def __exit__(self, *details):
        events.append(["leaving", snap(details)])


events.append(loops_and_handlers())


def handlers_in_handlers():
    try:
        raise KeyError(1)
    except KeyError:
        try:
            raise IndexError(2)
        except IndexError:
            try:
                raise ValueError(3)
            except ValueError as error:
                return [
                    f(repr(error), snap("three handlers deep")),
                    repr(error.__context__.__context__),
                    snap(4),
                ]


events.append(handlers_in_handlers())


def generators_in_expressions():
    def gen():
        received = yield f(1, [2, (yield snap(3)), snap(4)], k=(yield snap(5)))
        return [received, (yield [6, snap(7), (yield 8)])]

    made = gen()
    return [next(made), *[made.send(snap(x)) for x in "abcd"], next(made, "end")]


events.append(generators_in_expressions())


def late_arguments(a, b, c, d=snap("d"), *, e=snap("e")):
    return [a, b, c, d, e, snap("body")]


events.append(late_arguments(snap("a"), c=f(snap("c")), b=late_arguments(*"xyz", e=snap("inner e"))))
x = [0, 0]
x[snap(0)], x[snap(1)], (y, *z) = f(snap(1), snap(2), (3, snap(4), 5))
events.append((x, y, z))
x[snap(0)] += x[snap(1)] + f(snap(10))[snap(0)]
events.append(x)
events.append([lambda: 1, snap(2)][1] + [snap(3), lambda: 4][0])
events.append(f(snap)[0](f(f)[0](snap(5))))
events.append([*map(f, [1, 2], [3, 4]), snap(5), *zip([snap(6)], [snap(7)])])
conditional = f(snap(1) if snap(0) else snap(2), snap(3) if snap(4) else snap(5))
events.append(conditional)
assert f(snap(1)), f(snap("never"))
del x[snap(0)], h
events.append(x)

print("\n".join(map(repr, events)))

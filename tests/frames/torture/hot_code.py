"""Code that has run often enough to be specialised: each construct runs 40 times and is captured near the end."""

from snap import snap

events = []
TIMES = 40


def late(number, value):
    """Captures the program on one of the last turns only."""
    return snap(value) if number == TIMES - 2 else value


def run(function):
    result = None
    for number in range(TIMES):
        result = function(number)
    events.append((function.__name__, result))
    return function


def positional(a, b):
    return late(a, b)


def defaults(a, b=2, c=3):
    return late(a, (b, c))


def keyword(a, *, k):
    return late(a, k)


def variadic(*args, **kwargs):
    return late(args[0], (args[1:], kwargs))


class Thing:
    number = 0

    def __init__(self, number=0):
        self.number = late(number, number)

    def method(self, value):
        return late(value, self.number)

    @classmethod
    def of_class(cls, n):
        return late(n, cls.__name__)

    @staticmethod
    def static(n):
        return late(n, "static")

    @property
    def size(self):
        return late(self.number, self.number * 2)

    def __getitem__(self, key):
        return late(key, key + 1)

    def __setitem__(self, key, value):
        late(key, value)

    def __add__(self, other):
        return late(other, other + 5)

    def __eq__(self, other):
        return late(other, True)

    def __lt__(self, other):
        return late(other, False)

    def __contains__(self, item):
        return late(item, True)

    def __bool__(self):
        return late(self.number, self.number % 2 == 0)

    def __call__(self, n):
        return late(n, "called")

    def __iter__(self):
        yield late(self.number, "from __iter__")

    def __enter__(self):
        return late(self.number, self)

    def __exit__(self, *details):
        late(self.number, None)

    __hash__ = None


class Sub(Thing):
    def __init__(self, number):
        super().__init__(number)
        late(number, "Sub")

    def method(self, value):
        return [super().method(value), late(value, "sub")]


class Dynamic:
    def __getattribute__(self, name):
        return (
            late(object.__getattribute__(self, "n"), name)
            if name == "watched"
            else object.__getattribute__(self, name)
        )

    def __getattr__(self, name):
        return late(self.n, name)

    def __setattr__(self, name, value):
        object.__setattr__(self, name, late(value, value))


class Slotted:
    __slots__ = ("n",)

    def __init__(self, n):
        self.n = n


thing = Thing()


@run
def calls(n):
    return [positional(n, "p"), defaults(n), defaults(n, 5), keyword(n, k="k"), variadic(n, 1, x=2), thing(n)]


@run
def methods(n):
    thing.number = n
    bound = thing.method
    return [
        thing.method(n),
        bound(n),
        Thing.method(thing, n),
        thing.of_class(n),
        Thing.of_class(n),
        thing.static(n),
    ]


@run
def construction(n):
    return [Thing(n).number, Sub(n).method(n), Slotted(late(n, n)).n]


@run
def attributes(n):
    d = Dynamic()
    d.n = n
    return [Thing(n).size, d.watched, d.missing, d.other]


@run
def operators(n):
    t = Thing(n - 1)
    t[n] = 1
    t[n] += 0
    return [t[n], t + n, t == n, t < n, n in t, "yes" if Thing(n) else "no", not Thing(n), t == n and t < n]


def generate(n):
    yield late(n, "first")
    got = yield late(n, "second")
    return late(n, got)


def delegate(n):
    return [(yield from generate(n))]


@run
def generators(n):
    g = delegate(n)
    return [
        [v for v in generate(n)],
        [*zip(delegate(n), "ab")],
        next(g),
        g.send(None),
        next(g, "end"),
        [v for v in Thing(n)],
    ]


@run
def loops(n):
    seen = []
    for a in [late(n, 1)]:
        for b in (late(n, 2),):
            for c in range(late(n, 1)):
                for d in generate(n):
                    seen.append((a, b, c, late(n, d)))
    while late(n, seen):
        seen = seen[late(n, 1) :]
    return seen


@run
def comprehensions(n):
    return [
        [late(n, x) for x in (1, 2)],
        {late(n, x): late(n, -x) for x in (1,)},
        [y for y in (late(n, x) for x in "a")],
    ]


@run
def managers(n):
    with Thing(n) as t:
        with Thing(n):
            return [t.number, late(n, "inside")]


@run
def handlers(n):
    try:
        if late(n, n) % 2:
            raise ValueError(late(n, "raised"))
        return late(n, "even")
    except ValueError as error:
        return [str(error), late(n, "handled")]
    finally:
        late(n, "finally")


@run
def unpacking(n):
    a, b = late(n, (1, 2))
    c, *d = late(n, [3, 4, 5])
    e, f = positional(n, (6, 7))
    return [a, b, c, d, e, f, *late(n, [8])]


@run
def arithmetic(n):
    i = late(n, 3) + 1
    i += late(n, 2)
    x = late(n, 1.5) * 2.0
    s = late(n, "a") + "b"
    s += late(n, "c")
    items = [1, 2, 3]
    return [
        i * late(n, 2),
        x - 1.0,
        s,
        items[late(n, 1)],
        {"k": i}["k"],
        i < late(n, 9),
        s == late(n, "abc"),
        "k" in {"k": n},
    ]


@run
def closures(n):
    def inner(x):
        nonlocal n
        n = late(n, n)
        return late(n, [x, n])

    return inner(late(n, 1))


async def leaf(n):
    return late(n, "leaf")


async def awaiting(n):
    return [await leaf(n), [await leaf(n) for _ in range(1)], late(n, "awaiting")]


@run
def coroutines(n):
    try:
        awaiting(n).send(None)
    except StopIteration as stop:
        return stop.value


@run
def globals_and_builtins(n):
    global counter
    counter = late(n, n)
    return [
        counter,
        len(late(n, "abc")),
        isinstance(late(n, 1), int),
        str(late(n, 5)),
        type(late(n, 1.0)).__name__,
        max(late(n, 1), 2),
    ]


print("\n".join(map(repr, events)))

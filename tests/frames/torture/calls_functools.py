"""functools: partial, caches, dispatch, cached properties, wraps, reduce, cmp_to_key."""

import functools

from snap import snap

events = []


def f(*args, **kwargs):
    snap("in f")
    return args, kwargs


p = functools.partial(f, 1, k=snap(2))
events.append(p(3))
events.append(p(snap(4), j=5))
events.append(functools.partial(p, 6)())
events.append(functools.partial(snap, 7)())


class WithPartialMethod:
    def f(self, *args, **kwargs):
        return snap(("partialmethod", args, kwargs))

    g = functools.partialmethod(f, 1, k=2)


events.append(WithPartialMethod().g(3))


@functools.lru_cache(maxsize=2)
def cached(n):
    events.append(("computing", n))
    return snap(n * 2)


events.append([cached(1), cached(1), cached(2), cached(3), cached(1)])
events.append(tuple(cached.cache_info()))


@functools.cache
def fib(n):
    return snap(n) if n < 2 else fib(n - 1) + fib(n - 2)


events.append(fib(10))
events.append(tuple(fib.cache_info()))


@functools.lru_cache(maxsize=0)
def uncached(n):
    return snap(n)


events.append([uncached(1), uncached(1), tuple(uncached.cache_info())])


@functools.singledispatch
def describe(value):
    return ("something", snap(value))


@describe.register
def _(value: int):
    return ("an int", snap(value))


@describe.register(list)
def _(value):
    return ("a list", [describe(item) for item in value], snap(len(value)))


events.append([describe(1), describe("s"), describe([2, "t"])])


class Dispatching:
    @functools.singledispatchmethod
    def of(self, value):
        return snap(("any", value))

    @of.register
    def _(self, value: str):
        return snap(("text", value))


events.append([Dispatching().of(1), Dispatching().of("x")])


class Lazy:
    count = 0

    @functools.cached_property
    def value(self):
        Lazy.count += 1
        return snap([self.count])


lazy = Lazy()
events.append([lazy.value, lazy.value is lazy.value, Lazy.count])


def traced(function):
    @functools.wraps(function)
    def wrapper(*args):
        snap(f"before {function.__name__}")
        value = function(*args)
        snap(f"after {function.__name__}")
        return value

    return wrapper


@traced
def square(n):
    """Squares."""
    return snap(n * n)


events.append((square(3), square.__name__, square.__doc__, square.__wrapped__(2)))
events.append(functools.reduce(lambda a, b: a + b, [snap(1), snap(2)], snap(3)))
try:
    cached([])
except TypeError as error:
    events.append(str(error))


@functools.lru_cache
def failing(n):
    snap(n)
    raise ValueError(n)


for attempt in range(2):
    try:
        failing(1)
    except ValueError as error:
        events.append((attempt, repr(error), tuple(failing.cache_info())))


class Memo:
    @functools.lru_cache(maxsize=None)
    def method(self, n):
        return (id(self) == id(memo), snap(n))


memo = Memo()
events.append([memo.method(1), memo.method(1), tuple(Memo.method.cache_info())])


@functools.cache
def with_keywords(*args, **kwargs):
    return (args, snap(sorted(kwargs)))


events.append([with_keywords(1, a=2), with_keywords(1, a=2), with_keywords(1.0), with_keywords(True)])
events.append(tuple(with_keywords.cache_info()))


@functools.lru_cache(maxsize=4, typed=True)
def typed(n):
    return snap(type(n).__name__)


events.append([typed(1), typed(1.0), typed(True), typed(1), tuple(typed.cache_info())])

print("\n".join(map(repr, events)))

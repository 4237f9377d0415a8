"""Decorators: with and without arguments, stacked, on classes and methods, made by classes."""

import contextlib
import functools

from snap import snap

events = []


def plain(function):
    events.append(("decorating", function.__name__))
    snap("plain")
    return function


def with_arguments(*labels, **options):
    snap(labels)

    def decorate(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            events.append(("before", labels, snap(args)))
            try:
                return snap(function(*args, **kwargs))
            finally:
                events.append(("after", snap(sorted(options))))

        return snap(wrapper)

    return decorate


class Counting:
    """A decorator that is a class, and whose instances also work as methods."""

    def __init__(self, function):
        self.function = snap(function)
        self.count = 0

    def __call__(self, *args):
        self.count += snap(1)
        return self.function(*args)

    def __get__(self, instance, owner):
        return functools.partial(self, instance) if instance is not None else self


class Configured:
    def __init__(self, **options):
        self.options = snap(options)

    def __call__(self, target):
        target.options = snap(self.options)
        return target


@plain
@with_arguments("outer", snap("label"), k=snap(1))
@with_arguments("inner")
def add(a, b=snap(2)):
    return a + snap(b)


@Counting
def counted(n):
    return snap(n * 2)


@snap
@Configured(x=snap(1))
@plain
class Decorated:
    body = snap("body")

    def __repr__(self):
        return "decorated"

    @property
    @with_arguments("property")
    def value(self):
        return snap("value")

    @Counting
    def method(self, n):
        return (self.body, snap(n))

    @staticmethod
    @plain
    def static():
        return snap("static")

    @classmethod
    @with_arguments("class method")
    def of_class(cls):
        return snap(cls.__name__)


events.append(add(1))
events.append(add(1, b=5))
events.append((counted(1), counted(2), counted.count))
d = Decorated()
events.append((d.value, d.method(3), d.static(), d.of_class(), Decorated.options, Decorated.method.count))


@contextlib.contextmanager
def managed(name):
    events.append(("enter", snap(name)))
    yield snap(name)
    events.append(("exit", snap(name)))


@managed("as a decorator")
def inside():
    return snap("inside")


events.append(inside())
handlers = {}


def on(name):
    def register(function):
        handlers[snap(name)] = function
        return function

    return register


@on("a")
@on("b")
def handle():
    return snap("handled")


events.append([handlers[name]() for name in sorted(handlers)])
numbers = [(lambda f: snap(f))]


@numbers[snap(0)]
def from_an_expression():
    return 1


@(lambda f: lambda: ("wrapped", snap(f())))
def wrapped_by_lambda():
    return snap(2)


events.append((from_an_expression(), wrapped_by_lambda()))


@with_arguments("recursive")
def factorial(n):
    return 1 if n == 0 else n * factorial(n - 1)


events.append(factorial(2))

print("\n".join(map(repr, events)))

"""With functions, lambdas, methods, partial objects, builtin methods and functions with attributes alive."""

import functools
import operator
import os

import stillframe


class Thing:
    def method(self):
        return "method"

    @classmethod
    def of_class(cls):
        return cls.__name__

    @staticmethod
    def static():
        return "static"


def with_defaults(a, b=[1], *, c={"k": 2}):
    return a, b, c


with_defaults.attribute = "attribute"
thing = Thing()
items = []
held = [
    lambda: "lambda",
    thing.method,
    Thing.of_class,
    Thing.static,
    functools.partial(with_defaults, 0),
    "ab".upper,
    functools.partial(operator.itemgetter(1), "xy"),
]
append = items.append
stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
append("appended")
print([function() for function in held], with_defaults.attribute, items, held[1].__self__ is thing)

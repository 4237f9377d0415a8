"""Calls of every form: how arguments are passed, what is called, where the value goes."""

import operator
import types

from snap import snap

events = []


def f(a, b=2, *args, c=3, **kwargs):
    snap("in f")
    return (a, b, args, c, kwargs)


def positional_only(a, b, /, c=30):
    return snap((a, b, c))


def keyword_only(*, k, l=40):
    return snap((k, l))


events.append(f(snap(1)))
events.append(f(1, snap(2), snap(3), c=snap(4), d=snap(5)))
events.append(f(*snap([1, 2]), *snap((3,)), c=4))
events.append(f(**snap({"a": 1}), **snap({"z": 26})))
events.append(f(snap(0), *[snap(1), snap(2)], c=snap(3), **{"d": snap(4)}))
events.append(positional_only(snap(1), snap(2), c=snap(3)))
events.append(keyword_only(l=snap(1), k=snap(2)))
events.append((lambda x, y=snap("default"): snap((x, y)))(snap("x")))
f(snap("dropped"))
f(f(f(snap(1)), b=f(snap(2))), c=f(snap(3)))


class Methods:
    kind = "Methods"

    def plain(self, *args, **kwargs):
        snap("plain")
        return ("plain", self.kind, args, kwargs)

    @classmethod
    def of_class(cls, *args):
        snap("class method")
        return ("class", cls.__name__, args)

    @staticmethod
    def static(*args):
        snap("static method")
        return ("static", args)

    def __call__(self, *args, **kwargs):
        return ("called", snap(args), kwargs)


m = Methods()
events.append(m.plain(snap(1), k=snap(2)))
events.append(Methods.plain(m, snap(3)))
events.append([m.of_class(snap(4)), Methods.of_class(snap(5))])
events.append([m.static(snap(6)), Methods.static(snap(7))])
events.append(m(snap(8)))
events.append(m(*snap([9]), **snap({"k": 10})))
bound = m.plain
events.append(bound(snap(11), *[12]))
events.append(bound.__func__(m, snap(13)))
events.append(types.MethodType(f, snap(14))(15))
events.append(types.MethodType(m, 16)(snap(17)))
events.append(getattr(m, snap("plain"))(snap(18)))
events.append(operator.methodcaller("plain", 19)(m))
events.append(operator.call(snap, 20))
events.append(snap(f)(snap(21), **snap({})))


class Sub(Methods):
    kind = "Sub"

    def plain(self, *args, **kwargs):
        return super().plain(snap("from Sub"), *args, **kwargs)

    @classmethod
    def of_class(cls, *args):
        return super().of_class(snap("from Sub"), *args)


events.append(Sub().plain(22))
events.append(Sub.of_class(23))

table = {"f": f, "m": m, "lambda": lambda *a: snap(a)}
events.append([table[name](snap(24)) for name in table])

for wrong in (lambda: f(), lambda: f(1, a=snap(2)), lambda: keyword_only(snap(1)), lambda: snap(5)()):
    try:
        wrong()
    except TypeError as error:
        events.append(str(error))


def many(a, b, c, d, e, g, h, i, j, k, *rest):
    snap(rest)
    return sum((a, b, c, d, e, g, h, i, j, k)) + sum(rest)


events.append(many(*range(20)))
events.append(many(1, 2, 3, snap(4), 5, 6, snap(7), 8, 9, snap(10), 11))


def returns_nothing():
    snap()


def returns_constant():
    snap()
    return 1.0


def returns_function():
    return returns_constant


events.append([returns_nothing(), returns_constant(), returns_function()()])


def with_defaults(a=snap([]), *, b=snap({"k": "v"})):
    a.append(snap(1))
    return a, b


events.append([with_defaults(), with_defaults()[0] is with_defaults()[0]])


def annotated(a: snap(int), b: snap("text") = snap(1)) -> snap(None):
    return a + b


events.append((annotated(1), annotated.__annotations__))
events.append(print(snap("printed"), file=None, end="", sep="") if False else "not printed")


class Instance:
    """Its class has no __call__; the instance's attribute is a function."""


instance = Instance()
instance.function = lambda *args: ("no self", snap(args))
events.append(instance.function(1))
f.attribute = snap("on the function")
events.append(f.attribute)
f.__defaults__ = (snap(99),)
events.append(f(1))


def swapped(a):
    return ("old", snap(a))


def body(a):
    snap("in the new code")
    return ("new", a)


swapped.__code__ = body.__code__
events.append(swapped(1))
events.append(types.FunctionType(body.__code__, globals(), "made")(2))

print("\n".join(map(repr, events)))

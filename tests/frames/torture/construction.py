"""Making objects: __new__, __init__, both, neither, __del__, exceptions in them, copies and pickles by hand."""

import copy

from snap import snap

events = []


class WithInit:
    def __init__(self, a, *rest, k=None):
        self.a = snap(a)
        self.rest = rest
        self.k = snap(k)


class WithNew:
    def __new__(cls, value):
        self = super().__new__(cls)
        self.value = snap(value)
        return snap(self)


class WithBoth:
    def __new__(cls, *args):
        snap("new")
        return super().__new__(cls)

    def __init__(self, *args):
        snap("init")
        self.args = args


class Elsewhere:
    """__new__ returns something else, so __init__ is not called."""

    def __new__(cls):
        return snap("not an instance")

    def __init__(self):
        events.append("never")


class Derived(WithBoth, WithInit):
    def __init__(self, a):
        super().__init__(snap(a))
        WithInit.__init__(self, snap(a) + 1)


w = WithInit(snap(1), snap(2), k=snap(3))
events.append(vars(w))
events.append(vars(WithInit(*snap([1]), **snap({"k": 2}))))
events.append(WithNew(snap(4)).value)
events.append(WithBoth(5, snap(6)).args)
events.append(Elsewhere())
events.append(sorted(vars(Derived(7)).items()))
events.append([WithInit(WithInit(snap(8))).a.a, WithNew(WithNew(9)).value.value])
WithInit(snap("dropped"))


class Text(str):
    def __new__(cls, value):
        return super().__new__(cls, snap(value).upper())

    def __init__(self, value):
        self.original = snap(value)


events.append((Text("abc"), Text("abc").original))


class Pair(tuple):
    __slots__ = ()

    def __new__(cls, a, b):
        return tuple.__new__(cls, (snap(a), snap(b)))


events.append(Pair(1, 2))


class Number(int):
    def __new__(cls, value):
        return snap(int.__new__(cls, value))


events.append((Number(5) + 1, type(Number(5)).__name__))


class Failing:
    def __init__(self):
        snap("about to fail")
        raise ValueError("in __init__")


class Refusing:
    def __init__(self):
        return snap(5)


class FailingNew:
    def __new__(cls):
        snap("about to fail")
        raise KeyError("in __new__")


for kind in (Failing, Refusing, FailingNew):
    try:
        kind()
    except (ValueError, TypeError, KeyError) as error:
        events.append(repr(error))


class CustomError(Exception):
    def __init__(self, code):
        super().__init__(f"code {snap(code)}")
        self.code = code


try:
    raise CustomError(snap(7))
except CustomError as error:
    events.append((error.code, str(error), error.args))


class Singleton:
    instance = None

    def __new__(cls):
        if cls.instance is None:
            cls.instance = snap(super().__new__(cls))
        return cls.instance


events.append(Singleton() is Singleton())


class Finalized:
    def __init__(self, name):
        self.name = name

    def __del__(self):
        events.append(("finalized", snap(self.name)))


thing = Finalized("by del")
del thing
thing = Finalized("by rebinding")
thing = None


def scope():
    local = Finalized("by leaving a function")
    return snap(local.name)


events.append(scope())


class Copied:
    def __init__(self, items):
        self.items = items

    def __copy__(self):
        return Copied(snap(self.items))

    def __deepcopy__(self, memo):
        return Copied(copy.deepcopy(snap(self.items), memo))


original = Copied([[1]])
events.append(copy.copy(original).items is original.items)
events.append(copy.deepcopy(original).items[0] is original.items[0])


class Reduced:
    def __reduce__(self):
        return (Reduced, ())

    def __setstate__(self, state):
        events.append("never")


events.append(type(copy.copy(snap(Reduced()))).__name__)


class Default:
    x = snap(1)
    y: int = snap(2)


events.append((Default().x, Default.y))
events.append(type("Made", (WithInit,), {"z": snap(3)})(4).z)

print("\n".join(map(repr, events)))

"""Metaclasses: __prepare__, __new__, __init__, __call__, __init_subclass__, __set_name__ and the others."""

import types

from snap import snap

events = []


class Meta(type):
    @classmethod
    def __prepare__(mcs, name, bases, **keywords):
        events.append(("prepare", name, sorted(keywords)))
        return snap({"from_prepare": name})

    def __new__(mcs, name, bases, namespace, **keywords):
        snap("Meta.__new__")
        cls = super().__new__(mcs, name, bases, dict(namespace))
        cls.made = snap(True)
        return cls

    def __init__(cls, name, bases, namespace, **keywords):
        super().__init__(name, bases, namespace)
        events.append(("init", name, snap(len(bases))))

    def __call__(cls, *args, **kwargs):
        snap("Meta.__call__")
        instance = super().__call__(*args, **kwargs)
        return snap(instance)

    def __instancecheck__(cls, instance):
        return snap(instance) == "an instance"

    def __subclasscheck__(cls, subclass):
        return snap(subclass is int)

    def __len__(cls):
        return snap(11)

    def __iter__(cls):
        yield snap("a")
        yield snap("b")

    def __getitem__(cls, key):
        return (cls.__name__, snap(key))

    def __contains__(cls, item):
        return snap(item == 1)

    def __repr__(cls):
        return f"<{snap(cls.__name__)}>"

    def __add__(cls, other):
        return snap(("added", other))


class First(metaclass=Meta):
    x = snap(1)

    def __init__(self, value):
        self.value = snap(value)


class Second(First, flag=snap(True)):
    y = snap(2)

    def method(self):
        return snap(__class__.__name__)


events.append((First.from_prepare, First.made, Second.made, Second.y))
events.append(First(3).value)
events.append(Second(snap(4)).method())
events.append([isinstance("an instance", First), isinstance(0, First), issubclass(int, First)])
events.append([len(First), list(item for item in First), First["k"], 1 in First, repr(First), First + 1])


class Registry:
    subclasses = []

    def __init_subclass__(cls, /, label=None, **keywords):
        super().__init_subclass__(**keywords)
        Registry.subclasses.append((cls.__name__, snap(label)))


class Labelled(Registry, label=snap("one")):
    inner = snap("body")


class Deeper(Labelled):
    pass


events.append(Registry.subclasses)


class Named:
    def __set_name__(self, owner, name):
        events.append(("set_name", owner.__name__, snap(name)))


class Owner:
    a = Named()
    b = snap(Named())


class Entries:
    def __mro_entries__(self, bases):
        snap("mro entries")
        return (Registry,)


class FromEntries(Entries(), label="entries"):
    pass


events.append(Registry.subclasses[-1])
events.append([base.__name__ for base in FromEntries.__mro__])


def function_as_metaclass(name, bases, namespace):
    snap(name)
    return sorted(key for key in namespace if not key.startswith("__"))


class NotAClass(metaclass=function_as_metaclass):
    p = snap(1)
    q = snap(2)


events.append(NotAClass)
made = types.new_class("Made", (Registry,), {"label": "new_class"}, lambda ns: ns.update(k=snap(5)))
events.append(made.k)
events.append(Meta("Direct", (), {"z": snap(6)}).z)
dynamic = type("Dynamic", (Labelled,), {"__init__": lambda self: setattr(self, "w", snap(7))})
events.append(dynamic().w)


class Broken(type):
    def __new__(mcs, *args):
        snap("about to fail")
        raise TypeError("no such class")


try:

    class Never(metaclass=Broken):
        pass
except TypeError as error:
    events.append(str(error))


class Mro(type):
    def mro(cls):
        return snap(super().mro())


class WithMro(metaclass=Mro):
    pass


events.append([base.__name__ for base in WithMro.__mro__])

print("\n".join(map(repr, events)))

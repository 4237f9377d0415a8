"""ABCs, protocols, __slots__, weak references, finalizers and callbacks, properties of types that must survive."""

import abc
import collections.abc
import gc
import typing
import weakref

from snap import snap

events = []


class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...

    @property
    @abc.abstractmethod
    def name(self): ...

    def describe(self):
        return f"{snap(self.name)} of {snap(self.area())}"

    @classmethod
    def __subclasshook__(cls, other):
        return snap(True) if other.__name__ == "Duck" else NotImplemented


class Square(Shape):
    def __init__(self, side):
        self.side = side

    def area(self):
        return snap(self.side**2)

    @property
    def name(self):
        return snap("square")


class Duck:
    pass


class Registered:
    pass


events.append(Square(3).describe())
try:
    Shape()
except TypeError as error:
    events.append(type(error).__name__)
events.append([isinstance(Duck(), Shape), issubclass(int, Shape)])
Shape.register(Registered)
snap("after a registration")
events.append([isinstance(Registered(), Shape), isinstance(Square(1), Shape)])


class Numbers(collections.abc.Sequence):
    def __init__(self, *items):
        self.items = items

    def __getitem__(self, index):
        return snap(self.items[index])

    def __len__(self):
        return len(self.items)


n = Numbers(1, 2, 3)
events.append([n.index(2), 3 in n, [x for x in n], n.count(1)])


class Store(collections.abc.MutableMapping):
    def __init__(self):
        self.data = {}

    def __getitem__(self, key):
        return snap(self.data[key])

    def __setitem__(self, key, value):
        self.data[key] = snap(value)

    def __delitem__(self, key):
        snap(key)
        del self.data[key]

    def __iter__(self):
        return iter(self.data)

    def __len__(self):
        return len(self.data)


s = Store()
s["a"] = 1
s.update(b=2)
events.append((s.pop("a"), s.setdefault("c", 3), s.get("missing", snap(0)), [k for k in s.items()]))


@typing.runtime_checkable
class Closeable(typing.Protocol):
    def close(self): ...


class HasClose:
    def close(self):
        return snap("closed")


events.append([isinstance(HasClose(), Closeable), isinstance(snap(1), Closeable)])


class Slotted:
    __slots__ = ("__weakref__", "a", "b")

    def __init__(self, a):
        self.a = snap(a)

    def __setattr__(self, name, value):
        object.__setattr__(self, name, snap(value))


class SlottedChild(Slotted):
    __slots__ = ("c",)


class WithDict(SlottedChild):
    pass


child = SlottedChild(1)
child.c = 3
snap(child)
events.append((child.a, child.c, hasattr(child, "b"), hasattr(child, "__dict__")))
mixed = WithDict(2)
mixed.free = snap("in the dict")
snap(mixed)
events.append((mixed.a, mixed.free, mixed.__dict__))


class Thing:
    def __init__(self, name):
        self.name = name

    def method(self):
        return snap(self.name)


thing = Thing("referred to")
reference = weakref.ref(thing)
proxy = weakref.proxy(thing)
dead = weakref.ref(Thing("gone at once"))
method = weakref.WeakMethod(thing.method)
snap("with weak references alive")
events.append((reference() is thing, proxy.name, dead(), method()(), proxy.method()))
called = weakref.ref(thing, lambda r: events.append(("callback", snap(r() is None))))
finalizer = weakref.finalize(thing, lambda *a: events.append(("finalized", snap(a))), 1, 2)
by_key = weakref.WeakKeyDictionary({thing: "value"})
by_value = weakref.WeakValueDictionary({"key": thing})
in_set = weakref.WeakSet([thing])
snap("with weak containers")
events.append((by_key[thing], by_value["key"] is thing, thing in in_set, finalizer.alive))
del thing
gc.collect()
snap("after it has gone")
events.append((reference(), len(by_key), len(by_value), len(in_set), finalizer.alive, method()))


class Cycle:
    def __init__(self):
        self.me = self

    def __del__(self):
        events.append(("cycle gone", snap(self.me is self)))


cycle = weakref.ref(Cycle())
gc.collect()
events.append(cycle())
slot = Slotted(5)
slot_reference = weakref.ref(slot)
snap(slot_reference)
events.append(slot_reference() is slot)

print("\n".join(map(repr, events)))

"""Attributes: properties, descriptors, __getattr__, __getattribute__, __setattr__, __delattr__, called too."""

import operator

from snap import snap

events = []


class Descriptor:
    def __set_name__(self, owner, name):
        self.name = snap(name)

    def __get__(self, instance, owner=None):
        if instance is None:
            return ("from the class", snap(owner.__name__))
        return snap(instance.__dict__.get(self.name, "unset"))

    def __set__(self, instance, value):
        instance.__dict__[self.name] = snap(value)

    def __delete__(self, instance):
        snap("deleting")
        del instance.__dict__[self.name]


class Callable:
    """A descriptor whose value is called as if it were a method."""

    def __get__(self, instance, owner=None):
        snap("getting")
        return lambda *args: ("called", args)


class Thing:
    field = Descriptor()
    action = Callable()

    def __init__(self):
        self._size = 1

    @property
    def size(self):
        """The size."""
        return snap(self._size)

    @size.setter
    def size(self, value):
        self._size = snap(value)

    @size.deleter
    def size(self):
        snap("deleter")
        self._size = None

    @property
    def handler(self):
        snap("handler")
        return self.handle

    def handle(self, *args):
        return ("handled", args)


t = Thing()
events.append(t.size)
t.size = 5
t.size += 2
events.append(t.size * t.size)
del t.size
events.append(t.size)
events.append(t.field)
t.field = "set"
events.append((t.field, t.__dict__["field"]))
del t.field
events.append(t.field)
events.append(Thing.field)
events.append(t.action(1, snap(2)))
events.append(t.action(*snap([3])))
events.append(t.handler(4))
events.append(t.handler(snap(5), *[6]))
getattr(t, "size")
setattr(t, "size", 8)
events.append(getattr(t, snap("size")))
delattr(t, "size")
events.append(hasattr(t, "size"))
events.append(operator.attrgetter("size")(t))


class Dynamic:
    def __getattr__(self, name):
        if name.startswith("missing"):
            raise AttributeError(snap(name))
        return snap(f"<{name}>")

    def __setattr__(self, name, value):
        super().__setattr__(name, snap(value))

    def __delattr__(self, name):
        object.__delattr__(self, snap(name))


d = Dynamic()
events.append(d.anything)
events.append(d.upper.upper())
d.real = 1
events.append((d.real, d.real))
d.real += 10
events.append(dict(d.__dict__))
del d.real
events.append(d.real)
events.append(getattr(d, "missing_one", snap("default")))
events.append(hasattr(d, "missing_two"))
try:
    d.missing_three
except AttributeError as error:
    events.append(("AttributeError", str(error), error.name))


class Watched:
    value = 3

    def __getattribute__(self, name):
        return (name, snap(object.__getattribute__(self, name)))

    def method(self):
        return "method"


w = Watched()
events.append(w.value)
events.append(w.method[1]())


class Falling:
    """__getattribute__ fails, so __getattr__ is asked."""

    def __getattribute__(self, name):
        snap("first")
        raise AttributeError(name)

    def __getattr__(self, name):
        return snap(("second", name))


events.append(Falling().x)


class Meta(type):
    def __getattr__(cls, name):
        return snap(f"{cls.__name__} has no {name}")

    def __setattr__(cls, name, value):
        super().__setattr__(name, snap(value))

    @property
    def kind(cls):
        return snap("a class with a metaclass")


class WithMeta(metaclass=Meta):
    pass


events.append(WithMeta.nothing)
WithMeta.x = 7
events.append((WithMeta.x, WithMeta.kind, WithMeta().x))


class Bad:
    @property
    def value(self):
        snap("about to fail")
        raise ValueError("inside a property")


try:
    Bad().value
except ValueError as error:
    events.append(str(error))
events.append(getattr(Dynamic(), snap("a"), snap("b")))
events.append(snap(t).handle(snap(1)).__len__())

print("\n".join(map(repr, events)))

"""Class bodies in progress: nested, with closures, loops, comprehensions, try, in functions, in generators."""

from snap import snap

events = []
level = "module"


class Outer:
    level = snap("outer")

    class Inner:
        level = snap("inner")

        class Innermost:
            level = snap("innermost")
            seen = [snap(i) for i in range(2)]

        def method(self):
            return (snap(self.level), level, __class__.__name__)

    after = snap(Inner.Innermost.level)
    squares = {n: n * n for n in (snap(1), snap(2))}
    for name in ("a", "b"):
        locals()[name] = snap(name.upper())
    del name
    try:
        value = int(snap("not a number"))
    except ValueError as error:
        failed = snap(type(error).__name__)
    finally:
        cleaned = snap(True)
    with open("/dev/null") as file:
        content = snap(file.read())
    if snap(True):
        chosen = snap("if")
    else:
        chosen = "else"
    x: snap(int) = snap(5)
    y: snap(str)
    lambda_ = lambda self: snap(self.level)
    del file


events.append(sorted((k, v) for k, v in vars(Outer).items() if k in ("after", "squares", "a", "b", "failed")))
events.append([Outer.cleaned, Outer.chosen, Outer.x, Outer.__annotations__, Outer().lambda_(), Outer.content])
events.append(Outer.Inner().method())
events.append(Outer.Inner.Innermost.seen)
events.append([Outer.__qualname__, Outer.Inner.Innermost.__qualname__, Outer.__module__])


def make(parameter):
    hidden = [parameter]

    class Local:
        captured = hidden
        hidden.append(snap("in the body"))
        own = snap(parameter)

        def method(self):
            hidden.append(snap("in the method"))
            return (parameter, hidden, __class__ is Local)

        class Nested:
            also = snap(parameter)

            def read(self):
                return [snap(parameter), Local.own]

    return Local


local = make("p")
events.append((local().method(), local.captured is local().method()[1], local.Nested().read()))
other = make("q")
events.append((other.own, local.own, other is not local))


def body_in_generator():
    yield snap(1)

    class Made:
        value = snap(2)

        def get(self):
            return (self.value, snap(3))

    yield Made().get()


events.append([item for item in body_in_generator()])


class Base:
    def __init_subclass__(cls):
        events.append(("subclass", cls.__name__, snap(1)))


class Recursive:
    me = None

    def build(depth):
        class Level(Base):
            deeper = snap(depth) and Recursive_build(depth - 1)

        return Level

    Recursive_build = build


Recursive_build = Recursive.build
level = Recursive_build(2)
events.append(level.deeper.deeper.__name__)

try:

    class Broken:
        first = snap(1)
        second = snap(1) / 0
except ZeroDivisionError as error:
    events.append(str(error))
events.append("Broken" in globals())


class UsesGlobal:
    global placed
    placed = snap("a global")
    print_ = snap(placed)


events.append((placed, UsesGlobal.print_))


def nonlocal_in_a_body():
    value = 1

    class Changes:
        nonlocal value
        value = snap(2)

    return value


events.append(nonlocal_in_a_body())


class Namespace(dict):
    def __setitem__(self, key, value):
        if not key.startswith("__"):
            events.append(("stored", key, snap(value)))
        super().__setitem__(key, value)

    def __missing__(self, key):
        if key.startswith("magic"):
            return snap(f"<{key}>")
        raise KeyError(key)


class Meta(type):
    @classmethod
    def __prepare__(mcs, name, bases):
        return Namespace()

    def __new__(mcs, name, bases, namespace):
        return super().__new__(mcs, name, bases, dict(namespace))


class Special(metaclass=Meta):
    a = 1
    b = magic_word
    c = snap(3)


events.append((Special.a, Special.b, Special.c))

print("\n".join(map(repr, events)))

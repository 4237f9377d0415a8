"""with: several managers, swallowing, failures in enter and exit, return/break/continue from inside, nested."""

from snap import snap

events = []


class Manager:
    def __init__(self, name, swallow=False, fail=None):
        self.name, self.swallow, self.fail = name, swallow, fail
        snap(f"making {name}")

    def __enter__(self):
        events.append(("enter", snap(self.name)))
        if self.fail == "enter":
            raise RuntimeError(f"entering {self.name}")
        return snap(self)

    def __exit__(self, kind, error, traceback):
        events.append(
            ("exit", self.name, kind.__name__ if kind else None, repr(error), traceback is not None)
        )
        snap(error)
        if self.fail == "exit":
            raise RuntimeError(f"leaving {self.name}")
        return snap(self.swallow)


with Manager("plain") as m:
    events.append((m.name, snap("body")))
with Manager("a") as a, Manager("b") as b:
    events.append((a.name, b.name, snap("two")))
with (
    Manager("c") as c,
    Manager(snap("d")),
):
    with Manager("e"):
        snap("nested")
with Manager("swallowing", swallow=True):
    raise ValueError(snap("swallowed"))
try:
    with Manager("outer"), Manager("inner"):
        raise KeyError(snap("passes through"))
except KeyError as error:
    events.append(repr(error))
try:
    with Manager("before"), Manager("fails to enter", fail="enter"), Manager("never"):
        events.append("never")
except RuntimeError as error:
    events.append((str(error), repr(error.__context__)))
try:
    with Manager("fails to leave", fail="exit"):
        raise ValueError(snap("first"))
except RuntimeError as error:
    events.append((str(error), repr(error.__context__)))
with Manager("catches the failure to leave", swallow=True), Manager("inside", fail="exit"):
    snap("body")


def returning():
    with Manager("return"):
        return snap("from inside")


def returning_swallowed():
    with Manager("return", swallow=True):
        return 1 / snap(0)
    return snap("after the with")


events.append([returning(), returning_swallowed()])
for i in range(3):
    with Manager(f"loop {i}"):
        if i == 0:
            continue
        if i == 1:
            break
    events.append("never")


class Items:
    """Manager and iterator in one, whose target is unpacked."""

    def __enter__(self):
        return snap((1, [2, 3]))

    def __exit__(self, *details):
        snap(len(details))


with Items() as (x, [y, *z]):
    events.append((x, y, z))
box = {}
with Items() as box[snap("key")]:
    events.append(box)


class Target:
    pass


target = Target()
with Manager("attribute") as target.value:
    events.append(target.value.name)


class StaticManager:
    @staticmethod
    def __enter__():
        return snap("static enter")

    @staticmethod
    def __exit__(*details):
        return snap(None)


with StaticManager() as value:
    events.append(value)


class Proxy:
    """Special methods are looked up on the type, and its attribute is a descriptor."""

    class Entering:
        def __get__(self, instance, owner):
            snap("getting __enter__")
            return lambda: snap("entered through a descriptor")

    __enter__ = Entering()

    def __exit__(self, *details):
        return False


with Proxy() as value:
    events.append(value)


def generator():
    with Manager("in a generator") as manager:
        yield snap(manager.name)
        yield snap("second")


g = generator()
events.append(next(g))
snap("suspended inside a with")
events.append(next(g))
events.append(next(g, "end"))
g = generator()
next(g)
g.close()
g = generator()
next(g)
try:
    g.throw(OSError(snap("thrown into the with")))
except OSError as error:
    events.append(repr(error))


class Truthy:
    def __bool__(self):
        return snap(True)


class ReturnsTruthy:
    def __enter__(self):
        return self

    def __exit__(self, *details):
        return Truthy()


with ReturnsTruthy():
    raise ValueError("swallowed by an object that is true")


def all_together():
    result = []
    for i in range(2):
        try:
            with Manager(f"try {i}") as manager, Manager("second", swallow=i == 0):
                result.append(manager.name)
                if i:
                    return snap(result)
                raise ValueError(snap(i))
        finally:
            result.append(snap(f"finally {i}"))
        result.append("after")


events.append(all_together())
try:
    with snap(5):
        pass
except TypeError as error:
    events.append(type(error).__name__)

print("\n".join(map(repr, events)))

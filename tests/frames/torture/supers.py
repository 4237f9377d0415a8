"""super() in every form: without and with arguments, in every kind of method, in closures, along a diamond."""

from snap import snap

events = []


class Base:
    attribute = "base attribute"

    def __init__(self, *names):
        self.names = [snap("Base"), *names]

    def method(self):
        return [snap("Base.method")]

    @classmethod
    def of_class(cls):
        return ["Base.of_class", snap(cls.__name__)]

    @staticmethod
    def static():
        return ["Base.static", snap(1)]

    @property
    def value(self):
        return snap("Base.value")

    def __getitem__(self, key):
        return ("Base[]", snap(key))

    def __enter__(self):
        return snap("Base.__enter__")

    def __exit__(self, *details):
        snap("Base.__exit__")
        return False

    def __len__(self):
        return snap(4)

    def generate(self):
        yield snap("Base.generate")
        yield snap("again")


class Left(Base):
    def __init__(self, *names):
        super().__init__(snap("Left"), *names)

    def method(self):
        return [snap("Left.method"), *super().method()]

    @classmethod
    def of_class(cls):
        return ["Left.of_class", *super().of_class(), snap(1)]

    @property
    def value(self):
        return "Left " + super().value

    def __getitem__(self, key):
        return ("Left[]", super().__getitem__(snap(key)))

    def __len__(self):
        return super().__len__() + snap(1)

    def generate(self):
        yield snap("Left.generate")
        yield from super().generate()


class Right(Base):
    def __init__(self, *names):
        super(Right, self).__init__(snap("Right"), *names)

    def method(self):
        return [snap("Right.method"), *super(Right, self).method()]

    @staticmethod
    def static():
        return ["Right.static", *super(Right, Right).static()]

    @property
    def value(self):
        return "Right " + super(Right, type(self)).value.fget(self)


class Bottom(Left, Right):
    def __init__(self):
        super().__init__(snap("Bottom"))

    def method(self):
        inner = super()
        return [snap("Bottom.method"), *inner.method()]

    def by_closure(self):
        def closure():
            return super(Bottom, self).method()

        return snap(closure)()

    def by_lambda(self):
        return (lambda: [__class__.__name__, snap(super(Bottom, self).attribute)])()

    def by_comprehension(self):
        return [super(Bottom, self).method()[snap(0)] for _ in range(2)]

    def by_name(self, name):
        return getattr(super(), snap(name))

    def __enter__(self):
        snap("Bottom.__enter__")
        return super().__enter__()

    def __exit__(self, *details):
        return super().__exit__(*snap(details))

    def generate(self):
        yield snap("Bottom.generate")
        for item in super().generate():
            yield item


bottom = Bottom()
events.append(bottom.names)
events.append(bottom.method())
events.append(Bottom.of_class())
events.append(bottom.static())
events.append(bottom.value)
events.append(bottom["k"])
events.append(len(bottom))
events.append(bottom.by_closure())
events.append(bottom.by_lambda())
events.append(bottom.by_comprehension())
events.append(bottom.by_name("attribute"))
with bottom as entered:
    events.append(entered)
events.append(list(item for item in [snap(0)]) + [item for item in bottom.generate()])


class Attribute(Bottom):
    def __setattr__(self, name, value):
        super().__setattr__(name, snap(value))

    def __getattribute__(self, name):
        snap(name)
        return super().__getattribute__(name)


attributed = Attribute()
attributed.x = 1
events.append(attributed.x)
try:
    super(Left, Base()).method()
except TypeError as error:
    events.append(type(error).__name__)
try:
    super(Bottom, bottom).nothing
except AttributeError as error:
    events.append(str(error))
events.append(super(Left, bottom).method())

print("\n".join(map(repr, events)))

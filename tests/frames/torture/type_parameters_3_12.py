"""Type parameters and type aliases, whose scopes are functions of their own and are evaluated late."""

from snap import snap

events = []


def first[T](items: list[T], default: T = snap(None)) -> T:
    return snap(items[0]) if items else default


class Box[T: (int, str)]:
    kind = snap("box")

    def __init__(self, value: T):
        self.value = snap(value)

    def map[U](self, function) -> "Box[U]":
        return Box(snap(function(self.value)))

    def own(self):
        return [T.__name__, snap(__class__.__name__)]


class Child[T](Box[T], snap(dict)):
    body = snap("child")


type Pair[A] = tuple[A, snap(A)]
type Late = snap("evaluated late")
type Recursive = list[Recursive] | snap(int)

events.append([first([1, 2]), first([])])
events.append(first.__type_params__[0].__name__)
events.append((Box(5).value, Box(5).map(lambda v: v + snap(1)).value, Box[int](7).value, Box("x").own()))
events.append((Child.body, Child.__type_params__[0].__name__, [b.__name__ for b in Child.__mro__][:4]))
events.append([Pair.__name__, str(Pair.__value__), str(Pair[int])])
events.append(Late.__value__)
events.append(Late.__value__)
events.append(str(Recursive.__value__))
events.append(str(Box.__type_params__[0].__constraints__))


def bounded[T: snap(int)](x: T) -> T:
    return snap(x)


events.append((bounded(1), bounded.__type_params__[0].__bound__))


def outer[T](value: T):
    class Inner[S]:
        held = snap(value)
        names = [T.__name__, S.__name__]

        def get(self, x: T) -> S:
            return [T.__name__, S.__name__, snap(x), value]

    type Local = dict[T, snap("local")]
    return Inner, Local


inner, local = outer(3)
events.append((inner.held, inner.names, inner().get(4), str(local.__value__)))


class Generic[*Ts, **P]:
    def __class_getitem__(cls, item):
        return snap((cls.__name__, item))

    def call(self, *args: *Ts, **kwargs: P.kwargs):
        return snap(args)


events.append((Generic[int, str], Generic().call(1, 2), [p.__name__ for p in Generic.__type_params__]))


def decorated(function):
    snap(function.__name__)
    return function


@decorated
def with_decorator[T](x: T = snap(5)) -> T:
    return snap(x)


events.append(with_decorator())
generators = [g for g in ((yield_ for yield_ in [snap(1)]),)]
events.append([list(g) for g in generators])


def generator[T](x: T):
    got = yield snap(x)
    yield [T.__name__, snap(got)]


g = generator(1)
events.append([next(g), g.send(2)])
snap((Pair, Late, Box, inner))
events.append([Pair.__name__, Late.__value__, Box(1).value, inner.held])
text = f"{snap('a')}{f'{snap("b")}'}{', '.join([snap('c'), 'd'])}"
events.append(text)

print("\n".join(map(repr, events)))

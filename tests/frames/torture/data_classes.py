"""dataclasses, enums, named tuples: made, used and defined while a call is in flight."""

import dataclasses
import enum
import typing
from collections import namedtuple
from dataclasses import dataclass, field

from snap import snap

events = []


@dataclass
class Plain:
    a: int
    b: list = field(default_factory=lambda: snap([]))

    def __post_init__(self):
        self.b.append(snap(self.a))


@dataclass(frozen=True, order=True, slots=True)
class Frozen:
    x: float
    y: str = "y"
    z: tuple = field(default=(1,), compare=False, repr=False)

    @property
    def total(self):
        return snap(self.x + 1)


@dataclass(kw_only=True)
class Derived(Plain):
    c: dataclasses.InitVar[int] = 5
    d: str = field(init=False)

    def __post_init__(self, c):
        super().__post_init__()
        self.d = snap(f"d{c}")


p = Plain(1)
events.append((p, p == Plain(1), dataclasses.asdict(p)))
f = Frozen(snap(1.5))
events.append(
    (f, hash(f) == hash(Frozen(1.5)), f < Frozen(2), f.total, dataclasses.replace(f, y=snap("new")))
)
try:
    f.x = snap(2)
except dataclasses.FrozenInstanceError as error:
    events.append(str(error))
events.append(Derived(a=1, c=snap(7)))
snap((p, f))
events.append([x.name for x in dataclasses.fields(Derived)])
made = dataclasses.make_dataclass("Made", [("k", int)], namespace={"get": lambda self: snap(self.k)})
events.append((made(3).get(), made(4)))


class Colour(enum.Enum):
    RED = snap(1)
    GREEN = snap(2)
    CRIMSON = 1

    @property
    def label(self):
        return snap(self.name.lower())

    @classmethod
    def first(cls):
        return snap(cls.RED)

    @classmethod
    def _missing_(cls, value):
        return snap(cls.GREEN) if value == "verde" else None

    def __str__(self):
        return f"colour {snap(self.value)}"


events.append([Colour(1), Colour["GREEN"], Colour.CRIMSON is Colour.RED, Colour.RED.label, Colour.first()])
events.append([Colour("verde"), str(Colour.RED), [c.name for c in Colour], Colour.RED in {Colour.RED: 1}])
held = Colour.RED
snap(held)
events.append((held is Colour.RED, held is Colour(1)))
try:
    Colour(snap(99))
except ValueError as error:
    events.append(str(error))


class Flag(enum.Flag):
    A = enum.auto()
    B = enum.auto()
    AB = A | B


both = Flag.A | snap(Flag.B)
events.append((both is Flag.AB, Flag.A in both, both & ~Flag.A))


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2

    @staticmethod
    def _generate_next_value_(name, start, count, last):
        return snap(count)


events.append((Level.HIGH > Level.LOW, snap(Level.LOW) + 1, sorted([Level.HIGH, Level.LOW])[0]))


class WithInit(enum.Enum):
    EARTH = (1, 2)
    MARS = (3, 4)

    def __init__(self, mass, radius):
        self.mass = snap(mass)
        self.radius = radius


events.append([planet.mass for planet in WithInit])


class Strings(enum.StrEnum):
    ONE = enum.auto()
    TWO = snap("zwei")


events.append([snap(Strings.ONE) + "!", Strings("zwei").name])
Functional = enum.Enum("Functional", ["P", "Q"])
events.append(snap(Functional.P).name)
Pair = namedtuple("Pair", "left right", defaults=[snap(9)])
events.append((Pair(1), Pair(1, snap(2))._replace(left=3), Pair._fields, snap(Pair(5)).right))


class Typed(typing.NamedTuple):
    name: str
    size: int = 0

    def describe(self):
        return f"{snap(self.name)}:{self.size}"


t = Typed(snap("n"))
name, size = t
events.append((t, t.describe(), name, size, t == ("n", 0), isinstance(t, tuple)))


class TypedDict(typing.TypedDict, total=False):
    k: int


events.append((TypedDict(k=snap(1)), TypedDict.__optional_keys__ == {"k"}))
T = typing.TypeVar("T")


class Box(typing.Generic[T]):
    def __init__(self, value: T):
        self.value = snap(value)


events.append((Box[int](3).value, Box[snap(int)].__args__, typing.get_type_hints(Plain)["a"]))


@dataclass
class Tree:
    value: int
    children: "list[Tree]" = field(default_factory=list)

    def total(self):
        return snap(self.value) + sum([child.total() for child in self.children])


tree = Tree(1, [Tree(2), Tree(3, [Tree(4)])])
events.append((tree.total(), snap(tree) == tree, repr(tree.children[1])))

print("\n".join(map(repr, events)))

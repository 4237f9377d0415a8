"""match: every kind of pattern, guards, captures, class patterns with properties and __match_args__."""

from dataclasses import dataclass
from enum import Enum

from snap import snap

events = []


@dataclass
class Point:
    x: int
    y: int


class Watched:
    __match_args__ = ("left", "right")

    def __init__(self, left, right):
        self._left, self._right = left, right

    @property
    def left(self):
        return snap(self._left)

    @property
    def right(self):
        return snap(self._right)


class Colour(Enum):
    RED = 1
    GREEN = 2


class Mapping(dict):
    def get(self, key, default=None):
        return snap(super().get(key, default))

    def keys(self):
        return snap(super().keys())


class Checked(type):
    def __instancecheck__(cls, instance):
        return snap(instance == "checked")


class Special(metaclass=Checked):
    pass


class Equal:
    def __eq__(self, other):
        return snap(other == 42)

    __hash__ = None


def kind(subject):
    match snap(subject):
        case 0 | 1 as small if snap(True):
            return ("small", small)
        case int(n) if snap(n) > 100:
            return ("large", n)
        case int() | float():
            return "number"
        case "a" | "b":
            return "letter"
        case str(text) if snap(len(text)) == 3:
            return ("three letters", snap(text))
        case []:
            return snap("empty")
        case [x]:
            return ("one", snap(x))
        case [x, [y, *_], *rest] if snap(x):
            return ("nested", x, y, rest)
        case (first, *_, last):
            return ("ends", snap(first), last)
        case {"type": "point", "at": [x, y], **rest}:
            return ("mapping", x, snap(y), rest)
        case {"k": Point(x=0, y=snapped)}:
            return ("point in a mapping", snap(snapped))
        case Point(x, y) if snap(x == y):
            return ("diagonal", x)
        case Point(x=0) | Point(y=0):
            return snap("on an axis")
        case Point():
            return "a point"
        case Watched(1, right=r):
            return ("watched with 1", r)
        case Watched(l, r) if snap(l):
            return ("watched", l, r)
        case Colour.RED:
            return snap("red")
        case Special():
            return "special"
        case None | True:
            return snap("a singleton")
        case Equal():
            return snap("equal")
        case _:
            return ("anything", snap(type(subject).__name__))


for subject in (
    0,
    1,
    500,
    5.5,
    "a",
    "xyz",
    "checked",
    [],
    [9],
    [1, [2, 3], 4],
    [0, [2], 5],
    {"type": "point", "at": (1, 2), "more": 3},
    {"k": Point(0, 7)},
    Point(3, 3),
    Point(0, 5),
    Point(1, 2),
    Watched(1, 2),
    Watched(5, 6),
    Colour.RED,
    Colour.GREEN,
    None,
    Equal(),
    Mapping(type="point", at=[1, 2]),
    b"bytes",
):
    events.append(kind(subject))


def value_patterns(subject):
    class Values:
        answer = Equal()

    match subject:
        case Values.answer:
            return snap("the answer")
        case other:
            return ("no", snap(other))


events.append([value_patterns(42), value_patterns(43)])


def in_a_loop(*commands):
    result = []
    for command in commands:
        match command.split():
            case ["go", ("north" | "south") as direction]:
                result.append(snap(direction))
                continue
            case ["stop"]:
                break
            case ["say", *words]:
                try:
                    result.append(snap(words))
                finally:
                    result.append("said")
            case [verb, *_]:
                result.append(("unknown", snap(verb)))
        result.append("next")
    else:
        result.append("never stopped")
    return result


events.append(in_a_loop("go north", "say a b", "jump high", "stop", "go south"))


def generator():
    match (yield snap("ask")):
        case {"answer": value}:
            yield snap(value)
        case _:
            yield "nothing"


g = generator()
next(g)
events.append(g.send({"answer": 5}))
match snap((1, 2)), snap({"k": "v"}):
    case (a, b), {"k": c} if d := snap(a + b):
        events.append((a, b, c, d))

print("\n".join(map(repr, events)))

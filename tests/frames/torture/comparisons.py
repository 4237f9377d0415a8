"""Comparisons: rich dunders, their reflections, chains, results that are not bools, in conditions and values."""

from functools import total_ordering

from snap import snap

events = []


class Box:
    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return snap(self.value == other.value)

    def __ne__(self, other):
        return snap(self.value != other.value)

    def __lt__(self, other):
        return snap(self.value < other.value)

    def __le__(self, other):
        return snap(self.value <= other.value)

    def __gt__(self, other):
        return snap(self.value > other.value)

    def __ge__(self, other):
        return snap(self.value >= other.value)

    def __hash__(self):
        return hash(self.value)


a, b, c = Box(1), Box(2), Box(3)
events.append([a == b, a != b])
events.append([a < b, a <= b, a > b, a >= b])
events.append(a < b < c)
events.append(a < c < b)
events.append(a > b < c)
events.append(snap(1) < snap(2) <= snap(2) != snap(3) > snap(0))
events.append(snap(1) > snap(2) < snap(3))
events.append(not a == b)
if a == b:
    events.append("equal")
elif a < b:
    events.append("less")
if a < b and b < c or c < a:
    events.append("ordered")
if not a < b < c:
    events.append("never")
else:
    events.append("in order")
while a < b:
    a = Box(a.value + 1)
events.append(a.value)
events.append("same" if a == b else "different")
events.append([box.value for box in (Box(1), Box(2)) if box < c])


class Vague:
    """Its comparisons are not bools."""

    def __init__(self, truth):
        self.truth = truth

    def __lt__(self, other):
        return Answer(self.truth)

    def __eq__(self, other):
        return snap("maybe")

    __hash__ = None


class Answer:
    def __init__(self, truth):
        self.truth = truth

    def __bool__(self):
        return snap(self.truth)

    def __repr__(self):
        return f"Answer({self.truth})"


events.append(Vague(True) < 1)
events.append(Vague(True) == 1)
if Vague(True) < 1:
    events.append("yes")
if Vague(False) < 1:
    events.append("no")
events.append(Vague(True) < 1 < 2)
events.append(Vague(False) < 1 < 2)
events.append(not (Vague(False) < 1))


class Shy:
    def __lt__(self, other):
        snap("declines")
        return NotImplemented

    def __gt__(self, other):
        return snap("greater, reflected")


events.append(Shy() < Shy())
try:
    Shy() < 1
except TypeError as error:
    events.append(str(error))


@total_ordering
class Total:
    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return self.value == other.value

    def __lt__(self, other):
        return snap(self.value < other.value)


events.append([Total(1) > Total(2), Total(1) >= Total(1), Total(2) <= Total(1)])


class Same:
    def __eq__(self, other):
        return snap(isinstance(other, Same))

    def __hash__(self):
        return 5


first, second = Same(), Same()
events.append((first is first, first is not second, first == second, first != second))
table = {first: "one"}
events.append(table.get(second))
events.append([first in [0, second], 0 in [first], [first] == [second], (first, 1) < (second, 2)])

print("\n".join(map(repr, events)))

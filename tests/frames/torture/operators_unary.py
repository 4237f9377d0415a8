"""Unary operators, conversions, truth, containment, and the builtins that ask one dunder."""

import math
import operator

from snap import snap

events = []


class Thing:
    def __neg__(self):
        return snap("neg")

    def __pos__(self):
        return snap("pos")

    def __invert__(self):
        return snap("invert")

    def __abs__(self):
        return snap("abs")

    def __bool__(self):
        events.append("bool")
        return snap(False)

    def __len__(self):
        return snap(3)

    def __int__(self):
        return snap(4)

    def __float__(self):
        return snap(5.5)

    def __complex__(self):
        return snap(6j)

    def __index__(self):
        return snap(2)

    def __hash__(self):
        return snap(77)

    def __repr__(self):
        return snap("<thing>")

    def __str__(self):
        return snap("a thing")

    def __bytes__(self):
        return snap(b"thing")

    def __format__(self, spec):
        return f"[{snap(spec)}]"

    def __round__(self, digits=None):
        return snap(("round", digits))

    def __trunc__(self):
        return snap("trunc")

    def __floor__(self):
        return snap("floor")

    def __ceil__(self):
        return snap("ceil")

    def __contains__(self, item):
        return snap(item) == 1

    def __reversed__(self):
        return snap(iter("cba"))

    def __dir__(self):
        return snap(["b", "a"])


t = Thing()
events.append(-t)
events.append(+t)
events.append(~t)
events.append(not t)
events.append(bool(t))
events.append(abs(t))
events.append(len(t))
events.append([int(t), float(t)])
events.append(complex(t))
events.append(operator.index(t))
events.append([10, 20, 30][t])
events.append("abcdef"[t:])
events.append(hash(t))
events.append(repr(t))
events.append(str(t))
events.append(bytes(t))
events.append(format(t, "spec"))
events.append(round(t))
events.append(round(t, 2))
events.append(math.trunc(t))
events.append((math.floor(t), math.ceil(t)))
events.append(1 in t)
events.append(2 not in t)
events.append(list(reversed(t)))
events.append(dir(t))

if t:
    events.append("true branch")
else:
    events.append("false branch")
if not t:
    events.append("not true")
count = 0
while not t:
    count += 1
    if count == 2:
        break
events.append(count)
events.append("one" if t else "other")
events.append((t and "x") is t)
events.append(t or "y")
events.append([snap(0) and snap(1), snap(2) or snap(3), not snap(4)])
events.append(snap(None) is None and snap([]) == [] or snap("no"))
assert snap(True), "never"


class Wrong:
    def __bool__(self):
        return snap("not a bool")

    def __len__(self):
        return snap(-1)

    def __index__(self):
        return snap("nothing")


for ask in (bool, len, operator.index):
    try:
        ask(Wrong())
    except (TypeError, ValueError) as error:
        events.append(str(error))
try:
    if Wrong():
        events.append("unreachable")
except TypeError as error:
    events.append(str(error))


class OnlyLength:
    def __len__(self):
        return snap(0)


events.append(not OnlyLength())
events.append("empty" if not OnlyLength() else "full")


class OnlyItems:
    def __getitem__(self, index):
        if index > 2:
            raise IndexError
        return snap(index * 10)


events.append(10 in OnlyItems())
events.append([item for item in OnlyItems()])

print("\n".join(map(repr, events)))

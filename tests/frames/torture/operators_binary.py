"""Every binary operator: its dunder, the reflected one after NotImplemented, and the in-place one."""

import operator

from snap import snap

events = []


class Number:
    """Answers each operator with a tuple that says which method was called."""

    def __init__(self, name):
        self.name = name


class Reflected(Number):
    """Answers only the reflected operators."""


class InPlace(Number):
    """Answers the in-place operators, and returns itself."""


NAMES = [
    "add",
    "sub",
    "mul",
    "matmul",
    "truediv",
    "floordiv",
    "mod",
    "divmod",
    "pow",
    "lshift",
    "rshift",
    "and",
    "or",
    "xor",
]


def forward(name):
    def method(self, other, *modulo):
        return (name, self.name, other, snap(len(name)), *modulo)

    return method


def declining(name):
    def method(self, other):
        snap(name)
        return NotImplemented

    return method


def in_place(name):
    def method(self, other):
        events.append((name, other))
        return snap(self)

    return method


for name in NAMES:
    setattr(Number, f"__{name}__", forward(name))
    setattr(Reflected, f"__r{name}__", forward("r" + name))
    if name != "divmod":
        setattr(InPlace, f"__i{name}__", in_place("i" + name))
for name in ["sub", "mod"]:
    setattr(Reflected, f"__{name}__", declining(name))

n, r, i = Number("n"), Reflected("r"), InPlace("i")

events.append(n + 1)
events.append(n - 2)
events.append((n * 3, n @ 4))
events.append([n / 5, n // 6, n % 7])
events.append(n**8)
events.append({"shift": n << 9, "right": n >> 10})
events.append((n & 11, n | 12, n ^ 13))
events.append(divmod(n, 14))
events.append(pow(n, 15, 16))
events.append(operator.add(n, 17))

events.append(1 + r)
events.append((2 - r, 3 * r))
events.append(4 @ r)
events.append(5 / r)
events.append(6 // r)
events.append(7 % r)
events.append(divmod(8, r))
events.append(9**r)
events.append((10 << r, 11 >> r))
events.append((12 & r) + (13 | r) + (14 ^ r))


class Left:
    def __repr__(self):
        return "left"

    def __sub__(self, other):
        snap("declined")
        return NotImplemented

    __mod__ = __sub__


events.append(Left() - r)
try:
    Left() % Left()
except TypeError as error:
    events.append(str(error))

kept = i
i += 1
i -= 2
i *= 3
i @= 4
i /= 5
i //= 6
i %= 7
i **= 8
i <<= 9
i >>= 10
i &= 11
i |= 12
i ^= 13
events.append(i is kept)

box = {"k": InPlace("in a box")}
whole = box["k"]
box["k"] += snap(1)
events.append(box["k"] is whole)


class Holder:
    pass


holder = Holder()
holder.value = whole
holder.value *= snap(2)
events.append(holder.value is whole)


class NoInPlace:
    def __add__(self, other):
        return ("added", snap(other))


plain = NoInPlace()
plain += 18
events.append(plain)


class Sub(Number):
    """A subclass on the right: its reflected method is asked first."""

    def __radd__(self, other):
        return ("radd of the subclass", other.name, snap(self.name))


events.append(n + Sub("sub"))
events.append(snap(1) + snap(2) * snap(3) - -snap(4))
events.append(snap("a") + snap("b") * snap(3))
events.append(snap([1]) + snap([2]))

print("\n".join(map(repr, events)))

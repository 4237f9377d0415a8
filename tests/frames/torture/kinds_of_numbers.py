"""Constants and values whose kind must survive: 1, 1.0, True, -0.0, nan, large, complex, bytes, constants."""

import decimal
import fractions
import math
import struct

from snap import snap

events = []


def kinds(*values):
    return [(type(v).__name__, repr(v)) for v in values]


def one_of_each():
    return kinds(1, snap(1.0), True, snap(0), 0.0, False, -0.0, snap(-0.0), 1j, -0j, 1.0, 1, True)


def stack_of_equals():
    return [
        1,
        1.0,
        True,
        snap("x"),
        1,
        1.0,
        True,
        0,
        0.0,
        -0.0,
        False,
        snap("y"),
        (1, 1.0, True),
        (0, 0.0, -0.0),
    ]


def tuple_constants():
    snap("before")
    return kinds((1,), (1.0,), (True,), ((1, 1.0), (True, -0.0)), frozenset({1}), "1", b"1")


def branches(x):
    if snap(x) == 1:
        return [1, x is True, type(x).__name__]
    return [0.0]


events.append(one_of_each())
events.append([(type(v).__name__, repr(v)) for v in stack_of_equals()])
events.append(tuple_constants())
events.append([branches(1), branches(1.0), branches(True), branches(0)])
nan = float("nan")
held = [nan, nan]
snap(held)
events.append((nan == nan, math.isnan(held[0]), math.isnan(held[1])))
infinite = [float("inf"), -float("inf")]
snap(infinite)
events.append(infinite)
large = 2**100 + 1
snap(large)
events.append((large, -large, large.bit_length(), hash(large) == hash(2**100 + 1)))
small = [-5, -6, 256, 257]
snap(small)
events.append(small)
z = complex(-0.0, -0.0)
snap(z)
events.append((repr(z), math.copysign(1, z.real), math.copysign(1, z.imag)))
tiny = 5e-324
snap(tiny)
events.append((tiny, struct.pack(">d", tiny).hex(), struct.pack(">d", -0.0).hex()))
d = decimal.Decimal("1.10")
f = fractions.Fraction(6, 4)
snap((d, f))
events.append((d, str(d), f, d + 1, f * 2))
with decimal.localcontext() as context:
    context.prec = 5
    snap("in a decimal context")
    events.append(decimal.Decimal(1) / decimal.Decimal(3))
events.append(decimal.getcontext().prec)


class Int(int):
    def __add__(self, other):
        return Int(int(self) + snap(other))


class Float(float):
    pass


i = Int(5)
i += 1
snap((i, Float(1.5)))
events.append((type(i).__name__, i, type(Float(2.5) + snap(1)).__name__))
events.append(kinds(i, Float(1.5), bool(snap(1)), int(snap(True)), True + snap(True)))
mixed = {1: "int"}
mixed[snap(1.0)] = "float"
mixed[True] = snap("bool")
events.append((mixed, kinds(*mixed)))
events.append({1.0, snap(1)} == {True})
events.append([1 == snap(1.0), (1).__eq__(snap(1.0)), 0.1 + snap(0.2)])
text = "e\u0301" + "\U0001d11e" + "\x00" + "\ud800"
snap(text)
events.append((len(text), ascii(text)))
data = b"\x00\xff" + bytes(range(3))
snap((data, bytearray(data)))
events.append(data)
r = range(snap(0), snap(10**30), snap(10**29))
events.append((r, len(r), r[snap(3)]))
s = slice(snap(1), None, snap(-1))
events.append((s, s.indices(5)))
e = [..., NotImplemented, None]
snap(e)
events.append([x is y for x, y in zip(e, [..., NotImplemented, None])])


def many_constants():
    values = [1, 1.0, True, 1j, "1", b"1", (1,), (1.0,), None, 0, 0.0, -0.0, False, 2, 2.0, 3, 3.0]
    a = snap(values[1])
    return kinds(a, 1, 1.0, True, -0.0, 0.0, 2, 2.0), [type(v).__name__ for v in values]


events.append(many_constants())
events.append([snap(1) / 1, snap(1) // 1.0, snap(True) << 1, -snap(0.0), ~snap(5), +snap(True)])
events.append(round(snap(2.5)) + round(snap(-0.4), 1))
events.append((lambda a=1, b=1.0, c=True: kinds(snap(a), b, c))())

print("\n".join(map(repr, events)))

"""Unpacking, starred, multiple assignment, order of evaluation, displays built with values in flight."""

from snap import snap

events = []


class Sequence:
    """Iterated by Python code."""

    def __init__(self, *items):
        self.items = items

    def __iter__(self):
        snap("__iter__")
        return iter(self.items)


class Mapping:
    def keys(self):
        return snap(["a", "b"])

    def __getitem__(self, key):
        return snap(key.upper())


a, b = snap((1, 2))
c, (d, [e, f]) = snap(3), (snap(4), [snap(5), snap(6)])
events.append((a, b, c, d, e, f))
first, *middle, last = snap([1, 2, 3, 4])
events.append((first, middle, last))
*start, end = snap("xyz")
events.append((start, end))
a, b = b, snap(a)
events.append((a, b))
x = y = z = snap([])
events.append(x is y is z)
target = {}
target[snap("k")], target[snap("l")] = snap(1), snap(2)
events.append(target)
a, *b = Sequence(1, 2, 3)
events.append((a, b))
[p, q] = Sequence(snap(7), snap(8))
events.append((p, q))

events.append([*snap([1]), snap(2), *Sequence(3, 4), *snap((5,))])
events.append((*snap([1]), snap(2), *Sequence(3)))
events.append(sorted({*snap([1]), snap(2), *Sequence(1, 3)}))
events.append({**snap({"a": 1}), "b": snap(2), **{"c": snap(3)}})
events.append({**Mapping(), "c": snap("C")})
events.append(dict(**{"k": snap(1)}, **snap({"l": 2})))


def f(*args, **kwargs):
    return snap((args, kwargs))


events.append(f(*Sequence(1, 2), **Mapping()))
events.append(f(*Sequence(1), *snap([2]), x=snap(3), **snap({"y": 4})))
events.append([1, [2, [3, [4, snap(5)], snap(6)], snap(7)], snap(8)])
events.append((1, 2.5, snap("three"), None, True, snap(b"four"), ..., snap(5j)))
events.append([snap(i) + j for i, j in [(1, 2), (3, 4)]])
for i, (j, *k) in [(snap(1), "abc"), (2, [snap(5), 6])]:
    events.append((i, j, k, snap("in the loop")))


def returns_many():
    return snap(1), *snap([2, 3]), *Sequence(4)


events.append(returns_many())


def yields_many():
    yield snap(1), *snap([2])


events.append(next(yields_many()))
for wrong in (lambda: exec("a, b = snap([1])"), lambda: f(*snap(5)), lambda: f(**snap({1: 2}))):
    try:
        wrong()
    except (ValueError, TypeError) as error:
        events.append(str(error).replace("__main__.", ""))


class Sizes:
    def __getitem__(self, index):
        if index == 3:
            raise IndexError
        return snap(index)


events.append([*map(str, [1, 2])] + [item for item in Sizes()])


def order(label):
    events.append(label)
    return snap(label)


class Box(dict):
    def __setitem__(self, key, value):
        order("store")
        super().__setitem__(key, value)


box = Box()
order_target = [box]
order_target[order(0)][order("key")] = order("value")
events.append(box)
box[order("k2")], box[order("k3")] = order("v2"), order("v3")
assert order(1) < order(2) < order(3)
events.append([order("a") if order("") else order("b"), order("c") and order("d")])
events.append({order("k"): order("v"), order("k2"): order("v2")})
events.append(f(order("p"), *[order("q")], k=order("r"), **{"s": order("t")}))

print("\n".join(map(repr, events)))

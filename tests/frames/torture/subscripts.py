"""Subscripts and slices: load, store, delete, augmented; mappings with __missing__; nested displays."""

from collections import ChainMap, UserDict, UserList, defaultdict

from snap import snap

events = []


class Table:
    def __init__(self):
        self.data = {}

    def __getitem__(self, key):
        events.append(("get", key))
        return snap(self.data.get(str(key), 100))

    def __setitem__(self, key, value):
        events.append(("set", key, snap(value)))
        self.data[str(key)] = value

    def __delitem__(self, key):
        snap("deleting")
        del self.data[str(key)]


t = Table()
t[1] = 2
t["a", ...] = snap(3)
t[1:2] = [4]
t[1 : snap(2) : 3] = 5
t[:] = 6
events.append([t[1], t["a", ...], t[1:2]])
events.append(t[:: snap(-1)])
t[1] += snap(10)
t[1:2] *= 2
t[snap(0)][snap(1) : snap(2)] if False else None
del t[1]
del t[1:2], t[:]
events.append(sorted(t.data))
try:
    del t["nothing"]
except KeyError as error:
    events.append(repr(error))

items = [0, 1, 2, 3, 4, 5]
items[snap(1)] = snap("one")
items[snap(2) : snap(4)] = snap(["two"])
del items[snap(-1)]
del items[snap(0) : snap(1)]
events.append(items)
items[snap(0)], items[snap(1)] = snap("x"), snap("y")
events.append(items[snap(0)] + items[1:][snap(0)])
items[: snap(1)] += ["more"]
events.append(items)


class Missing(dict):
    def __missing__(self, key):
        return snap(key * 2)


missing = Missing(a=1)
events.append([missing["a"], missing["b"], missing.get("c")])
counted = defaultdict(lambda: snap([]))
counted["x"].append(snap(1))
counted["x"].append(2)
events.append(dict(counted))


class Loud(UserDict):
    def __setitem__(self, key, value):
        super().__setitem__(key, snap(value))


loud = Loud(a=1)
loud["b"] = 2
loud.update(c=3)
events.append(dict(loud))
chain = ChainMap({}, missing)
events.append(chain["a"])
chain["z"] = snap(26)
events.append(chain.maps[0])


class Row(UserList):
    def __getitem__(self, index):
        return snap(super().__getitem__(index))


events.append([Row([1, 2, 3])[1], Row([1, 2, 3])[-1]])


class Matrix:
    def __getitem__(self, key):
        row, column = key
        return snap(row * 10 + column)


m = Matrix()
events.append(m[m[0, 1], m[0, 2]])
events.append([m[i, j] for i in range(1) for j in range(2)])
events.append({m[1, 1]: m[2, 2], **{"k": snap("v")}})


class Generic:
    def __class_getitem__(cls, item):
        return (cls.__name__, snap(item))


events.append(Generic[int])
events.append(Generic[snap("x"), 1])
events.append({snap("k"): snap("v"), snap("k2"): [snap(1), *snap([2, 3]), {snap(4)}]}["k2"][snap(0)])
events.append(list[snap(int)] == list[int])
memory = memoryview(bytearray(b"abcdef"))
memory[snap(0)] = snap(122)
events.append(bytes(memory[snap(0) : snap(2)]))

print("\n".join(map(repr, events)))

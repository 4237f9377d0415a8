"""for, with else, break and continue, over every builtin iterator; each is half consumed while it is captured."""

from snap import snap

events = []


class Countdown:
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return self

    def __next__(self):
        if not self.n:
            raise StopIteration
        self.n -= 1
        return snap(self.n)


class Indexed:
    def __getitem__(self, index):
        if index >= 3:
            raise IndexError(index)
        return index * 10

    def __len__(self):
        return 3


class Reversible:
    def __reversed__(self):
        yield snap("c")
        yield "b"


def generator():
    yield 1
    yield 2
    yield 3


def run(name, iterable):
    """Capture on the first two items; the rest must come after."""
    seen = []
    for number, item in enumerate(iterable):
        seen.append(snap(item) if number < 2 else item)
    else:
        seen.append("else")
    events.append((name, seen))


run("range", range(3))
run("range with step", range(10, 0, -4))
run("large range", range(10**20, 10**20 + 3))
run("list", [1, 2, 3])
run("tuple", (1, 2, 3))
run("dict", {"a": 1, "b": 2, "c": 3})
run("keys", {"a": 1, "b": 2}.keys())
run("values", {"a": [1], "b": [2]}.values())
run("items", {"a": 1, "b": 2}.items())
run("reversed dict", reversed({"a": 1, "b": 2}))
run("reversed items", reversed({"a": 1, "b": 2}.items()))
run("reversed values", reversed({"a": 1, "b": 2}.values()))
run("set", {1, 2, 3})
run("frozenset", frozenset([1, 2]))
run("str", "abc")
run("wide str", "äλ𝄞")
run("bytes", b"abc")
run("bytearray", bytearray(b"ab"))
run("memoryview", memoryview(b"abc"))
run("enumerate", enumerate("abc", 5))
run("zip", zip([1, 2], "ab"))
run("zip strict", zip([1, 2], "ab", strict=True))
run("zip of nothing", zip())
run("map", map(str, [1, 2]))
run("map of two", map(max, [1, 5], [3, 2]))
run("filter", filter(None, [0, 1, 2]))
run("reversed", reversed([1, 2, 3]))
run("reversed range", reversed(range(3)))
run("reversed str", reversed("abc"))
run("iter of list", iter([1, 2, 3]))
run("callable", iter([3, 2, 1, 0].pop, 3))
run("indexed", Indexed())
run("reversed indexed", reversed(Indexed()))
run("reversible", reversed(Reversible()))
run("countdown", Countdown(3))
run("generator", generator())
run("generator expression", (x * 2 for x in [1, 2]))
run("nested", zip(enumerate(reversed([1, 2])), map(str, generator()), filter(None, "ab")))
run("sorted strings", sorted({"a", "b", "c"}))
run("list that grows", (growing := [1]))


def strings_in_a_set():
    """Their order is not the same in another process, but each comes once."""
    seen = []
    for number, item in enumerate({"a", "b", "c", "d", "e"}):
        seen.append(snap(item) if number in (1, 2) else item)
    return sorted(seen)


events.append(strings_in_a_set())
growing = [1]
for item in growing:
    if snap(item) < 3:
        growing.append(item + 1)
events.append(growing)
shrinking = [1, 2, 3, 4]
for item in shrinking:
    shrinking.remove(snap(item))
events.append(shrinking)
shared = iter(range(6))
for a in shared:
    b = next(shared)
    events.append((snap(a), b))
    if a == 2:
        break
events.append(list(shared))
two = iter("abcd")
events.append([snap(pair) for pair in zip(two, two)])
alive = [
    iter([1, 2, 3]),
    iter("xyz"),
    iter(range(3)),
    iter({"k": 1}),
    enumerate("ab"),
    reversed([1, 2]),
    iter((1, 2)),
]
events.append([next(i) for i in alive])
snap("with half consumed iterators alive")
events.append([list(i) for i in alive])
snap("with exhausted iterators alive")
events.append([list(i) for i in alive])
table = {"a": 1, "b": 2}
try:
    for key in table:
        table[snap("c")] = 3
except RuntimeError as error:
    events.append(str(error))


def control():
    for i in range(4):
        for j in Countdown(3):
            if j == i:
                break
            if snap(j) == 2:
                continue
            events.append(("inner", i, j))
        else:
            events.append(("no break", i))
        while True:
            if i == snap(1):
                break
            i = 1
        else:
            events.append("never")
        if i > 0:
            break
    else:
        events.append("never")
    for i in []:
        pass
    else:
        return snap(i)


events.append(control())
for [k, (v, w)] in {"k": (1, 2)}.items():
    events.append((snap(k), v, w))
box = {}
for box["key"] in snap([1, 2]):
    events.append(snap(dict(box)))
n = 3
while snap(n):
    n -= 1
    if n == 1:
        continue
else:
    events.append("while else")

print("\n".join(map(repr, events)))

"""Identity across frames: the same object in several frames, cells, containers, cycles and on evaluation stacks."""

from snap import snap

events = []
shared = [1]
registry = {"shared": shared}


def outer(first):
    kept = first
    return [kept is shared, *middle({"k": kept}, kept)]


def middle(box, direct):
    def inner(argument):
        checks = [argument is direct, box["k"] is direct, registry["shared"] is argument]
        snap("three frames hold the same list")
        argument.append(2)
        checks += [argument is direct, box["k"] is direct, registry["shared"] is argument, shared is argument]
        return checks

    return inner(direct)


events.append(outer(shared))
events.append(shared)


def on_the_stack(a, b, c):
    return a is b, b is c, a


item = [0]
events.append(on_the_stack(item, snap(item), item))
events.append([item, snap(item) is item, item][0] is item)
events.append((item + [snap(1)], item))
pair = (item, item)
snap(pair)
events.append(pair[0] is pair[1] is item)
cycle = []
cycle.append(cycle)
snap(cycle)
events.append(cycle[0] is cycle)
loop = {}
loop["self"] = loop
loop["in a tuple"] = (loop, [loop])
snap(loop)
events.append(loop["in a tuple"][1][0]["self"] is loop)


class Node:
    def __init__(self):
        self.me = self
        self.other = None

    def method(self):
        snap(self)
        return self


a, b = Node(), Node()
a.other, b.other = b, a
bound = a.method
snap("with a ring of two")
events.append((a.other.other is a, a.me is a, bound() is a, bound.__self__ is a))


def generator(held):
    yield held
    yield held is shared


g = generator(shared)
events.append(next(g) is shared)
snap("a generator holds it too")
events.append(next(g))


def closure_pair():
    cell = []

    def get():
        return cell

    def put(value):
        nonlocal cell
        cell = value

    return get, put


get, put = closure_pair()
put(shared)
snap("a cell holds it too")
events.append(get() is shared)
put([])
events.append(get() is shared)


class Holder:
    items = shared
    default = lambda self, x=shared: x is shared


snap(Holder)
events.append((Holder.items is shared, Holder().default()))
text = "".join(["in", "terned?"])
same = text
snap(text)
events.append(same is text)
empties = ((), "", b"", frozenset(), None, True, ..., NotImplemented, 0, 256)
snap("singletons")
events.append(
    [x is y for x, y in zip(empties, ((), "", b"", frozenset(), None, True, ..., NotImplemented, 0, 256))][:8]
)
sentinel = object()


def with_default(x=sentinel):
    snap("called")
    return x is sentinel


events.append(with_default())
cls = type("Local", (), {})
instance = cls()
snap(instance)
events.append((type(instance) is cls, isinstance(instance, cls), cls.__mro__[0] is cls))
key = ("a", 1)
table = {key: [key]}
snap(table)
events.append(table[key][0] is key)
error = ValueError(shared)
try:
    raise error
except ValueError as caught:
    snap("raised")
    events.append((caught is error, caught.args[0] is shared))
view = memoryview(data := bytearray(b"abc"))
snap("a view of a bytearray")
view[0] = 122
events.append((bytes(data), view.obj is data))
function = on_the_stack
snap(function)
events.append(
    (function is on_the_stack, function.__globals__ is globals(), function.__globals__["shared"] is shared)
)
iterator = iter(shared)
snap(iterator)
shared.append("seen by the iterator")
events.append(list(iterator)[-1])
keys = registry.keys()
snap(keys)
registry["new"] = 1
events.append(list(keys))
sets = {frozenset([1]): "f"}
snap(sets)
events.append(sets[frozenset([1])])
nested = [[shared] * 2] * 2
snap(nested)
events.append((nested[0] is nested[1], nested[1][1] is shared))


def recursive(n, chain):
    chain.append(chain if n % 2 else shared)
    if n == 0:
        snap("deep")
        return all(x is chain or x is shared for x in chain)
    return recursive(n - 1, chain)


events.append(recursive(20, []))

print("\n".join(map(repr, events[:-1])), events[-1])

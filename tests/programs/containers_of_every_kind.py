"""With containers of every kind, nested and shared."""

import array
import collections
import os

import stillframe

shared = [1]
held = {
    "set": {1, 2},
    "frozen": frozenset([3]),
    "tuple": (shared, (shared,)),
    "dict": {"k": {"k": shared}},
    "deque": collections.deque([1, 2, 3], maxlen=3),
    "ordered": collections.OrderedDict(b=1, a=2),
    "default": collections.defaultdict(list, a=shared),
    "counter": collections.Counter("aab"),
    "bytearray": bytearray(b"ab"),
    "array": array.array("d", [1.5, 2.5]),
    "range": range(0, 10, 3),
    "slice": slice(1, None, 2),
    "chain": collections.ChainMap({"a": 1}, {"b": shared}),
}
stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
held["default"]["new"].append(5)
held["deque"].append(4)
shared.append(2)
print(held)

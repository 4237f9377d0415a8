"""With half used iterators of every builtin kind alive."""

import itertools
import os

import stillframe

kinds = {
    "list": iter([1, 2, 3]),
    "tuple": iter((1, 2, 3)),
    "dict": iter({"a": 1, "b": 2}),
    "items": iter({"a": 1, "b": 2}.items()),
    "str": iter("abc"),
    "bytes": iter(b"abc"),
    "range": iter(range(3)),
    "enumerate": enumerate("abc"),
    "zip": zip("abc", [1, 2, 3]),
    "map": map(str, [1, 2, 3]),
    "filter": filter(None, [1, 0, 2]),
    "reversed": reversed([1, 2, 3]),
    "callable": iter([1, 2, 3].pop, 1),
    "chain": itertools.chain([1], [2, 3]),
    "count": itertools.count(5),
    "cycle": itertools.cycle("ab"),
    "islice": itertools.islice("abcd", 3),
    "product": itertools.product("ab", [1, 2]),
    "accumulate": itertools.accumulate([1, 2, 3]),
    "pairwise": itertools.pairwise("abc"),
}
print({name: next(iterator) for name, iterator in kinds.items()})
stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
print({name: list(itertools.islice(iterator, 3)) for name, iterator in kinds.items()})

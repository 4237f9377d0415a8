"""for over every iterator of itertools, half consumed while it is captured, also nested and shared."""

import itertools
import operator

from snap import snap

events = []


def run(name, iterable, limit=4):
    """Capture on the second item; the rest must come after."""
    seen = []
    for number, item in enumerate(iterable):
        seen.append(snap(item) if number == 1 else item)
        if number + 1 == limit:
            break
    events.append((name, seen))


run("chain", itertools.chain([1], "ab", (2, 3)), 9)
run("chain from iterable", itertools.chain.from_iterable([[1, 2], [3]]), 9)
run("cycle", itertools.cycle("abc"), 7)
run("count", itertools.count(5, 2))
run("count of floats", itertools.count(0.5, 0.25))
run("large count", itertools.count(2**62 + 2**61, 2**62))
run("repeat", itertools.repeat("x", 3))
run("endless repeat", itertools.repeat(7))
run("accumulate", itertools.accumulate([1, 2, 3, 4]))
run("accumulate with function", itertools.accumulate([1, 2, 3], operator.mul, initial=10))
run("islice", itertools.islice("abcdefgh", 1, 7, 2))
run("takewhile", itertools.takewhile(str.islower, "abCd"))
run("dropwhile", itertools.dropwhile(str.islower, "abCde"))
run("filterfalse", itertools.filterfalse(None, [0, 1, "", 2, []]))
run("product", itertools.product([1, 2], "ab"))
run("product with repeat", itertools.product([0, 1], repeat=2))
run("permutations", itertools.permutations([1, 2, 3], 2), 9)
run("combinations", itertools.combinations("abcd", 2), 9)
run("combinations with replacement", itertools.combinations_with_replacement("ab", 2))
run("zip_longest", itertools.zip_longest([1, 2, 3], "a", fillvalue="-"))
run("pairwise", itertools.pairwise([1, 2, 3, 4]))
run("starmap", itertools.starmap(pow, [(2, 3), (3, 2), (10, 1)]))
run("compress", itertools.compress("abcdef", [1, 0, 1, 1, 0, 1]))
left, right = itertools.tee([1, 2, 3, 4])
run("tee", left)
run("other side of tee", right)
left, right = itertools.tee("abc")
next(left)
snap("with two sides of a tee alive, at different places")
events.append((list(left), list(right)))
for key, group in itertools.groupby("aabbbc"):
    events.append((snap(key), len(list(group))))
grouped = itertools.groupby([1, 1, 2, 2, 3], lambda n: n > 1)
key, group = next(grouped)
events.append((key, next(group)))
snap("with a group half consumed")
events.append([list(group), [(k, list(g)) for k, g in grouped]])
run("nested", itertools.islice(itertools.chain(itertools.repeat(0, 2), itertools.cycle([1, 2])), 7), 9)
run("zip of itertools", zip(itertools.count(), itertools.pairwise("abc"), itertools.accumulate([1, 2])))
alive = {
    "chain": itertools.chain([1, 2], [3]),
    "cycle": itertools.cycle([1, 2]),
    "count": itertools.count(3),
    "product": itertools.product("ab", [1, 2]),
    "permutations": itertools.permutations("abc"),
    "islice": itertools.islice(range(10), 2, 8),
    "accumulate": itertools.accumulate([1, 2, 3]),
    "takewhile": itertools.takewhile(bool, [1, 2, 0, 3]),
    "zip_longest": itertools.zip_longest("ab", "c"),
    "pairwise": itertools.pairwise("abcd"),
}
events.append({name: next(iterator) for name, iterator in alive.items()})
snap("with one of each alive")
events.append({name: list(itertools.islice(iterator, 3)) for name, iterator in alive.items()})
snap("again")
events.append({name: next(iterator, "end") for name, iterator in alive.items()})
source = iter(range(10))
first, second = itertools.islice(source, 3), itertools.islice(source, 3)
events.append([next(first), next(second)])
snap("with two slices of one iterator")
events.append([list(first), list(second), list(source)])


def batched(iterable, n):
    iterator = iter(iterable)
    while batch := list(itertools.islice(iterator, n)):
        yield snap(batch)


run("batches by hand", batched(range(5), 2))
untouched = [itertools.count(), itertools.cycle([]), itertools.chain(), itertools.repeat(1, 0)]
snap("with untouched ones alive")
events.append([next(iterator, "empty") for iterator in untouched])
for a, b in itertools.product([snap(1), 2], repeat=2):
    if a == b:
        continue
    for c in itertools.combinations([a, b, 3], 2):
        if snap(c) == (2, 3):
            break
    else:
        events.append("no break")
    events.append((a, b, c))

print("\n".join(map(repr, events)))

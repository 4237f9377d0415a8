"""Stand-ins change nothing: what a builtin function comes to, calls and leaves behind is the same with and without.

Each call is made twice, by CPython's C and by its stand-in, in two worlds that are alike. Compared are result or
error with message, context and traceback; each call into the program's code, in order; and what is left of the
list, set, dictionary or iterator. STAND_INS_EVERYTHING=1 tries many more worlds.
"""

from __future__ import annotations

import functools
import gc
import inspect
import itertools
import operator
import os
import re
import sys
import traceback
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stillframe.frames import diversions, stand_ins

EXAMPLES = 2000 if os.environ.get("STAND_INS_EVERYTHING") else 50
WAYS = (
    "generator", "iterable", "iterator", "old sequence", "list", "tuple", "deep tuple", "map", "filter", "zip",
    "enumerate", "chain", "dict", "values", "list subclass", "hinted", "badly hinted", "negatively hinted",
    "unhinted", "nothing", "not an iterator",
)  # fmt: skip


class World:
    """What a call is made with: everything in it notes what is done to it."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.facts = facts
        self.log: list[Any] = []
        self.left: list[Any] = []
        self.subject: Any = None

    def note(self, *what: Any) -> None:
        self.log.append(what)
        if len(self.log) == self.facts["breaks_at"]:
            raise self.facts["error"](f"broken at {len(self.log)}")
        if len(self.log) == self.facts["mutates_at"]:
            self.mutate()

    def mutate(self) -> None:
        """Do something to the list, set or dictionary at work."""
        if type(self.subject) is list:
            [lambda s: s.append(1), lambda s: (s.append(1), s.clear()), list.clear, list.pop][
                self.facts["breaks_at"] % (4 if self.subject else 3)
            ](self.subject)

    def items(self) -> list[Any]:
        return [self.item(spec) for spec in self.facts["items"]]

    def item(self, spec: Any) -> Any:
        if isinstance(spec, tuple) and spec and spec[0] == "item":
            return Item(self, *spec[1:])
        if isinstance(spec, tuple):
            return tuple(self.item(part) for part in spec)
        return spec

    def iterable(self) -> Any:
        made = self.made(self.facts["way"], self.items())
        self.left.append(made)
        return made

    def made(self, way: str, items: list[Any]) -> Any:
        def generate() -> Iterator[Any]:
            for item in items:
                self.note("next")
                yield item

        simple = {
            "generator": generate, "list": lambda: items, "tuple": lambda: tuple(items),
            "deep tuple": lambda: tuple((item, 1) for item in items), "map": lambda: map(self.key, items),
            "filter": lambda: filter(self.key, items), "zip": lambda: zip(generate(), items, strict=False),
            "enumerate": lambda: enumerate(generate()), "chain": lambda: itertools.chain(generate(), items),
            "dict": lambda: {number: item for number, item in enumerate(items)},
            "values": lambda: {number: item for number, item in enumerate(items)}.values(),
            "list subclass": lambda: ListOfOurs(items), "nothing": lambda: 5,
        }  # fmt: skip
        return simple[way]() if way in simple else CLASSES[way](self, items)

    def key(self, item: Any) -> Any:
        self.note("key", shape(item))
        return item if self.facts["key_gives_item"] else shape(item)

    def combine(self, left: Any, right: Any) -> Any:
        self.note("combine", shape(left), shape(right))
        return right


class ListOfOurs(list):
    pass


@functools.total_ordering
class Item:
    """A value that notes what is asked of it, and answers as it was told to."""

    def __init__(self, world: World, value: int, mood: str) -> None:
        self.world, self.value, self.mood = world, value, mood

    def answer(self, what: str, other: Any, value: Callable[[], Any]) -> Any:
        self.world.note(what, self.value, shape(other))
        if self.mood == "unknowing" or not isinstance(other, (Item, int, float)):
            return NotImplemented
        return Truth(self.world, value()) if self.mood == "wordy" and isinstance(value(), bool) else value()

    def __lt__(self, other: Any) -> Any:
        return self.answer("<", other, lambda: self.value < value_of(other))

    def __gt__(self, other: Any) -> Any:
        return self.answer(">", other, lambda: self.value > value_of(other))

    def __eq__(self, other: object) -> Any:
        return self.answer("==", other, lambda: self.value == value_of(other))

    def __hash__(self) -> int:
        self.world.note("hash", self.value)
        return hash(self.value)

    def __add__(self, other: Any) -> Any:
        return self.answer("+", other, lambda: Item(self.world, self.value + int(value_of(other)), self.mood))

    def __radd__(self, other: Any) -> Any:
        return self.answer("r+", other, lambda: float(self.value) if self.mood == "wordy" else self)

    def __bool__(self) -> bool:
        self.world.note("bool", self.value)
        return self.value > 0

    def __str__(self) -> str:
        self.world.note("str", self.value)
        return f"{self.value} {self.mood}"

    __repr__ = __str__  # without an address, which is another in each world


class Truth:
    def __init__(self, world: World, value: bool) -> None:
        self.world, self.value = world, value

    def __bool__(self) -> bool:
        self.world.note("truth")
        return self.value


def value_of(thing: Any) -> Any:
    return thing.value if isinstance(thing, Item) else thing


class Iterable:
    def __init__(self, world: World, items: list[Any]) -> None:
        self.world, self.rest = world, list(items)

    def __iter__(self) -> Any:
        self.world.note("iter")
        return Iterating(self.world, self.rest)


class Iterating(Iterable):
    def __iter__(self) -> Any:
        self.world.note("iter")
        return self

    def __next__(self) -> Any:
        self.world.note("next")
        if not self.rest:
            raise StopIteration
        return self.rest.pop(0)


class Hinted(Iterating):
    def __length_hint__(self) -> Any:
        self.world.note("hint")
        return len(self.rest)


class BadlyHinted(Iterating):
    def __len__(self) -> Any:
        self.world.note("len")
        return "many"


class NegativelyHinted(Iterating):
    def __length_hint__(self) -> Any:
        return -1


class Unhinted(Iterating):
    def __length_hint__(self) -> Any:
        self.world.note("hint")
        return NotImplemented


class OldSequence(Iterable):
    __iter__ = None  # type: ignore[assignment]

    def __getitem__(self, index: int) -> Any:
        self.world.note("item", index)
        return self.rest[index]


del OldSequence.__iter__
OldSequence.__bases__ = (type("Base", (), {"__init__": Iterable.__init__}),)


class NoIterator(Iterable):
    def __iter__(self) -> Any:
        self.world.note("iter")
        return 5


CLASSES = {
    "iterable": Iterable, "iterator": Iterating, "old sequence": OldSequence, "hinted": Hinted,
    "badly hinted": BadlyHinted, "negatively hinted": NegativelyHinted, "unhinted": Unhinted,
    "not an iterator": NoIterator,
}  # fmt: skip


class Mapping(Iterable):
    """What `dict()` takes for a mapping."""

    def keys(self) -> Any:
        self.world.note("keys")
        return self.world.made(self.world.facts["way"], [1, "a", None])

    def __getitem__(self, key: Any) -> Any:
        self.world.note("get", key)
        return key


class DictOfOurs(dict):
    def __getitem__(self, key: Any) -> Any:
        return "never asked"


class DictWithIter(DictOfOurs):
    def __iter__(self) -> Any:
        return iter([1])


def shape(thing: Any) -> Any:
    """The thing, in a form that can be compared across worlds, orders and types included."""
    if isinstance(thing, Item):
        return f"item {thing.value} {thing.mood}"
    if isinstance(thing, float):
        return f"float {thing.hex()}"
    if isinstance(thing, (list, tuple, set, frozenset)):
        return type(thing).__name__, [shape(part) for part in thing]
    if isinstance(thing, dict):
        return type(thing).__name__, [(shape(key), shape(value)) for key, value in thing.items()]
    if isinstance(thing, (type(None), int, str, bytes)):
        return type(thing).__name__, thing
    return f"a {type(thing).__name__}"


def shape_of_error(error: BaseException | None) -> Any:
    if error is None:
        return None
    lines = [(frame.name, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    return (
        type(error).__name__, str(error), [line for line in lines if line[0] != "outcome"],
        shape_of_error(error.__context__), shape_of_error(error.__cause__),
    )  # fmt: skip


def outcome(call: Callable[[World], Any], facts: dict[str, Any], *, with_stand_ins: bool) -> Any:
    """What the call comes to, all that it did meanwhile, and what it left."""
    world = World(facts)
    arguments = call(world)  # it is made ready first: what that takes is not compared
    result = came = None
    diversions.use_stand_ins(with_stand_ins)
    try:
        result = arguments()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  (whatever it is, it must be the same)
        came = shape_of_error(error)
    finally:
        diversions.use_stand_ins(False)
    log = list(world.log)
    world.facts = {**facts, "breaks_at": 0, "mutates_at": 0}
    came = shape(result) if came is None else came
    left = [rest_of(thing) for thing in world.left]
    return {"came": came, "log": log, "left": left, "subject": shape(world.subject)}


def rest_of(thing: Any) -> Any:
    """What is left of an iterator."""
    try:
        return [shape(item) for item in itertools.islice(thing, 20)]
    except (TypeError, RuntimeError, AttributeError) as error:
        return str(error)


def assert_same(call: Callable[[World], Any], facts: dict[str, Any]) -> None:
    expected = outcome(call, facts, with_stand_ins=False)
    assert outcome(call, facts, with_stand_ins=True) == expected


numbers = st.one_of(
    st.integers(-3, 3),
    st.integers(),
    st.booleans(),
    st.floats(),
    st.sampled_from([0.1, -0.0, 2**62, 2**63, -(2**63)]),
)
values = st.one_of(
    numbers, st.text(max_size=3), st.none(), st.complex_numbers(max_magnitude=4), st.binary(max_size=2),
    st.tuples(st.just("item"), st.integers(-3, 3), st.sampled_from(["plain", "unknowing", "wordy"])),
)  # fmt: skip
moods = st.sampled_from(["plain", "plain", "plain", "wordy", "unknowing"])
ours = st.tuples(st.just("item"), st.integers(-9, 9), moods)
lists = st.one_of(
    st.lists(numbers, max_size=8), st.lists(st.floats(), max_size=8), st.lists(ours, max_size=8),
    st.lists(values, max_size=6), st.lists(st.tuples(values, values), max_size=5), st.lists(st.text(max_size=3)),
    st.lists(st.integers(0, 3).map(lambda n: tuple(range(n))), max_size=4),
)  # fmt: skip
worlds = st.fixed_dictionaries(
    {
        "items": lists, "way": st.sampled_from(WAYS), "breaks_at": st.integers(0, 25),
        "mutates_at": st.sampled_from([0, 0, 0, 1, 3, 6]), "key_gives_item": st.booleans(),
        "error": st.sampled_from([ValueError, TypeError, StopIteration, KeyboardInterrupt, AttributeError]),
        "start": values, "number": st.integers(-1, 3),
    }
)  # fmt: skip


def on_iterable(fn: Callable[..., Any], *before: Any, **named: Any) -> Callable[[World], Any]:
    def ready(world: World) -> Any:
        iterable = world.iterable()
        more = {name: world.key if value is World.key else value for name, value in named.items()}
        return lambda: fn(*before, iterable, **more)

    return ready


def with_subject(make: Callable[[], Any], call: Callable[[Any, Any, World], Any]) -> Callable[[World], Any]:
    def ready(world: World) -> Any:
        world.subject, iterable = make(), world.iterable()
        return lambda: call(world.subject, iterable, world)

    return ready


def with_start(call: Callable[[Any, Any, World], Any]) -> Callable[[World], Any]:
    def ready(world: World) -> Any:
        start, iterable = world.item(world.facts["start"]), world.iterable()
        return lambda: call(start, iterable, world)

    return ready


def pairs(kind: Callable[[Any], Any]) -> Callable[[World], Any]:
    def ready(world: World) -> Any:
        two = [world.made(world.facts["way"], world.items()[:2]), ("b", 2), ["c", 3], "d4", ("e", 5, 6), 7]
        found = (two[index] for index in (1, 2, 3, world.facts["number"]))
        world.left.append(found)
        return lambda: kind(found)

    return ready


def mapping(kind: Callable[[Any], Any]) -> Callable[[World], Any]:
    def ready(world: World) -> Any:
        number = world.facts["number"]
        found = [Mapping(world, []), DictOfOurs(a=1), DictWithIter(a=1), OrderedDict(a=1)][number]
        return lambda: kind(found)

    return ready


def replacing(method: str) -> Callable[[World], Any]:
    def ready(world: World) -> Any:
        items = iter(world.items())

        def answer(match: re.Match[str]) -> Any:
            world.note("match", match.span(), match.group(), match.pos, match.endpos)
            return next(items, "x")

        pattern = re.compile(["b*", "a|(?<=a)b", "^a", "c$|(a)"][world.facts["number"]])
        return lambda: getattr(pattern, method)(answer, "abbacab\nabc", world.facts["start"])

    return ready


def sorting(call: Callable[[list[Any], World], Any], size: int = 1) -> Callable[[World], Any]:
    def ready(world: World) -> Any:
        world.subject = world.items() * size
        return lambda: call(world.subject, world)

    return ready


CALLS: dict[str, Callable[[World], Any]] = {
    "all": on_iterable(all), "any": on_iterable(any), "list": on_iterable(list), "tuple": on_iterable(tuple),
    "set": on_iterable(set), "frozenset": on_iterable(frozenset), "dict": on_iterable(dict),
    "dict and names": on_iterable(dict, a=1, b=2), "dict of pairs": pairs(dict), "dict of a mapping": mapping(dict),
    "sum": on_iterable(sum), "sum from": with_start(lambda start, iterable, _: sum(iterable, start)),
    "sum from, named": with_start(lambda start, iterable, _: sum(iterable, start=start)),
    "max": on_iterable(max), "min": on_iterable(min), "max by key": on_iterable(max, key=World.key),
    "min by key": on_iterable(min, key=World.key), "max or default": on_iterable(max, default=17),
    "min or default": on_iterable(min, default=None, key=None), "min by len": on_iterable(min, key=len),
    "max of several": with_start(lambda start, _, world: max(start, *world.items(), 3)),
    "min of several": with_start(lambda start, _, world: min(start, *world.items(), 3, key=world.key)),
    "max wrongly": with_start(lambda start, _, world: max(start, 3, default=2)),
    "join": on_iterable("-".join), "join by class": with_start(lambda start, iterable, _: str.join(start, iterable)),
    "reduce": with_start(lambda _, iterable, world: functools.reduce(world.combine, iterable)),
    "reduce from": with_start(lambda start, iterable, world: functools.reduce(world.combine, iterable, start)),
    "reduce natively": with_start(lambda _, iterable, world: functools.reduce(operator.add, iterable)),
    "extend": with_subject(lambda: [0], lambda subject, iterable, _: subject.extend(iterable)),
    "extend ours": with_subject(lambda: ListOfOurs([0]), lambda subject, iterable, _: subject.extend(iterable)),
    "set.update": with_subject(lambda: {0}, lambda subject, iterable, _: subject.update([7], iterable, {8: 9})),
    "dict.update": with_subject(lambda: {0: 0}, lambda subject, iterable, _: subject.update(iterable, z=1)),
    "dict.update of a mapping": mapping({"z": 0}.update),
    "sorted": on_iterable(sorted), "sorted by key": on_iterable(sorted, key=World.key, reverse=True),
    "sorted oddly": with_start(lambda start, iterable, _: sorted(iterable, reverse=start)),
    "sorted by no function": with_start(lambda start, iterable, _: sorted(iterable, key=start)),
    "sort": sorting(lambda subject, world: subject.sort()),
    "sort by key": sorting(lambda subject, world: subject.sort(key=world.key)),
    "sort by key, reversed": sorting(lambda subject, world: subject.sort(key=world.key, reverse=True)),
    "sort many": sorting(lambda subject, world: list.sort(subject, reverse=True), size=20),
    "sort by str": sorting(lambda subject, world: subject.sort(key=str)),
    "sub": replacing("sub"), "subn": replacing("subn"),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_a_stand_in_does_what_the_builtin_function_does(name: str) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(worlds)
    def same(facts: dict[str, Any]) -> None:
        assert_same(CALLS[name], facts)

    same()


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(st.data())
def test_sorting_makes_the_same_comparisons(data: st.DataObject) -> None:
    size = data.draw(st.sampled_from([0, 1, 2, 3, 63, 64, 65, 130, 300, 700]))
    pattern = data.draw(st.sampled_from(["random", "runs", "few", "descending", "galloping"]))
    random = data.draw(st.randoms(use_true_random=False))
    number = {
        "random": lambda at: random.randrange(size),
        "runs": lambda at: at % 50 if random.random() < 0.98 else random.randrange(50),
        "few": lambda at: random.randrange(3),
        "descending": lambda at: (size - at) // 2 if random.random() < 0.99 else at,
        "galloping": lambda at: at if at < size // 2 else at % (size // 2 + 1) + at // 40,
    }[pattern]
    facts = {
        "items": [("item", number(at), "plain") for at in range(size)], "way": "list",
        "breaks_at": data.draw(st.sampled_from([0, 0, 0, 5, 500, 1500])), "mutates_at": 0, "key_gives_item": True,
        "error": ValueError, "start": None, "number": 0,
    }  # fmt: skip
    reverse = data.draw(st.booleans())
    key = data.draw(st.sampled_from([None, World.key, "tuples"]))

    def ready(world: World) -> Any:
        world.subject = world.items()
        by = {None: None, World.key: world.key, "tuples": lambda item: (item.value // 2, item)}[key]
        return lambda: world.subject.sort(key=by, reverse=reverse)

    assert_same(ready, facts)


WRONG: list[Callable[[], Any]] = [
    lambda: sorted(), lambda: sorted([1], [2]), lambda: sorted([1], cmp=1), lambda: sorted(5), lambda: [].sort(1),
    lambda: [2, "a"].sort(), lambda: sorted([1], key=5), lambda: sorted((x for x in [1, 2]), reverse="yes"),
    lambda: min(), lambda: max([]), lambda: max(x for x in []), lambda: min((), defult=1), lambda: max(5),
    lambda: min(1, 2, default=3), lambda: max((x for x in []), default=4), lambda: sum(), lambda: sum(5),
    lambda: sum(["a"], ""), lambda: sum((x for x in [b"a"]), b""), lambda: sum([1], 2, 3), lambda: sum([1], first=2),
    lambda: sum(["a"]), lambda: sum(x for x in ["a"]), lambda: any(), lambda: all(1), lambda: any([1], [2]),
    lambda: functools.reduce(max), lambda: functools.reduce(max, 5), lambda: functools.reduce(max, []),
    lambda: functools.reduce(max, (x for x in [])), lambda: functools.reduce(5, [1, 2]), lambda: "".join(),
    lambda: "".join(5), lambda: "".join(x for x in [1]), lambda: str.join(5, ["a"]), lambda: str.join("a"),
    lambda: list(5), lambda: list([1], 2), lambda: list(a=1), lambda: tuple(5), lambda: tuple(a=1), lambda: set(5),
    lambda: set(x for x in [[]]), lambda: frozenset(x for x in [{}]), lambda: dict(5), lambda: dict(x for x in [1]),
    lambda: dict(x for x in ["a"]), lambda: dict(x for x in [([], 1)]), lambda: dict([1], [2]),
    lambda: dict({}, **{"a": 1}),
    lambda: [].extend(5), lambda: [].extend(), lambda: set().update(5), lambda: {}.update(5), lambda: {}.update([], []),
    lambda: re.sub("a", lambda m: 5, "a"), lambda: re.sub("a", lambda m: None, "a"), lambda: re.sub("a", len, 5),
    lambda: re.sub("a", lambda m: "x", b"a"), lambda: re.sub(b"a", lambda m: "x", b"a"), lambda: re.sub("(", len, "a"),
    lambda: re.compile("a").sub(lambda m: "x", bytearray(b"a")), lambda: re.compile("a").sub(len),
    lambda: re.compile("a").sub(),
    lambda: re.compile("a").sub(string="aa", repl=lambda m: "x", count=1), lambda: re.compile("a").subn(len, "a", "b"),
    lambda: re.compile("a").sub(lambda m: "x", "aaa", -1), lambda: re.compile("a").sub(lambda m: "x", "aaa", 2**70),
    lambda: re.compile("b").sub(lambda m: "x", "aaa"), lambda: re.sub("", lambda m: "-", "abc"),
]  # fmt: skip


@pytest.mark.parametrize("call", WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_is_said_as_before(call: Callable[[], Any]) -> None:
    facts = {"breaks_at": 0, "mutates_at": 0}
    assert_same(lambda world: call, facts)


@pytest.fixture
def in_use() -> Iterator[None]:
    diversions.use_stand_ins()
    yield
    diversions.use_stand_ins(False)


def test_the_functions_stay_what_they_are(in_use: None) -> None:
    assert repr(sorted) == "<built-in function sorted>"
    assert type(sorted) is type(len) and type(list.sort) is type(list.append)
    assert (
        [].sort.__self__ == []
        and list.sort.__name__ == "sort"
        and sorted.__doc__.startswith("Return a new list")
    )
    assert str(inspect.signature(sorted)) == "(iterable, /, *, key=None, reverse=False)"


def test_a_bound_method_outlives_the_stand_ins() -> None:
    diversions.use_stand_ins()
    numbers = [2, 1]
    sort = numbers.sort
    diversions.use_stand_ins(False)
    sort(key=lambda number: number)
    assert numbers == [1, 2]


def seen_by(call: Callable[[Callable[..., Any]], Any]) -> list[Any]:
    """The names of the frames that the key function of a call can see."""
    found = []

    def look(*_: Any) -> int:
        found.append([frame.name for frame in traceback.extract_stack()][-4:])
        return 1

    call(look)
    return found


@pytest.mark.parametrize("call", [
    lambda look: sorted([1, 2], key=look), lambda look: list(map(look, [1])),
    lambda look: functools.reduce(look, [1, 2]),
    lambda look: [type("C", (), {"__lt__": look})(), type("C", (), {"__lt__": look})()].sort(),
], ids=["sorted", "list", "reduce", "sort"])  # fmt: skip
def test_nobody_sees_the_frames_of_stand_ins(call: Any) -> None:
    plainly = seen_by(call)
    diversions.use_stand_ins()
    try:
        assert seen_by(call) == plainly
    finally:
        diversions.use_stand_ins(False)


def events_of(call: Callable[[], Any], watch: Callable[[Any], None]) -> list[Any]:
    found = []

    def note(frame: Any, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename == __file__ or not event.startswith("c_"):
            found.append((event, frame.f_code.co_name, frame.f_lineno))
        return note

    gc.disable()  # whoever listens to collections would be seen
    watch(note)
    try:
        call()
    finally:
        watch(None)
        gc.enable()
    return [event for event in found if event[1] != "events_of"]


def test_a_trace_function_sees_the_same() -> None:
    def call() -> None:
        sorted([3, 1, 2], key=lambda number: -number)
        sum(number for number in range(3))
        with pytest.raises(ZeroDivisionError):
            list(1 / number for number in [1, 0])

    plainly = events_of(call, sys.settrace)
    diversions.use_stand_ins()
    try:
        assert events_of(call, sys.settrace) == plainly
    finally:
        diversions.use_stand_ins(False)


def test_what_is_diverted_already_is_not_diverted_again(in_use: None) -> None:
    with pytest.raises(ValueError, match="<built-in function sorted> cannot be diverted"):
        diversions._diversions.divert(sorted, stand_ins.sorted_of, 1, 1, (), 0)

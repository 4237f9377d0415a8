"""dumps and loads: one object to bytes and back, here and in another process."""

from __future__ import annotations

import math
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capture.differential import run
from stillframe.capture.values import dumps, loads
from stillframe.errors import CannotCapture, CorruptSnapshot, IncompatibleSnapshot, SnapshotRefused

ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(allow_nan=False),
    st.text(max_size=8),
    st.binary(max_size=8),
    st.just(...),
    st.sampled_from([1, 1.0, True, -0.0, 0.0, 0, False, b"", "", math.inf]),
)
KEYS = st.one_of(st.integers(), st.text(max_size=4), st.tuples(st.integers()), st.booleans())
DATA = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(KEYS, inner, max_size=4),
        st.builds(lambda x: types.SimpleNamespace(x=x), inner),
        st.builds(lambda x: Node(x), inner),
    ),
    max_leaves=20,
)


class Node:
    """A class of the user's: tests are no installed package."""

    def __init__(self, x: Any) -> None:
        self.x = x


def shape(obj: Any) -> Any:
    """Types, values and the sharing of objects, as plain text."""
    seen: dict[int, int] = {}

    def walk(part: Any) -> Any:
        if isinstance(part, list | tuple | dict | Node | types.SimpleNamespace):
            if id(part) in seen:
                return "again", seen[id(part)]
            if type(part) is not tuple:
                seen[id(part)] = len(seen)
        if isinstance(part, list | tuple):
            return type(part).__name__, [walk(each) for each in part]
        if isinstance(part, dict):
            return "dict", [(walk(key), walk(value)) for key, value in part.items()]
        if isinstance(part, Node | types.SimpleNamespace):
            return type(part).__qualname__, walk(vars(part))
        return type(part).__name__, repr(part)

    return walk(obj)


@settings(max_examples=300, deadline=None)
@given(obj=DATA)
def test_any_data_comes_back_with_its_types_and_its_order(obj: Any) -> None:
    assert shape(loads(dumps(obj))) == shape(obj)


def container_of(kind: str, one: Any, two: Any) -> Any:
    if kind == "list":
        return [one]
    if kind == "dict":
        return {"k": one}
    return Node(one) if kind == "node" else (one, two)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_graph_comes_back_with_its_ties(data: st.DataObject) -> None:
    nodes: list[Any] = [[]]
    for _ in range(data.draw(st.integers(1, 12))):
        kind = data.draw(st.sampled_from(["list", "dict", "node", "tuple"]))
        one, two = (nodes[data.draw(st.integers(0, len(nodes) - 1))] for _ in range(2))
        nodes.append(container_of(kind, one, two))
        target = nodes[data.draw(st.integers(0, len(nodes) - 1))]
        if isinstance(target, list):
            target.append(nodes[-1])
        elif isinstance(target, dict):
            target[len(target)] = nodes[-1]
        elif isinstance(target, Node):
            target.more = nodes[-1]
    assert shape(loads(dumps(nodes))) == shape(nodes)


def test_the_shape_sees_what_pickle_mixes_up() -> None:
    assert shape([1]) != shape([1.0]) != shape([True])
    inner: list[Any] = []
    assert shape([inner, inner]) != shape([[], []])


def test_classes_and_functions_are_found_again_where_they_were_made() -> None:
    assert loads(dumps(Node)) is Node and type(loads(dumps(Node(1)))) is Node and loads(dumps(shape)) is shape


def test_closures_are_copied() -> None:
    def counter() -> Any:
        n = 0

        def up() -> int:
            nonlocal n
            n += 1
            return n

        return up

    up = counter()
    up()
    copy = loads(dumps(up))
    assert (copy(), copy(), up()) == (2, 3, 2)


PROGRAM = """
import sys
from stillframe.capture.values import dumps
scale = 10
class Base:
    def scaled(self): return self.x * scale
class Thing(Base):
    def __init__(self, x): self.x = x
    def me(self): return super().scaled(), __class__ is type(self), helper(1)
def helper(n): return [n] * 2 if n is not None else helper(0)
unused = open(__file__)
class Error(Exception):
    def __init__(self, a, b): super().__init__(a); self.b = b
def fail():
    raise Error(1, 2)
try: fail()
except Error as e: error = e
with open("value", "wb") as f: f.write(dumps([Thing(4), helper, lambda x: x + scale, error, Thing]))
"""
LOAD = """
import sys
from stillframe.capture.values import loads
thing, helper, add, error, cls = loads(open("value", "rb").read())
assert "scale" not in globals()
print(thing.me(), helper(0), add(1), sorted(set(helper.__globals__) - {"__builtins__"}), type(thing) is cls, cls.__module__)
print(error.b, error.__traceback__.tb_next.tb_lineno, add.__globals__ is helper.__globals__)
"""


def test_in_another_process_they_bring_what_they_use_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    run("program.py", folder=tmp_path)
    assert run("-c", LOAD, folder=tmp_path) == (
        "(40, True, [1, 1]) [0, 0] 11 "
        "['__file__', '__loader__', '__name__', '__package__', '__spec__', 'helper', 'scale'] True __main__\n"
        "2 15 True\n"
    )


def test_a_damaged_value_is_refused_before_it_is_loaded() -> None:
    data = dumps([Node(1), "text"])
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 4
        with pytest.raises(SnapshotRefused):
            loads(bytes(changed))
    for end in range(len(data)):
        with pytest.raises(CorruptSnapshot):
            loads(data[:end])


def test_other_bytes_and_other_versions_are_told() -> None:
    data = dumps(1)
    with pytest.raises(CorruptSnapshot, match="no value of stillframe"):
        loads(pickle.dumps(1))
    with pytest.raises(IncompatibleSnapshot, match="format 2"):
        loads(data.replace(b"value 1", b"value 2", 1))
    tag = sys.implementation.cache_tag.encode()
    with pytest.raises(IncompatibleSnapshot, match=r"was made by CPython 3\.9; this is 3"):
        loads(data.replace(tag, b"cpython-39", 1))


def test_what_cannot_be_dumped_is_named() -> None:
    with pytest.raises(CannotCapture, match=r"obj\.x\[0\] \(SRE_Scanner\)"):
        dumps(Node([__import__("re").compile("a").scanner("a")]))


def test_plain_pickle_is_left_alone() -> None:
    import copyreg

    assert not [
        cls for cls in copyreg.dispatch_table if "stillframe" in copyreg.dispatch_table[cls].__module__
    ]
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(lambda: 0)


def nested(depth: int, kind: str) -> Any:
    made: Any = None
    if kind == "node":
        for _ in range(depth):
            made = Node(made)
    elif kind == "ring":
        first = made = Node(None)
        for _ in range(depth):
            made.x = Node(None)
            made.x.back = made
            made = made.x
        made.x, made = first, first
    else:
        for _ in range(depth):
            made = {"list": [made], "tuple": (made,), "dict": {"k": made}, "both": ({"k": [made]},)}[kind]
    return made


@pytest.mark.parametrize("kind", ["node", "ring", "list", "tuple", "dict", "both"])
def test_depth_does_not_matter(kind: str) -> None:
    depth = 20_000
    made: Any = loads(dumps(nested(depth, kind)))
    steps = 0
    while made is not None and steps < depth:
        if kind in ("node", "ring"):
            made = made.x
        elif kind == "both":
            made = made[0]["k"][0]
        else:
            made = made["k" if kind == "dict" else 0]
        steps += 1
    assert steps == depth and (made is None or kind == "ring")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(obj=DATA)
def test_the_slow_way_for_deep_objects_gives_the_same(obj: Any) -> None:
    from stillframe.capture.capturing import Options, capture, restore

    assert shape(restore(capture(obj, Options(is_flat=True)))[1]) == shape(obj)

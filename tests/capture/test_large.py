"""Large bytearrays and typed arrays are buffers of their own, and come back as they were: same aliases, own memory."""

from __future__ import annotations

import array
import random
import socket
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillframe.capture.capturing import Contents, capture, restore
from stillframe.capture.large import PickleFile
from stillframe.capture.pickler import IN_BAND_BYTES
from stillframe.errors import CannotCapture

SIZES = (0, 1, IN_BAND_BYTES - 1, IN_BAND_BYTES, IN_BAND_BYTES + 1, 3 * IN_BAND_BYTES)
CODES = "bBhHiIlLqQfd"


def again(contents: Contents) -> Any:
    """Loaded from read-only buffers, as from a file."""
    return restore(Contents(contents.pickle, [bytes(buffer) for buffer in contents.buffers]))[1]


def noise(size_bytes: int, seed: int = 0) -> bytearray:
    return bytearray(random.Random(seed).randbytes(size_bytes))


@pytest.mark.parametrize("size_bytes", SIZES)
def test_a_bytearray_is_a_buffer_where_it_is_large(size_bytes: int) -> None:
    data = noise(size_bytes)
    contents = capture([data, data, {"same": data}])
    assert [buffer.nbytes for buffer in contents.buffers] == [size_bytes] * (size_bytes >= IN_BAND_BYTES)
    assert len(contents.pickle) < 1000 + (size_bytes if size_bytes < IN_BAND_BYTES else 0)
    one, two, held = again(contents)
    assert one == data and type(one) is bytearray and one is two is held["same"]
    one += b"it is its own"
    one[:1] = b""


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("count", [0, 3, IN_BAND_BYTES])
def test_a_typed_array_is_a_buffer_where_it_is_large(code: str, count: int) -> None:
    plain = array.array(code, [number % 100 for number in range(count)])
    contents = capture([plain, plain])
    large = plain.itemsize * count >= IN_BAND_BYTES
    assert [buffer.nbytes for buffer in contents.buffers] == [plain.itemsize * count] * large
    one, two = again(contents)
    assert one == plain and one.typecode == code and one is two
    one.append(1)


@pytest.mark.filterwarnings("ignore:The 'u' type code")
def test_an_array_of_characters_is_one_too() -> None:
    plain = array.array("u", "x" * IN_BAND_BYTES)
    contents = capture(plain)
    assert len(contents.buffers) == 1 and again(contents) == plain


def test_a_bytearray_that_does_not_come_as_expected_stays_in_the_pickle() -> None:
    buffers: list[memoryview] = []
    file = PickleFile(buffers)
    for data in (bytearray(b"first"), b"\x96" + b"\x00" * 8, bytearray(b"another"), b"\x96" + b"\x00" * 7):
        file.write(data)
    assert file.getvalue() == b"first\x96" + b"\x00" * 8 + b"another\x96" + b"\x00" * 7
    assert buffers == []


def test_what_lies_over_a_bytearray_lies_over_it_again() -> None:
    np = pytest.importorskip("numpy")
    data = noise(200_000)
    view, seen = memoryview(data)[100:], np.frombuffer(data, "u1", offset=50)
    one, part, over = again(capture([data, view, seen]))
    one[100] ^= 255
    assert part[0] == one[100] == over[50] and part.obj is one
    del view, seen


class Tagged(bytearray):
    """A subclass, with an attribute."""


def test_a_subclass_comes_back_as_one() -> None:
    data = Tagged(noise(100_000))
    data.tag = data  # type: ignore[attr-defined]
    made = again(capture(data))
    assert made == data and type(made) is Tagged and made.tag is made


def test_a_buffer_is_the_memory_of_the_program_until_the_capture_is_let_go() -> None:
    data = noise(100_000)
    contents = capture(data)
    with pytest.raises(BufferError):
        data.append(1)
    del contents
    data.append(1)


def test_a_capture_that_fails_holds_no_buffer_even_while_its_error_is_kept() -> None:
    data, more = noise(100_000), array.array("d", range(10_000))
    with socket.socket() as obstacle, pytest.raises(CannotCapture) as kept:
        capture([data, more, obstacle])
    data.append(1)
    more.append(1)
    assert kept.value.obstacles


PIECES = st.one_of(
    st.builds(noise, st.sampled_from(SIZES), st.integers(0, 9)),
    st.builds(lambda size, seed: bytes(noise(size, seed)), st.sampled_from(SIZES), st.integers(0, 9)),
    st.builds(lambda size: "é" * size, st.sampled_from(SIZES)),
    st.builds(lambda size: array.array("B", bytes(size)), st.sampled_from(SIZES)),
    # What looks like the head of a bytearray of some size, before and after others.
    st.builds(lambda size: b"\x96" + size.to_bytes(8, "little"), st.sampled_from(SIZES)),
    st.builds(
        lambda size: bytearray(b"\x96" + size.to_bytes(8, "little")) * (size // 9), st.sampled_from(SIZES)
    ),
    st.integers(),
)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_mixture_comes_back_in_its_order_with_its_aliases(data: st.DataObject) -> None:
    pieces = data.draw(st.lists(PIECES, max_size=8))
    chosen = data.draw(st.lists(st.integers(0, max(0, len(pieces) - 1)), max_size=8)) if pieces else []
    whole = [*pieces, [pieces[number] for number in chosen]]
    contents = capture(whole)
    made = again(contents)
    assert made == whole and [type(piece) for piece in made] == [type(piece) for piece in whole]
    assert all(
        made[-1][place] is made[number]
        for place, number in enumerate(chosen)
        if type(made[number]) is not int
    )
    large = [
        piece for piece in pieces if type(piece) in (bytearray, array.array) and len(piece) >= IN_BAND_BYTES
    ]
    assert [bytes(buffer) for buffer in contents.buffers] == [bytes(piece) for piece in large]

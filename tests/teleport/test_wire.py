"""Streams come out as they went in, and nobody reads further than to the end of what is theirs."""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from stillframe.teleport import environment, memory_file, wire

PIECES = some.lists(some.binary(max_size=300), max_size=20)


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    try:
        yield read, write
    finally:
        os.close(read)
        os.close(write)


def read_in_steps(stream: wire.Incoming | memory_file.Reading, steps: list[int]) -> bytes:
    """All of it, in reads of these sizes, then in larger ones."""
    found = bytearray()
    for size in [*steps, *[4096] * 100]:
        target = bytearray(size)
        count = stream.readinto(target)
        found += target[:count]
    return bytes(found)


@given(PIECES, some.lists(some.integers(1, 50), max_size=10))
def test_a_stream_of_frames_comes_out_as_it_went_in_and_not_a_byte_more_is_read(
    pieces: list[bytes], steps: list[int]
) -> None:
    with pipe() as (read, write):
        for piece in filter(None, pieces):
            wire.write_all(write, wire.frame(wire.DATA, piece))
        wire.write_all(write, wire.frame(wire.DATA) + b"what follows")
        assert read_in_steps(wire.Incoming(read), steps) == b"".join(pieces)
        assert os.read(read, 100) == b"what follows"


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_file, "PART_BYTES", mmap.PAGESIZE)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some.lists(some.binary(max_size=3 * mmap.PAGESIZE), max_size=4), some.lists(some.integers(1, 50), max_size=10))
def test_a_memory_file_gives_what_was_written(small_parts: None, pieces: list[bytes], steps: list[int]) -> None:
    file = memory_file.make()
    assert os.get_inheritable(file)
    with open(file, "wb", closefd=False) as stream:
        for piece in pieces:
            stream.write(piece)
    with memory_file.Reading(file) as stream:
        assert read_in_steps(stream, steps) == b"".join(pieces)


def test_a_memory_file_is_given_back_while_it_is_read(small_parts: None) -> None:
    file = memory_file.make()
    os.write(file, b"x" * 10 * mmap.PAGESIZE)
    before = os.fstat(file).st_blocks
    with memory_file.Reading(file) as stream:
        for part in range(1, 11):
            assert stream.readinto(bytearray(2 * mmap.PAGESIZE)) == mmap.PAGESIZE
            assert os.fstat(file).st_blocks == before * (10 - part) // 10


def test_a_line_that_ends_in_the_middle_of_a_stream_is_an_error_and_no_short_read() -> None:
    read, write = os.pipe()
    os.write(write, wire.frame(wire.DATA, b"half")[:-1])
    os.close(write)
    with pytest.raises(wire.LineEnded):
        wire.Incoming(read).read(4)
    os.close(read)


def test_another_frame_in_the_middle_of_a_stream_is_an_error() -> None:
    with pipe() as (read, write):
        os.write(write, wire.message({"go": 1}))
        with pytest.raises(wire.LineEnded, match="in the middle of a stream"):
            wire.Incoming(read).read(4)


def test_a_frame_that_claims_more_than_any_message_has_is_not_believed() -> None:
    with pipe() as (read, write):
        os.write(write, wire.head(wire.MESSAGE, 1 << 31))
        with pytest.raises(wire.LineEnded, match="this is not the protocol"):
            wire.read_frame(read)


@given(some.dictionaries(some.text(), some.integers() | some.text() | some.none()))
def test_messages_come_out_as_they_went_in(value: dict[str, object]) -> None:
    with pipe() as (read, write):
        sender = threading.Thread(target=wire.write_all, args=(write, wire.message(value)))
        sender.start()
        assert wire.read_frame(read).message() == value
        sender.join()


def test_the_environment_elsewhere_has_our_changes_and_nothing_else_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SF_TEST_HERE", "yes")
    merged = environment.with_changes({"SF_TEST_SET": "1", "SF_TEST_HERE": None})
    assert merged["SF_TEST_SET"] == "1"
    assert "SF_TEST_HERE" not in merged

"""Records and patches: what is stored is what comes back, and a small change writes little."""

from __future__ import annotations

import json
import os
import pickle
import random

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stillframe.errors import CorruptBlob, CorruptSnapshot, IncompatibleSnapshot, MissingBlob
from stillframe.store import Blobs, Part, Record, read_pickle, write_snapshot
from stillframe.store.blobs import digest_of
from stillframe.store.snapshots import apply_patch, decode, encode, patch_of, snapshot_digest

OBJECTS = int(os.environ.get("STILLFRAME_MANY_OBJECTS", "50000"))
"""1,000,000 took a minute."""

shared_store = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def written_bytes(blobs: Blobs) -> int:
    return sum(blobs.size(digest) for digest in blobs.digests())


@given(
    header=st.dictionaries(st.text(), st.integers()),
    main=st.binary(max_size=9_000),
    parts=st.lists(st.binary()),
)
@shared_store
def test_a_snapshot_gives_back_what_it_was_made_of(
    blobs: Blobs, header: object, main: bytes, parts: list[bytes]
) -> None:
    record = write_snapshot(blobs, json.dumps(header).encode(), main, parts)
    again = decode(encode(record))
    assert encode(again) == encode(record)
    assert snapshot_digest(again) == snapshot_digest(record) == digest_of(encode(record))
    assert msgspec.json.decode(again.header) == header
    assert read_pickle(blobs, again.pickle) == main
    assert [blobs.get(part.digest) for part in again.buffers] == parts
    assert again.size_bytes == len(main) + sum(map(len, parts))
    assert all(blobs.has(digest) for digest in again.blobs())


@given(near=st.binary(min_size=8, max_size=5_000), content=st.binary(max_size=5_000))
def test_a_patch_is_undone_by_its_inverse(near: bytes, content: bytes) -> None:
    assert apply_patch(near, patch_of(near, content), len(content)) == content


def test_a_chain_of_changes_is_never_more_than_one_patch_deep(blobs: Blobs) -> None:
    dice = random.Random(1)
    content = bytearray(dice.randbytes(200_000))
    records: list[Record] = []
    contents = []
    for _ in range(12):
        for _ in range(20):
            at = dice.randrange(len(content))
            content[at : at + dice.randrange(5)] = dice.randbytes(dice.randrange(2_000))
        records.append(write_snapshot(blobs, b"{}", content, near=records[-1] if records else None))
        contents.append(bytes(content))
    patched = [record for record in records if record.pickle.blob]
    assert 5 < len(patched) < 12  # and whole again, when the patch had grown too large
    wholes = {record.pickle.digest for record in records if not record.pickle.blob}
    assert {record.pickle.near for record in patched} <= wholes
    assert len(wholes) > 1
    for record, expected in zip(records, contents, strict=True):
        assert read_pickle(blobs, record.pickle) == expected
        assert len(record.pickle.blobs()) <= 2


def test_a_patch_to_a_patch_is_made_to_what_that_is_made_to(blobs: Blobs) -> None:
    content = bytearray(random.Random(2).randbytes(100_000))
    records = [write_snapshot(blobs, b"{}", content)]
    for number in range(5):
        content[number * 10_000] ^= 1
        records.append(write_snapshot(blobs, b"{}", content, near=records[-1]))
    assert {record.pickle.near for record in records[1:]} == {records[0].pickle.digest}


def test_the_same_pickle_writes_nothing(blobs: Blobs) -> None:
    base = write_snapshot(blobs, b"{}", bytes(100_000))
    changed = write_snapshot(blobs, b"{}", bytes(100_000) + b"more", near=base)
    before = written_bytes(blobs)
    assert write_snapshot(blobs, b"{}", bytes(100_000) + b"more", near=changed).pickle == changed.pickle
    assert write_snapshot(blobs, b"{}", bytes(100_000), near=changed).pickle == base.pickle
    assert written_bytes(blobs) == before


class Particle:
    """One of many small objects."""

    def __init__(self, number: int) -> None:
        self.number, self.name, self.place = number, f"p{number}", (number * 0.5, number * 0.25)


@pytest.mark.parametrize("how", ["scattered", "contiguous", "inserted"])
def test_a_hundredth_changed_writes_a_tenth_at_most(blobs: Blobs, how: str) -> None:
    count = OBJECTS
    dice = random.Random(2)
    particles = [Particle(number) for number in range(count)]
    base = write_snapshot(blobs, b"{}", pickle.dumps(particles, 5))
    before = written_bytes(blobs)
    changed = range(count // 3, count // 3 + count // 100)
    for at in changed if how == "contiguous" else dice.sample(range(count), count // 100):
        particles[at].number, particles[at].place = dice.random(), (dice.random(), dice.random())
        if how == "inserted":
            particles.insert(at, Particle(at))
    dump = pickle.dumps(particles, 5)
    record = write_snapshot(blobs, b"{}", dump, near=base)
    assert written_bytes(blobs) - before <= 0.1 * len(dump)
    assert read_pickle(blobs, record.pickle) == dump


def test_a_damaged_relative_is_not_patched_against(blobs: Blobs) -> None:
    base = write_snapshot(blobs, b"{}", bytes(100_000))
    path = blobs.path(base.pickle.digest)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    record = write_snapshot(blobs, b"{}", bytes(100_000) + b"more", near=base)
    assert record.pickle.blob == ""
    assert read_pickle(blobs, record.pickle) == bytes(100_000) + b"more"


@pytest.mark.parametrize("which", ["blob", "near"])
def test_a_patch_without_its_blobs_is_refused(blobs: Blobs, which: str) -> None:
    base = write_snapshot(blobs, b"{}", bytes(100_000))
    part = write_snapshot(blobs, b"{}", bytes(100_000) + b"more", near=base).pickle
    path = blobs.path(getattr(part, which))
    kept = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(kept[:-1] + b"!")
    with pytest.raises(CorruptBlob):
        read_pickle(blobs, part)
    path.unlink()
    with pytest.raises(MissingBlob):
        read_pickle(blobs, part)


def test_a_patch_that_makes_something_else_is_refused(blobs: Blobs) -> None:
    base = write_snapshot(blobs, b"{}", bytes(100_000))
    wrong = blobs.put(patch_of(bytes(100_000), b"another content"))
    tiny = blobs.put(b"tiny")
    bomb = blobs.put(patch_of(bytes(100_000), bytes(50_000_000)))
    for blob in (wrong, bomb, base.pickle.digest):
        with pytest.raises(CorruptSnapshot):
            read_pickle(blobs, Part(digest_of(b"content"), 7, blob, base.pickle.digest))
    with pytest.raises(CorruptSnapshot):
        read_pickle(blobs, Part(digest_of(b"content"), 7, wrong, tiny))


def test_a_newer_format_is_said_to_be_newer(blobs: Blobs) -> None:
    record = write_snapshot(blobs, b"{}", b"pickle")
    newer = encode(record).replace(b'"format":1', b'"format":2')
    with pytest.raises(IncompatibleSnapshot, match="format 2"):
        decode(newer)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[" * 100_000,
        b'{"format":1}',
        b'{"format":0,"header":{},"pickle":{"digest":"%s","size_bytes":1}}' % (b"0" * 64),
        b'{"format":1,"header":{},"pickle":{"digest":"../../x","size_bytes":1}}',
        b'{"format":1,"header":{},"pickle":{"digest":"%s","size_bytes":-1}}' % (b"0" * 64),
        b'{"format":1,"header":{},"pickle":{"digest":"%s","size_bytes":1},"buffers":[{"digest":"%s","size_bytes":1,'
        b'"blob":"%s","near":"%s"}]}' % ((b"0" * 64,) * 4),
    ],
)
def test_what_is_no_record_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptSnapshot):
        decode(data)

"""Mutated stores are refused cleanly, or read rightly: never a wrong value, never another error than ours.

STILLFRAME_FUZZ sets how many mutants are tried of each kind; 10,000 took some minutes.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import msgspec

from stillframe.errors import SnapshotRefused, StillframeError, StoreError
from stillframe.store import Blobs, Record, StateRow, Store, read_pickle, write_snapshot
from stillframe.store.snapshots import apply_patch, decode, encode, patch_of

MUTANTS = int(os.environ.get("STILLFRAME_FUZZ", "250"))


def mutated(data: bytes, dice: random.Random) -> bytes:
    """The same with something wrong: bits, bytes, a piece that is missing, twice, or from elsewhere."""
    made = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 5))):
        at = dice.randrange(len(made) + 1)
        length = dice.choice((1, 1, 2, 8, 100, 4096))
        what = dice.randrange(6)
        if what == 0 and made:
            made[dice.randrange(len(made))] ^= 1 << dice.randrange(8)
        elif what == 1 and made:
            made[dice.randrange(len(made))] = dice.choice((0, 1, 127, 128, 255))
        elif what == 2:
            del made[at : at + length]
        elif what == 3:
            made[at:at] = made[at : at + length]
        elif what == 4:
            made[at : at + length] = dice.randbytes(length)
        else:
            del made[at:]
    return bytes(made)


def test_mutated_blobs_are_refused(blobs: Blobs) -> None:
    dice = random.Random(1)
    base = write_snapshot(blobs, b"{}", dice.randbytes(20_000))
    content = read_pickle(blobs, base.pickle) + b"and more"
    part = write_snapshot(blobs, b"{}", content, near=base).pickle
    for _ in range(MUTANTS):
        path = blobs.path(dice.choice((part.blob, part.near)))
        sound = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(mutated(sound, dice))
        try:
            assert read_pickle(blobs, part) == content
        except SnapshotRefused:
            pass
        path.write_bytes(sound)
    assert read_pickle(blobs, part) == content


def test_mutated_patches_are_refused_or_make_some_bytes_within_the_limit() -> None:
    dice = random.Random(2)
    near, content = dice.randbytes(5_000), dice.randbytes(100)
    content = near[:3_000] + content + near[3_000:]
    patch = patch_of(near, content)
    for _ in range(MUTANTS):
        try:
            assert len(apply_patch(near, mutated(patch, dice), len(content))) <= len(content) + 1
        except SnapshotRefused:
            pass


def test_mutated_records_are_refused_or_still_records(blobs: Blobs) -> None:
    dice = random.Random(3)
    base = write_snapshot(blobs, b'{"kind":"state","modules":["numpy"]}', bytes(10_000), [b"a", b"b"])
    data = encode(write_snapshot(blobs, bytes(base.header), bytes(10_001), [b"a", b"b"], base))
    for _ in range(MUTANTS):
        try:
            assert isinstance(decode(mutated(data, dice)), Record)
        except SnapshotRefused:
            pass


def everything(store: Store) -> dict[str, Any]:
    """All that a store says."""
    rows = store.catalog.states()
    return {
        "rows": msgspec.to_builtins(rows),
        "outputs": [store.catalog.outputs(row.id) for row in rows],
        "names": store.catalog.names(),
        "records": {row.id: encode(store.catalog.get_snapshot(row.snapshot)) for row in rows if row.snapshot},
        "trusted": msgspec.to_builtins(store.catalog.trusted_keys()),
    }


def filled(place: Path) -> dict[str, Any]:
    with Store.open(place) as store:
        store.catalog.trust_key("ab" * 32, "a friend")
        for number in range(25):
            outputs = [{"text": "out" * dice} for dice in range(number * 20, number * 20 + 2)]
            store.catalog.add_state(
                StateRow(id=f"s{number}", code="x" * number, names=[f"n{number}"], outputs=outputs)
            )
            if number % 2:
                record = write_snapshot(store.blobs, b"{}", b"pickle %d" % number, [b"buffer"])
                store.catalog.add_snapshot(f"s{number}", record)
        store.catalog.forget_states(["s4"])
        return everything(store)


def test_mutated_catalogs_are_refused_or_read_rightly(quick: Path) -> None:
    dice = random.Random(4)
    place = quick / "store"
    expected = filled(place)
    path = place / "catalog.sqlite"
    sound = path.read_bytes()
    refused = right = 0
    for number in range(MUTANTS):
        path.write_bytes(mutated(sound, dice))
        for leftover in (f"{path}-wal", f"{path}-shm"):
            Path(leftover).unlink(missing_ok=True)
        try:
            with Store.open(place, writer=bool(number % 2)) as store:
                assert everything(store) == expected
            right += 1
        except (StoreError, SnapshotRefused):
            refused += 1
    assert refused > MUTANTS // 4
    path.write_bytes(sound)
    with Store.open(place) as store:
        assert everything(store) == expected


def test_mutated_small_files_are_refused_or_read_rightly(quick: Path) -> None:
    dice = random.Random(5)
    place = quick / "store"
    expected = filled(place)
    files = {name: (place / name).read_bytes() for name in ("version", "key", "catalog.commits")}
    for _ in range(MUTANTS // 2):
        name = dice.choice(sorted(files))
        (place / name).write_bytes(mutated(files[name], dice))
        try:
            with Store.open(place, writer=False) as store:
                assert everything(store) == expected
        except StillframeError:
            pass
        (place / name).write_bytes(files[name])

"""Stores with states in them that no kernel has made: what travels, without what runs."""

from __future__ import annotations

import json
import os
import random
from datetime import UTC, datetime
from pathlib import Path

from stillframe.store import StateRow, Store, write_snapshot
from stillframe.store.snapshots import read_pickle

HEADER = {
    "kind": "state",
    "python": "3.11.7",
    "packages": {"numpy": "2.3.0"},
    "path": [],
    "variables": [["big", "ndarray", 3_000_000], ["x", "int", 28]],
}


class Hostile:
    """Unpickling one makes a file: a test sees whether anybody has."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return (os.mkdir, (str(self.path),))


def row(number: int, parent: str | None, **fields: object) -> StateRow:
    """A row with an id that is the same in each run."""
    return StateRow(
        id=f"{number:032x}",
        parent=parent,
        code=f"x = {number}" if parent else "",
        created=datetime(2026, 1, 1, tzinfo=UTC).isoformat(),
        kind="cell" if parent else "initial",
        **fields,  # type: ignore[arg-type]
    )


def grown(
    path: Path, *names: str, first: int = 0, pickle: bytes = b"", size_bytes: int = 3_000_000, **header: object
) -> Store:
    """A store with a line of states that have these names, each with a snapshot; the first is the initial one.

    `header` is what the snapshots say besides HEADER, or instead.
    """
    store = Store.open(path)
    chance = random.Random(first)
    store.catalog.add_state(row(first, None, names=["initial"]))
    parent, near, shared = f"{first:032x}", None, chance.randbytes(size_bytes)
    for number, name in enumerate(names, first + 1):
        made = row(number, parent, names=[name], outputs=[{"output_type": "stream", "name": "stdout", "text": name}])
        store.catalog.add_state(made)
        content = pickle or chance.randbytes(20_000) + bytes(100_000) + name.encode()
        own = chance.randbytes(50_000)
        near = write_snapshot(store.blobs, json.dumps({**HEADER, **header}).encode(), content, [shared, own], near)
        store.catalog.add_snapshot(made.id, near)
        parent = made.id
    return store


def contents(store: Store, name: str) -> list[bytes]:
    """The pickle and the buffers of a state's snapshot, verified."""
    state = store.catalog.state(store.catalog.names()[name])
    record = store.catalog.get_snapshot(state.snapshot)
    store.check_blobs(record)
    return [read_pickle(store.blobs, record.pickle), *(store.blobs.get(part.digest) for part in record.buffers)]


def is_empty(store: Store) -> bool:
    """Whether the store has no state, and no file that a transfer has begun."""
    return not store.catalog.states() and not store.catalog.snapshots() and not os.listdir(store.blobs.new)

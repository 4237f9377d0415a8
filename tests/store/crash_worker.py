"""A program that fills a store, prunes it, archives and expands, closes and opens it, and says what is durable.

    python crash_worker.py STORE ACKS SEED ROUNDS

A line of ACKS: `stored ID` when the state and its snapshot must be there from now on, `going ID` before the state
is forgotten. What a state holds follows from its id, so that it can be checked.
"""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path

from stillframe.store import Record, StateRow, Store, read_pickle, write_snapshot
from stillframe.store.archive import archive
from stillframe.store.prune import prune

LONG_AGO = "2020-01-01T00:00:00+00:00"
FOR_EVER_DAYS = 100_000


def contents(state_id: str) -> tuple[bytes, list[bytes]]:
    """The pickle and the buffers of a state. Relatives share most of their pickle, and some buffers."""
    dice = random.Random(state_id)
    pickle = bytearray(random.Random("base").randbytes(40_000))
    for _ in range(dice.randrange(4)):
        at = dice.randrange(len(pickle))
        pickle[at : at + 8] = dice.randbytes(8)
    if dice.random() < 0.2:
        pickle = bytearray(dice.randbytes(20_000))
    shared = [random.Random(dice.randrange(6)).randbytes(300) * 100 for _ in range(2)]
    return bytes(pickle), [*shared, dice.randbytes(dice.choice((0, 10, 5_000, 1_100_000)))]


def check_state(store: Store, state_id: str) -> None:
    """That the state is stored, whole and right."""
    row = store.catalog.state(state_id)
    pickle, buffers = contents(state_id)
    assert row.code == f"cell of {state_id}"
    assert store.catalog.outputs(state_id) == [{"text": state_id}]
    record = store.catalog.get_snapshot(row.snapshot)
    store.check_blobs(record)
    assert read_pickle(store.blobs, record.pickle) == pickle
    assert [store.blobs.get(part.digest) for part in record.buffers] == buffers


def run(place: Path, acks: Path, seed: int, rounds: int) -> None:
    """Fill the store; what is durable goes to `acks`, a line each."""
    out = os.open(acks, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    dice = random.Random(seed)
    store = Store.open(place)
    near: Record | None = None
    stored: list[str] = []
    for number in range(rounds):
        state_id = f"{seed}-{number}"
        pickle, buffers = contents(state_id)
        record = write_snapshot(store.blobs, json.dumps({"n": number}).encode(), pickle, buffers, near)
        with store.catalog.transaction():
            row = StateRow(
                id=state_id,
                created=LONG_AGO,
                code=f"cell of {state_id}",
                outputs=[{"text": state_id}],
                names=[state_id],
            )
            store.catalog.add_state(row)
            store.catalog.add_snapshot(state_id, record)
        os.write(out, f"stored {state_id}\n".encode())
        stored.append(state_id)
        near = record
        if len(stored) > 4 and dice.random() < 0.3:
            gone = stored.pop(dice.randrange(len(stored) - 1))
            os.write(out, f"going {gone}\n".encode())
            store.catalog.forget_states([gone])
        if dice.random() < 0.15:
            prune(store, grace_s=-1)
        if dice.random() < 0.3:
            archive(store, days=dice.choice((1, FOR_EVER_DAYS)), in_use=dice.sample(stored, 1))
        if dice.random() < 0.3:
            used = store.catalog.state(dice.choice(stored))
            store.expand(store.catalog.get_snapshot(used.snapshot))
        if dice.random() < 0.1:
            store.close()
            store = Store.open(place)
    store.close()
    os.close(out)


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))

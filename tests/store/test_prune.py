"""Prune removes what nobody needs, and nothing else, whatever goes on beside it."""

from __future__ import annotations

import os
import random
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stillframe.errors import MissingBlob, StoreReadOnly
from stillframe.store import Blobs, StateRow, Store, read_pickle, write_snapshot
from stillframe.store.prune import forgettable, prune


def add(
    store: Store, state_id: str, *buffers: bytes, parent: str | None = None, days: float = 0, **fields: object
) -> None:
    when = (datetime.now(UTC) - timedelta(days=days)).isoformat()
    store.catalog.add_state(
        StateRow(id=state_id, parent=parent, created=when, names=[f"name of {state_id}"], **fields)
    )
    record = write_snapshot(store.blobs, b"{}", b"pickle of " + state_id.encode(), buffers)
    store.catalog.add_snapshot(state_id, record)


def test_only_blobs_that_no_snapshot_needs_are_removed(store: Store) -> None:
    add(store, "a", b"shared", b"of a")
    add(store, "b", b"shared", b"of b")
    loose = store.blobs.put(b"loose")
    assert prune(store, grace_s=-1).blobs == 1
    assert not store.blobs.has(loose)
    store.catalog.forget_states(["a"])
    done = prune(store, grace_s=-1)
    assert (done.blobs, done.size_bytes, done.kept_blobs) == (2, len(b"of a") + len(b"pickle of a"), 3)
    store.check_blobs(store.catalog.get_snapshot(store.catalog.state("b").snapshot))


def test_what_a_patch_is_made_to_stays(store: Store) -> None:
    whole = write_snapshot(store.blobs, b"{}", bytes(50_000))
    patched = write_snapshot(store.blobs, b"{}", bytes(50_000) + b"more", near=whole)
    for state_id, record in (("a", whole), ("b", patched)):
        store.catalog.add_state(StateRow(id=state_id))
        store.catalog.add_snapshot(state_id, record)
    store.catalog.forget_states(["a"])
    assert prune(store, grace_s=-1).blobs == 0
    assert read_pickle(store.blobs, patched.pickle) == bytes(50_000) + b"more"


def test_young_blobs_stay_for_the_capture_that_has_put_them(store: Store) -> None:
    loose = store.blobs.put(b"loose")
    assert (prune(store).blobs, prune(store).young_blobs) == (0, 1)
    os.utime(store.blobs.path(loose), (0, 0))
    assert prune(store).blobs == 1


def test_a_dry_run_says_the_same_and_removes_nothing(store: Store) -> None:
    add(store, "old", b"of old", days=20)
    add(store, "new", b"of new")
    store.blobs.put(b"loose")
    told = []
    dry = prune(store, keep_days=10, dry_run=True, grace_s=-1)
    assert len(list(store.blobs.digests())) == 5 and len(store.catalog.states()) == 2
    assert dry == prune(store, keep_days=10, grace_s=-1, progress=lambda done, of: told.append((done, of)))
    assert dry.states == ["old"] and dry.blobs == 3
    assert told == [(3, 3)]
    assert store.catalog.names() == {"name of new": "new"}


def test_what_is_forgotten_for_its_age_is_needed_by_nobody(store: Store) -> None:
    add(store, "root", days=50, kind="initial")
    add(store, "ancestor", parent="root", days=50)
    add(store, "leaf", parent="ancestor", days=50)
    add(store, "pinned", parent="ancestor", days=50, pinned=True)
    add(store, "branch", parent="ancestor", days=50)
    add(store, "twig", parent="branch", days=50)
    add(store, "used", parent="branch", days=50, used=datetime.now(UTC).isoformat())
    add(store, "strange", parent="root", used="some day")
    assert forgettable(store.catalog.states(), 10, False) == ["twig", "leaf"]
    store.catalog.forget_states(["used", "pinned"])
    assert forgettable(store.catalog.states(), 10, False) == ["twig", "branch", "leaf", "ancestor"]


def test_deleted_states_are_forgotten_when_asked(store: Store) -> None:
    add(store, "a")
    add(store, "b", parent="a")
    add(store, "c", parent="b")
    for name in ("name of a", "name of c"):
        store.catalog.remove_name(name)
    assert prune(store).states == []
    assert prune(store, unnamed=True).states == ["c"]
    store.catalog.remove_name("name of b")
    assert prune(store, unnamed=True).states == ["b", "a"]


def test_who_only_reads_prunes_blobs_and_forgets_no_states(store: Store) -> None:
    store.blobs.put(b"loose")
    with Store.open(store.path, writer=False) as reader:
        with pytest.raises(StoreReadOnly):
            prune(reader, keep_days=1)
        assert prune(reader, grace_s=-1).blobs == 1


def test_a_snapshot_never_loses_a_blob_to_a_prune_beside_it(quick: Path) -> None:
    """Captures put and name blobs that come and go, while another process's store prunes without any grace."""
    store = Store.open(quick / "store")
    done = threading.Event()
    pruned = []

    def prune_all_the_time() -> None:
        with Store.open(store.path, writer=False) as reader:
            while not done.is_set():
                pruned.append(prune(reader, grace_s=-1).blobs)
        pruned.append(0)

    pruner = threading.Thread(target=prune_all_the_time)
    pruner.start()
    dice = random.Random(3)
    again, kept = 0, set()
    for number in range(150):
        buffers = [bytes([dice.randrange(8)]) * 5_000, bytes([dice.randrange(8)]) * 300]
        state_id = str(number)
        store.catalog.add_state(StateRow(id=state_id))
        while True:
            record = write_snapshot(Blobs(store.path), b"{}", b"pickle %d" % dice.randrange(9), buffers)
            try:
                store.catalog.add_snapshot(state_id, record)
                break
            except MissingBlob:
                again += 1
        kept.add(state_id)
        if dice.random() < 0.7:
            gone = dice.choice(sorted(kept))
            store.catalog.forget_states([gone])
            kept.discard(gone)
        for other in kept:
            for digest in store.catalog.get_snapshot(store.catalog.state(other).snapshot).blobs():
                assert store.blobs.has(digest)
    done.set()
    pruner.join()
    assert pruned[-1] == 0  # it has come to its end
    assert sum(pruned) > 10
    store.close()

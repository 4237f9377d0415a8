"""Prune: remove the blobs that no snapshot needs.

Safe beside a running server, and beside captures that go on meanwhile:
  * A blob that no snapshot names may be one that a capture has just put: those younger than the grace stay.
  * A capture may count on an older one that nobody has needed until now. So blobs are removed, a few at a time,
    under the exclusive prune lock, after a look at the catalog as it is then; and who names blobs in the catalog
    holds the lock shared, and looks that they are there. One of the two comes first: either the snapshot is seen
    here and its blobs stay, or they are missed there and the state is captured again. No snapshot loses a blob.
  * A crash leaves blobs that the next prune takes, and nothing else.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import msgspec

from stillframe.errors import StoreReadOnly
from stillframe.store.blobs import CONTENT_AT
from stillframe.store.catalog import Catalog, StateRow
from stillframe.store.disk import writing_to
from stillframe.store.locks import exclusive
from stillframe.store.opened import Store

GRACE_S = 3600.0
"""Blobs younger than this stay: the capture that has put them may not be in the catalog yet."""
_LONGEST_DAYS = 365_000
"""A calendar does not go back further."""
_AT_ONCE = 256
"""Blobs removed under one lock: a few milliseconds."""

Progress = Callable[[int, int], None]
"""Is told how much is done, of how much."""


class Pruned(msgspec.Struct):
    """What prune has removed, or, dry, would have."""

    states: list[str] = []
    """Ids of the states that were not used for so long."""
    blobs: int = 0
    size_bytes: int = 0
    kept_blobs: int = 0
    young_blobs: int = 0
    """Of no snapshot, but too young to tell."""


def prune(
    store: Store,
    keep_days: float | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
    *,
    unnamed: bool = False,
    grace_s: float = GRACE_S,
    forgotten: Iterable[str] = (),
) -> Pruned:
    """Remove blobs that no snapshot needs; with `keep_days`, first forget the states not used for so many days.

    Such a state is forgotten with its names, unless it is pinned, or the ancestor of one that stays. With `unnamed`,
    states that have no name are forgotten likewise: those that were deleted. The store must be open for writing for
    both, with no server at work; a running server forgets states itself, then prunes. Blobs alone may be pruned from
    any process. `forgotten`: in a dry run, the ids of states that a server would have forgotten before.
    Raises StoreDamaged, StoreReadOnly. Cost: one stat per blob.
    """
    result = Pruned()
    catalog = store.catalog
    if keep_days is not None or unnamed:
        result.states = forgettable(catalog.states(), keep_days, unnamed)
        if not dry_run and not store.is_writer:
            place = str(store.path)
            hint = "Ask the server that has it, or stop it."
            raise StoreReadOnly(f"states of {place} are forgotten by its writer only.", hint, store=place)
        if not dry_run and result.states:
            catalog.forget_states(result.states)
    gone = {*forgotten, *result.states} if dry_run else set[str]()
    needed = needed_blobs(catalog, gone)
    unneeded, oldest = [], time.time() - grace_s
    for digest in store.blobs.digests():
        if digest in needed:
            result.kept_blobs += 1
        else:
            unneeded.append(digest)
    for start in range(0, len(unneeded), _AT_ONCE):
        some = unneeded[start : start + _AT_ONCE]
        if dry_run:
            _remove(store, some, oldest, result, dry_run=True)
        else:
            with exclusive(store.path):
                # Whoever named one of them meanwhile has seen it there.
                needed = needed_blobs(catalog, gone, known=needed)
                some = [digest for digest in some if digest not in needed]
                _remove(store, some, oldest, result, dry_run=False)
        if progress is not None:
            progress(min(start + _AT_ONCE, len(unneeded)), len(unneeded))
    return result


def _remove(store: Store, digests: Iterable[str], oldest: float, result: Pruned, *, dry_run: bool) -> None:
    with writing_to(store.path):
        for digest in digests:
            found = {}
            for path in store.blobs.files(digest):
                with contextlib.suppress(FileNotFoundError):
                    found[path] = path.stat()
            if any(file.st_mtime > oldest for file in found.values()):
                result.young_blobs += 1
            elif found:  # else another prune was here
                for path, file in found.items():
                    if not dry_run:
                        path.unlink()
                    result.size_bytes += max(0, file.st_size - CONTENT_AT)
                result.blobs += 1


class Needed(set[str]):
    """Digests of blobs, and of the snapshots that were looked at for them."""

    def __init__(self, snapshots: frozenset[str]) -> None:
        super().__init__()
        self.snapshots = snapshots


def needed_blobs(catalog: Catalog, forgotten: set[str] | None = None, known: Needed | None = None) -> Needed:
    """The blobs of all snapshots, but those that only `forgotten` states have. 10,000 records of 20 parts: 1 s.

    With `known`, an earlier answer, only snapshots that came since are read; it stays as it is where none did.
    """
    looked_at = known.snapshots if known is not None else frozenset[str]()
    with catalog.reading():
        snapshots = frozenset(catalog.snapshots())
        if forgotten:
            snapshots &= {row.snapshot for row in catalog.states() if row.id not in forgotten}
        if known is not None and snapshots <= looked_at:
            return known
        needed = Needed(snapshots | looked_at)
        needed |= known or set()
        for digest in snapshots - looked_at:
            needed |= catalog.signed(digest).record.blobs()
    return needed


def forgettable(rows: list[StateRow], keep_days: float | None, unnamed: bool) -> list[str]:
    """The states not used for so long, or without a name, that no other state needs; children before parents."""
    limit = days_ago(keep_days) if keep_days is not None else ""
    children = dict[str, int]()
    for row in rows:
        if row.parent:
            children[row.parent] = children.get(row.parent, 0) + 1
    found = []
    # Children are added after their parents, so each is met before its parent here.
    for row in reversed(rows):
        if children.get(row.id) or row.pinned or row.kind == "initial":
            continue
        if (unnamed and not row.names) or (limit and is_unused(row, limit)):
            found.append(row.id)
            if row.parent:
                children[row.parent] -= 1
    return found


def days_ago(days: float) -> str:
    """When that was: in UTC, as ISO 8601."""
    return (datetime.now(UTC) - timedelta(days=min(days, _LONGEST_DAYS))).isoformat()


def is_unused(row: StateRow, limit: str) -> bool:
    """Whether a state was not used since that time. One that was never used counts from when it was made."""
    when = row.used or row.created
    return bool(when) and _utc(when) < limit


def _utc(when: str) -> str:
    """A time as text that is ordered as times are. What is no time counts as now: nothing is deleted for it."""
    try:
        return datetime.fromisoformat(when).astimezone(UTC).isoformat()
    except ValueError:
        return datetime.now(UTC).isoformat()

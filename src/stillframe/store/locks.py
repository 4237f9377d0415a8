"""The two locks of a store.

    lock         held by the one process that writes the catalog; its pid is in the file
    prune.lock   held for a moment: shared by who names blobs in the catalog, exclusively by who removes some

Both are flock()s: they end with the process, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from stillframe.errors import StoreInUse
from stillframe.store.disk import writing_to


class WriterLock:
    """The right to write to a store, for one process at a time."""

    def __init__(self, store: Path) -> None:
        """Take it. Raises StoreInUse, which names the process that has it."""
        with writing_to(store):
            self._descriptor = os.open(store / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(self._descriptor, 20).decode("ascii", "replace").strip()
            self.release()
            raise StoreInUse(
                f"the store {store} is in use by process {holder or '(unknown)'}; one server at a time writes to it.",
                "Connect to that server, stop it, or choose another store.",
                store=str(store),
                pid=int(holder) if holder.isdecimal() else 0,
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Let it go. The file stays: to remove it would let two processes hold two of them."""
        os.close(self._descriptor)


@contextlib.contextmanager
def shared(store: Path) -> Iterator[None]:
    """While this is held nobody removes blobs."""
    with _held(store, fcntl.LOCK_SH):
        yield


@contextlib.contextmanager
def exclusive(store: Path) -> Iterator[None]:
    """While this is held nobody names blobs in the catalog."""
    with _held(store, fcntl.LOCK_EX):
        yield


@contextlib.contextmanager
def _held(store: Path, kind: int) -> Iterator[None]:
    with writing_to(store):
        # A descriptor of its own each time: the lock belongs to what was opened, so threads share none.
        descriptor = os.open(store / "prune.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)

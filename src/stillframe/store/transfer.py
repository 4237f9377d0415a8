"""States from one store to another: the manifest is shown first, then the blobs that are missing there are sent.

Invariants:
  * The receiving end checks the signer before it takes a single blob, and verifies each before it is named.
  * The state has its name there only when all of it is durable there. What an interruption leaves are blobs that
    are not sent again.
  * An end is a store at rest (`AtRest`), or a kernel over HTTP (stillframe.moving).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from stillframe.errors import CorruptSnapshot
from stillframe.store.manifests import Manifest, Received, manifest_of, opened, receive
from stillframe.store.opened import Store

_AT_ONCE = 4
"""Blobs that are under way at the same time: small ones mostly wait for the other side's disk."""
_ROUNDS = 3
"""How often blobs are sent: a prune over there may take one again that nobody needed yet."""


class End(Protocol):
    """One end of a transfer. Blobs are read and written by several threads at once."""

    def manifest(self, name: str, *, lineage: bool = False) -> bytes:
        """The signed manifest of a state."""

    def receive(self, signed: bytes, *, name: str | None = None, trust: bool = False) -> Received:
        """Take a state, or say which blobs are missing for that."""

    def read(self, digest: str) -> AbstractContextManager[Iterator[bytes]]:
        """The content of a blob."""

    def write(self, digest: str, size_bytes: int, content: Iterable[bytes]) -> None:
        """Store a blob, durably."""


class AtRest:
    """The end that is a store of this machine. To receive, it must be open for writing."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tokens: dict[str, str] = {}

    def manifest(self, name: str, *, lineage: bool = False) -> bytes:
        return manifest_of(self._store, name, lineage=lineage)

    def receive(self, signed: bytes, *, name: str | None = None, trust: bool = False) -> Received:
        return receive(self._store, signed, name=name, trust=trust, tokens=self._tokens)

    @contextmanager
    def read(self, digest: str) -> Iterator[Iterator[bytes]]:
        yield self._store.blobs.pieces(digest)

    def write(self, digest: str, size_bytes: int, content: Iterable[bytes]) -> None:
        with self._store.blobs.receiving(digest) as receiving:
            for piece in content:
                receiving.write(piece)
            receiving.finish()
        self._tokens[digest] = self._store.blobs.token(digest)


class Watcher(Protocol):
    """Who is told how far a transfer is."""

    def begin(self, manifest: Manifest, missing_bytes: int) -> None:
        """So many bytes of blobs will be sent."""

    def sent(self, size_bytes: int) -> None:
        """So many bytes of content were sent since the last call. Called by several threads."""


class Unwatched:
    """Nobody is told."""

    def begin(self, manifest: Manifest, missing_bytes: int) -> None:
        """Nothing."""

    def sent(self, size_bytes: int) -> None:
        """Nothing."""


def transfer(
    source: End,
    target: End,
    name: str,
    *,
    new_name: str | None = None,
    lineage: bool = False,
    trust: bool = False,
    watcher: Watcher | None = None,
) -> tuple[Received, int]:
    """Send a state; it is called `new_name` there, or as it is called here. Returns what is there and the bytes sent.

    Raises StateNotFound, CannotCapture (no snapshot), UntrustedSnapshot, NameTaken, StoreFull, CorruptBlob,
    ServerUnreachable; afterwards it can be called again, and what was sent already is not sent again.
    """
    signed = source.manifest(name, lineage=lineage)
    manifest = opened(signed)[0]
    watcher = watcher or Unwatched()
    sent_bytes = 0
    for _ in range(_ROUNDS):
        received = target.receive(signed, name=new_name, trust=trust)
        if not received.missing:
            return received, sent_bytes
        strange = set(received.missing) - set(manifest.blobs)
        if strange:
            raise CorruptSnapshot(f"the other side asks for blobs that are not of state {name!r}.", "Ask its owner.")
        missing_bytes = sum(manifest.blobs[digest] for digest in received.missing)
        watcher.begin(manifest, missing_bytes)
        _send(source, target, {digest: manifest.blobs[digest] for digest in received.missing}, watcher.sent)
        sent_bytes += missing_bytes
    raise CorruptSnapshot(
        f"blobs of state {name!r} are gone over there as soon as they have come.",
        "Wait until nobody prunes there, and try again.",
    )


def _send(source: End, target: End, blobs: dict[str, int], sent: Callable[[int], None]) -> None:
    """Send blobs, several at once. The first error ends it."""
    is_over = threading.Event()

    def send(digest: str, size_bytes: int) -> None:
        if is_over.is_set():
            return
        with source.read(digest) as content:
            target.write(digest, size_bytes, _counted(content, sent, is_over))

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="stillframe-transfer") as threads:
        # The largest first, so that none of them is alone at the end.
        ordered = sorted(blobs.items(), key=lambda item: -item[1])
        futures = [threads.submit(send, digest, size_bytes) for digest, size_bytes in ordered]
        try:
            for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                future.result()
        except BaseException:
            is_over.set()
            for future in futures:
                future.cancel()
            raise


class _Over(Exception):
    """Another blob could not be sent."""


def _counted(content: Iterator[bytes], sent: Callable[[int], None], is_over: threading.Event) -> Iterator[bytes]:
    for piece in content:
        if is_over.is_set():
            raise _Over
        yield piece
        sent(len(piece))

"""How a client moves states: to files and from them, to other kernels and stores and from them.

Invariants:
  * What comes goes to the disk piece by piece; no blob lies in memory.
  * A push says nothing of trust: the receiving side has trusted the key before, or refuses.
  * What was interrupted can be begun again, and sends only what is still missing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from stillframe.errors import BadRequest, StillframeError
from stillframe.model import Archived, Keys, Moved, Pruned
from stillframe.pool import Answer, Pool, Refused
from stillframe.results import StateLike, name_of

if TYPE_CHECKING:
    from stillframe.store.manifests import Received
    from stillframe.store.transfer import End, Watcher

Progress = Callable[[int], object]
"""Called with the number of bytes that were written or sent since the last call."""
_PIECE_BYTES = 1 << 20


class Moves:
    """The methods by which states move, and by which the store of a kernel is kept."""

    _pool: Pool

    def _ask(self, method: str, path: str, kind: Any, body: bytes | None = None) -> Any:
        raise NotImplementedError

    def _answered(self, answer: Answer, path: str, kind: Any) -> Any:
        raise NotImplementedError

    def _error(self, answer: Answer) -> StillframeError:
        raise NotImplementedError

    def export(
        self,
        state: StateLike,
        file: str | os.PathLike[str],
        *,
        lineage: bool = False,
        progress: Progress | None = None,
    ) -> int:
        """Write a state to a file, and with `lineage` its ancestors too. Returns the file's size in bytes.

        The file is written whole or not at all. Raises CannotCapture where the state cannot be stored.
        """
        from stillframe.store.exports import write_file

        with self._download(_path(state, "export", lineage)) as content:
            return write_file(Path(file), _told(content, progress))

    def import_(
        self,
        file: str | os.PathLike[str],
        name: str | None = None,
        *,
        trust: bool = False,
        progress: Progress | None = None,
    ) -> Moved:
        """Take the state that is in a file; it is called `name`, or as it was called where it comes from.

        To use it is to run code of whoever made the file: so its key must be trusted (see `trust`), or `trust` be
        true. Raises UntrustedSnapshot, CorruptSnapshot, IncompatibleSnapshot, NameTaken.
        """
        query = ["trust=true"] if trust else []
        if name is not None:
            query.append(f"name={quote(name_of(name), safe='')}")
        path = "/import" + ("?" + "&".join(query) if query else "")
        with _opened(file) as (content, size_bytes):
            answer = self._pool.upload("POST", path, _told(content, progress), size_bytes)
        moved: Moved = self._answered(answer, "/import", Moved)
        return moved

    def push(
        self,
        state: StateLike,
        to: Place,
        name: str | None = None,
        *,
        token: str | None = None,
        lineage: bool = False,
        watcher: Watcher | None = None,
    ) -> Moved:
        """Send a state to another kernel (a URL, with its `token`, or a client), or to a store at rest (a directory).

        Only blobs that are missing there are sent. It is there under `name`, or the same name. Raises
        UntrustedSnapshot unless the key of this kernel is trusted there.
        """
        with end_of(to, token, writer=True) as target:
            return move(Remote(self), target, name_of(state), name=name, lineage=lineage, watcher=watcher)

    def pull(
        self,
        state: StateLike,
        source: Place,
        name: str | None = None,
        *,
        token: str | None = None,
        lineage: bool = False,
        trust: bool = False,
        watcher: Watcher | None = None,
    ) -> Moved:
        """Fetch a state from another kernel, or from a store at rest; the inverse of push().

        Raises UntrustedSnapshot unless that side's key is trusted here, or `trust` is true.
        """
        with end_of(source, token, writer=False) as end:
            return move(end, Remote(self), name_of(state), name=name, lineage=lineage, trust=trust, watcher=watcher)

    def keys(self) -> Keys:
        """The public key of this kernel's store, and those that it trusts."""
        found: Keys = self._ask("GET", "/keys", Keys)
        return found

    def trust(self, key: str, comment: str = "") -> None:
        """Take what was signed with this key: the code of its owner will run here when it is used."""
        self._ask("PUT", f"/keys/{quote(key, safe='')}", Any, msgspec.json.encode({"comment": comment}))

    def distrust(self, key: str) -> bool:
        """Take no more that was signed with this key; what is here stays. False: it was not trusted."""
        found: _Distrusted = self._ask("DELETE", f"/keys/{quote(key, safe='')}", _Distrusted)
        return found.distrusted

    def prune(self, keep_days: float | None = None, *, dry_run: bool = False) -> Pruned:
        """Remove from the store what no state needs any more: what was deleted.

        With `keep_days`, first delete the states that were not used for so many days, but for pinned ones and
        ancestors of others. A dry run only tells. Blobs younger than an hour stay.
        """
        asked = {"keep_days": keep_days, "dry_run": dry_run}
        found: Pruned = self._ask("POST", "/prune", Pruned, msgspec.json.encode(asked))
        return found

    def archive(self, days: float = 30.0, *, dry_run: bool = False) -> Archived:
        """Compress in the store what only states need that were not used for so many days, but for pinned ones.

        They stay as they are, and are expanded when they are used: 2 to 5 s/GB, once. A dry run only tells. Costs 4 to
        10 s/GB; cells run on meanwhile. Raises StoreFull.
        """
        asked = {"days": days, "dry_run": dry_run}
        found: Archived = self._ask("POST", "/archive", Archived, msgspec.json.encode(asked))
        return found

    @contextmanager
    def _download(self, path: str) -> Iterator[Iterator[bytes]]:
        try:
            with self._pool.download(path) as content:
                yield content
        except Refused as refused:
            raise self._error(refused.answer) from None


Place = str | os.PathLike[str] | Moves
"""The other side of a push or a pull: the URL of a kernel, a client of one, or the directory of a store at rest."""


class Remote:
    """A kernel as one end of a transfer."""

    def __init__(self, client: Moves) -> None:
        self._client = client

    def manifest(self, name: str, *, lineage: bool = False) -> bytes:
        """The signed manifest of a state."""
        return bytes(self._client._ask("GET", _path(name, "manifest", lineage), msgspec.Raw))

    def receive(self, signed: bytes, *, name: str | None = None, trust: bool = False) -> Received:
        """Have it take a state, or say which blobs are missing."""
        from stillframe.store.manifests import Received

        asked = {"manifest": msgspec.Raw(signed), "name": name, "trust": trust}
        found: Received = self._client._ask("POST", "/receive", Received, msgspec.json.encode(asked))
        return found

    @contextmanager
    def read(self, digest: str) -> Iterator[Iterator[bytes]]:
        """The content of a blob."""
        with self._client._download(f"/blobs/{digest}") as content:
            yield content

    def write(self, digest: str, size_bytes: int, content: Iterable[bytes]) -> None:
        """Store a blob."""
        path = f"/blobs/{digest}"
        answer = self._client._pool.upload("PUT", path, content, size_bytes)
        self._client._answered(answer, path, msgspec.Raw)


def move(
    source: End,
    target: End,
    state: str,
    *,
    name: str | None = None,
    lineage: bool = False,
    trust: bool = False,
    watcher: Watcher | None = None,
) -> Moved:
    """Send a state from one end to another. Raises as transfer() does."""
    from stillframe.store.transfer import transfer

    received, sent_bytes = transfer(
        source, target, state, new_name=name, lineage=lineage, trust=trust, watcher=watcher
    )
    return Moved(received.name, received.id, sent_bytes, received.taken_names, received.missing_packages)


@contextmanager
def end_of(place: Place, token: str | None, *, writer: bool) -> Iterator[End]:
    """The other side of a transfer. A directory is made where it is to be written to."""
    from stillframe.client import connect

    with ExitStack() as closing:
        if isinstance(place, Moves):
            yield Remote(place)
        elif is_url(place):
            yield Remote(closing.enter_context(connect(os.fspath(place), token)))
        else:
            yield closing.enter_context(at_rest(place, writer=writer))


@contextmanager
def at_rest(place: str | os.PathLike[str], *, writer: bool) -> Iterator[End]:
    """A store that no server has open, as an end; to be read, one may have it."""
    from stillframe.store import Store
    from stillframe.store.transfer import AtRest

    with Store.open(place, create=writer, writer=writer) as store:
        yield AtRest(store)


def is_url(place: str | os.PathLike[str]) -> bool:
    """Whether a place is the URL of a kernel, and not a directory."""
    return isinstance(place, str) and place.startswith(("http://", "https://"))


class _Distrusted(msgspec.Struct):
    distrusted: bool


@contextmanager
def _opened(file: str | os.PathLike[str]) -> Iterator[tuple[Iterator[bytes], int]]:
    """The content of a file in pieces, and its size in bytes."""
    try:
        opened = open(file, "rb")  # noqa: SIM115 (closed below; only opening it may be refused here)
    except OSError as error:
        raise BadRequest(f"{os.fspath(file)} cannot be read: {error.strerror}.") from error
    with opened:
        yield iter(lambda: opened.read(_PIECE_BYTES), b""), os.fstat(opened.fileno()).st_size


def _told(content: Iterator[bytes], progress: Progress | None) -> Iterator[bytes]:
    for piece in content:
        yield piece
        if progress is not None:
            progress(len(piece))


def _path(state: StateLike, what: str, lineage: bool) -> str:
    return f"/states/{quote(name_of(state), safe='')}/{what}" + ("?lineage=true" if lineage else "")


__all__ = ["Moves", "Place", "Remote", "at_rest", "end_of", "is_url", "move"]

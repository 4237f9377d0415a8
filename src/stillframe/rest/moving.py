"""The routes of moving and pruning: exports, imports, manifests, blobs, keys.

Invariants:
  * A body that may be large is never held in memory: it goes to the disk piece by piece, in a thread.
  * What was cut off in the middle has named nothing.
  * Whose states are taken is said beforehand, by a key that is trusted, or with `trust`; a push never says it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar
from urllib.parse import quote

from starlette.concurrency import iterate_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from stillframe.engine.supervisor import Supervisor
from stillframe.errors import BadRequest
from stillframe.names import check_name
from stillframe.rest.bodies import BYTES, as_json, body, flag, raw_json, segment
from stillframe.rest.requests import ArchiveRequest, PruneRequest, ReceiveRequest, TrustRequest

_PIECE_BYTES = 1 << 20
_T = TypeVar("_T")


class MovingApi:
    """The endpoints of what moves into and out of a kernel."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._moving = supervisor.moving

    def routes(self) -> list[Route]:
        """In the order of docs/protocol.md."""
        return [
            Route("/states/{name}/export", self.export, methods=["GET"]),
            Route("/import", self.import_, methods=["POST"]),
            Route("/states/{name}/manifest", self.manifest, methods=["GET"]),
            Route("/receive", self.receive, methods=["POST"]),
            Route("/blobs/{digest}", self.blob, methods=["GET", "PUT"]),
            Route("/keys", self.keys, methods=["GET"]),
            Route("/keys/{key}", self.key, methods=["PUT", "DELETE"]),
            Route("/prune", self.prune, methods=["POST"]),
            Route("/archive", self.archive, methods=["POST"]),
        ]

    async def export(self, request: Request) -> Response:
        name = segment(request, "name")
        signed = await self._moving.manifest(name, lineage=flag(request, "lineage", default=False))
        content = iterate_in_threadpool(self._moving.pieces(signed))
        shown = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}.export"}
        return StreamingResponse(content, media_type=BYTES, headers=shown)

    async def import_(self, request: Request) -> Response:
        name = request.query_params.get("name")
        if name is not None:
            check_name(name)
        content = _Content(request.stream())
        return as_json(await self._moving.take_in(content.read, name, trust=flag(request, "trust", default=False)))

    async def manifest(self, request: Request) -> Response:
        lineage = flag(request, "lineage", default=False)
        return raw_json(await self._moving.manifest(segment(request, "name"), lineage=lineage))

    async def receive(self, request: Request) -> Response:
        asked = await body(request, ReceiveRequest)
        if asked.name is not None:
            check_name(asked.name)
        return as_json(await self._moving.receive(bytes(asked.manifest), asked.name, trust=asked.trust))

    async def blob(self, request: Request) -> Response:
        digest = segment(request, "digest")
        if request.method == "PUT":
            await self._store_blob(digest, request.stream())
            return as_json({"stored": digest})
        size_bytes, content = await self._moving.blob(digest)
        length = {"Content-Length": str(size_bytes)}
        return StreamingResponse(iterate_in_threadpool(content), media_type=BYTES, headers=length)

    async def _store_blob(self, digest: str, stream: AsyncIterator[bytes]) -> None:
        receiving = await _in_thread(self._moving.arriving, digest)
        with receiving:
            waiting = bytearray()
            async for piece in stream:
                waiting += piece
                if len(waiting) >= _PIECE_BYTES:
                    await _in_thread(receiving.write, bytes(waiting))
                    waiting.clear()
            await _in_thread(receiving.write, bytes(waiting))
            await _in_thread(receiving.finish)
        self._moving.arrived(digest)

    async def keys(self, request: Request) -> Response:
        return as_json(await self._moving.keys())

    async def key(self, request: Request) -> Response:
        key = segment(request, "key")
        if request.method == "DELETE":
            return as_json({"distrusted": await self._moving.distrust(key)})
        asked = await body(request, TrustRequest)
        await self._moving.trust(key, asked.comment)
        return as_json({"trusted": key})

    async def prune(self, request: Request) -> Response:
        asked = await body(request, PruneRequest)
        if asked.keep_days is not None and not 0 <= asked.keep_days < 1e6:
            raise BadRequest(f"keep_days is {asked.keep_days}, which is no number of days.", "Say 30.")
        return as_json(await self._moving.prune(asked.keep_days, dry_run=asked.dry_run))

    async def archive(self, request: Request) -> Response:
        asked = await body(request, ArchiveRequest)
        if not 0 <= asked.days < 1e6:
            raise BadRequest(f"days is {asked.days}, which is no number of days.", "Say 30.")
        return as_json(await self._moving.archive(asked.days, dry_run=asked.dry_run))


async def _in_thread(work: Callable[..., _T], *arguments: Any) -> _T:
    """As asyncio.to_thread(), but who is cancelled waits for the end first: it would take away what the thread uses."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


class _Content:
    """A body, to be read in a thread while it arrives."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._rest = memoryview(b"")

    def read(self, size_bytes: int) -> bytes:
        """At most so many bytes of what follows; none at its end. Waits for them."""
        while not self._rest.nbytes:
            piece = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
            if not piece:
                return b""
            self._rest = memoryview(piece)
        found, self._rest = bytes(self._rest[:size_bytes]), self._rest[size_bytes:]
        return found

    async def _next(self) -> bytes:
        async for piece in self._stream:
            if piece:
                return piece
        return b""

"""The routes. docs/protocol.md says what they mean; here they call the supervisor of the same name.

Invariants:
  * Whatever a client sends is answered with JSON and a status below 500, but for a resource that is short.
  * An execution goes on when the client that asked for it hangs up.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any

import msgspec
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from stillframe.engine.protocol import Execute, Resume
from stillframe.engine.running import Wanted
from stillframe.engine.supervisor import Supervisor
from stillframe.errors import StillframeError
from stillframe.model import Description
from stillframe.names import check_name
from stillframe.rest import metrics, openapi
from stillframe.rest.bodies import as_json as _json
from stillframe.rest.bodies import body as _body
from stillframe.rest.bodies import flag
from stillframe.rest.bodies import raw_json as _raw
from stillframe.rest.bodies import segment as _segment
from stillframe.rest.gate import Gate
from stillframe.rest.moving import MovingApi
from stillframe.rest.requests import (
    CompleteRequest,
    EvaluateRequest,
    ExecuteRequest,
    InspectRequest,
    InterruptRequest,
    RenameRequest,
    ResumeRequest,
)

VERSION = "0.1.0"
_STREAM = "text/event-stream"
_PING_S = 15
_GATHERING_S = 0.002
_QUEUED_UPDATES = 10_000
"""Display updates that wait for a slow client; more are dropped, since a later one replaces them."""


class Api:
    """The endpoints of one kernel."""

    def __init__(self, supervisor: Supervisor, on_shutdown: Callable[[], None]) -> None:
        self.supervisor = supervisor
        self._on_shutdown = on_shutdown
        self._running: set[asyncio.Task[Any]] = set()

    def routes(self) -> list[Route]:
        """Every route, in the order of docs/protocol.md."""
        return [
            Route("/execute", self.execute, methods=["POST"]),
            Route("/resume", self.resume, methods=["POST"]),
            Route("/states", self.states, methods=["GET"]),
            Route("/states/{name}", self.one_state, methods=["GET", "DELETE", "PATCH"]),
            Route("/states/{name}/variables", self.variables, methods=["GET"]),
            Route("/states/{name}/variables/{variable}", self.value, methods=["GET"]),
            Route("/states/{name}/complete", self.complete, methods=["POST"]),
            Route("/states/{name}/inspect", self.inspect, methods=["POST"]),
            Route("/states/{name}/frames", self.frames, methods=["GET"]),
            Route("/states/{name}/evaluate", self.evaluate, methods=["POST"]),
            Route("/states/{name}/pin", self.pin, methods=["POST", "DELETE"]),
            *MovingApi(self.supervisor).routes(),
            Route("/reset", self.reset, methods=["POST"]),
            Route("/interrupt", self.interrupt, methods=["POST"]),
            Route("/tree", self.tree, methods=["GET"]),
            Route("/events", self.events, methods=["GET"]),
            Route("/health", self.health, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
            Route("/openapi.json", self.openapi, methods=["GET"]),
            Route("/shutdown", self.shutdown, methods=["POST"]),
        ]

    async def execute(self, request: Request) -> Response:
        body = await _body(request, ExecuteRequest)
        return await self._perform(request, body, Execute(body.code, body.on_error == "keep"))

    async def resume(self, request: Request) -> Response:
        body = await _body(request, ResumeRequest)
        order = Resume(bytes(body.value), body.frame, body.mend, body.on_error == "keep")
        return await self._perform(request, body, order)

    async def _perform(
        self, request: Request, body: ExecuteRequest | ResumeRequest, order: Execute | Resume
    ) -> Response:
        for name in (body.new_state_name, body.error_state_name):
            if name is not None:
                check_name(name)
        keeps_error = body.on_error == "keep"
        wanted = Wanted(order, body.new_state_name, _most(body.branches), keeps_error, body.error_state_name)
        run = functools.partial(self.supervisor.execute, body.exec_id, body.state_name, wanted)
        if _STREAM in request.headers.get("accept", ""):
            return EventSourceResponse(self._stream(run), ping=_PING_S)
        return _json(await run())

    async def _stream(self, run: Callable[..., Any]) -> AsyncIterator[ServerSentEvent]:
        waiting: deque[tuple[str, Any] | None] = deque()
        queue = _Queue(waiting)

        def sink(event: str, data: Any) -> None:
            if event != "update_display_data" or queue.qsize() < _QUEUED_UPDATES:
                queue.put_nowait((event, data))

        # A task of its own: the client's hanging up cancels the stream, but not what runs.
        task = asyncio.get_running_loop().create_task(run(sink=sink))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(lambda _: queue.put_nowait(None))
        while (item := await queue.get()) is not None:
            if _is_unfinished_line(item):
                await asyncio.sleep(_GATHERING_S)
            while waiting and (joined := _joined(item, waiting[0])) is not None:
                item = joined
                queue.get_nowait()
            yield _event(*item)
        reply = task.result()
        yield _event("result", msgspec.structs.replace(reply, output=[]))

    async def states(self, request: Request) -> Response:
        return _json({"states": list(self.supervisor.names)})

    async def one_state(self, request: Request) -> Response:
        name = _segment(request, "name")
        if request.method == "DELETE":
            self.supervisor.delete(name)
            return _json({"deleted": name})
        if request.method == "PATCH":
            body = await _body(request, RenameRequest)
            self.supervisor.rename(name, check_name(body.name))
            return _json({"name": body.name})
        variables = await self.supervisor.variables(name)
        node = self.supervisor.state(name).node(self.supervisor.limits.replay_s)
        fields = {
            field: getattr(node, field) for field in Description.__struct_fields__ if hasattr(node, field)
        }
        return _json({"name": name, "timestamp": node.created, "variables": msgspec.Raw(variables), **fields})

    async def variables(self, request: Request) -> Response:
        found = await self.supervisor.variables(_segment(request, "name"))
        return _json({"variables": msgspec.Raw(found)})

    async def value(self, request: Request) -> Response:
        found = await self.supervisor.show(_segment(request, "name"), _segment(request, "variable"))
        return _raw(found)

    async def complete(self, request: Request) -> Response:
        body = await _body(request, CompleteRequest)
        cursor = len(body.code) if body.cursor_pos is None else body.cursor_pos
        return _raw(await self.supervisor.complete(_segment(request, "name"), body.code, cursor))

    async def inspect(self, request: Request) -> Response:
        body = await _body(request, InspectRequest)
        cursor = len(body.code) if body.cursor_pos is None else body.cursor_pos
        name = _segment(request, "name")
        return _raw(await self.supervisor.inspect(name, body.code, cursor, body.detail_level))

    async def frames(self, request: Request) -> Response:
        found = await self.supervisor.frames(_segment(request, "name"))
        return _json({"frames": msgspec.Raw(found)})

    async def evaluate(self, request: Request) -> Response:
        body = await _body(request, EvaluateRequest)
        return _raw(await self.supervisor.evaluate(_segment(request, "name"), body.frame, body.code))

    async def pin(self, request: Request) -> Response:
        is_pinned = request.method == "POST"
        self.supervisor.pin(_segment(request, "name"), is_pinned)
        return _json({"pinned": is_pinned})

    async def reset(self, request: Request) -> Response:
        await self.supervisor.reset()
        return _json({"status": "ok"})

    async def interrupt(self, request: Request) -> Response:
        body = await _body(request, InterruptRequest)
        return _json({"interrupted": self.supervisor.interrupt(body.exec_id)})

    async def tree(self, request: Request) -> Response:
        return _json(await self.supervisor.tree(with_memory=flag(request, "memory", default=True)))

    async def events(self, request: Request) -> Response:
        after = request.headers.get("last-event-id", "")
        known = int(after) if after.isascii() and after.isdigit() and len(after) < 19 else None
        return EventSourceResponse(self._events(known), ping=_PING_S)

    async def _events(self, known: int | None) -> AsyncIterator[ServerSentEvent]:
        journal = self.supervisor.journal
        with journal.listening() as events:
            missed = None if known is None else journal.missed(known)
            if missed is None:
                number = journal.number
                tree = await self.supervisor.tree(with_memory=False)
                yield _event("tree", tree, number)
            else:
                number = known or 0
                for event in missed:
                    number = event.number
                    yield _event(event.name, event.data, number)
            async for event in events:
                if event.number > number:
                    yield _event(event.name, event.data, event.number)

    async def health(self, request: Request) -> Response:
        return _json({**self.supervisor.health(), "version": VERSION, "pid": os.getpid()})

    async def metrics(self, request: Request) -> Response:
        text, media_type = metrics.exposition(self.supervisor)
        return Response(text, media_type=media_type)

    async def openapi(self, request: Request) -> Response:
        return _json(openapi.document(VERSION))

    async def shutdown(self, request: Request) -> Response:
        asyncio.get_running_loop().call_soon(self._on_shutdown)
        return _json({"status": "stopping"})


def make_app(
    supervisor: Supervisor,
    token: str,
    hosts: Collection[str] = (),
    on_shutdown: Callable[[], None] = lambda: None,
) -> ASGIApp:
    """The kernel's ASGI application. `hosts` are the names it may be reached by besides the loopback's."""
    app = Starlette(
        routes=Api(supervisor, on_shutdown).routes(),
        exception_handlers={
            StillframeError: _on_error,
            HTTPException: _on_http_error,
            ClientDisconnect: _on_disconnect,
        },
    )
    app.router.redirect_slashes = False
    return Gate(app, token, hosts, supervisor.limits.body_bytes, supervisor.limits.upload_bytes)


class _Queue(asyncio.Queue[tuple[str, Any] | None]):
    """A queue whose next item can be looked at."""

    def __init__(self, items: deque[tuple[str, Any] | None]) -> None:
        self._items = items
        super().__init__()

    def _init(self, maxsize: int) -> None:
        self._queue = self._items


def _most(branches: int | str) -> int | None:
    return branches if isinstance(branches, int) else None


def _is_unfinished_line(item: tuple[str, Any]) -> bool:
    """Whether more of the line will follow at once, as with print(), which writes its newline by itself."""
    event, data = item
    return event == "output" and data["output_type"] == "stream" and not data["text"].endswith("\n")


def _joined(item: tuple[str, Any], following: tuple[str, Any] | None) -> tuple[str, Any] | None:
    """Two neighbours of one stream as one, or None where they are not that."""
    if following is None or item[0] != "output" or following[0] != "output":
        return None
    first, second = item[1], following[1]
    if (
        first["output_type"] != "stream"
        or second["output_type"] != "stream"
        or first["name"] != second["name"]
    ):
        return None
    return "output", {**first, "text": first["text"] + second["text"]}


def _event(name: str, data: Any, number: int | None = None) -> ServerSentEvent:
    text = msgspec.json.encode(data).decode()
    return ServerSentEvent(data=text, event=name, id=None if number is None else str(number))


def _error(status: int, code: str, message: str, hint: str = "") -> Response:
    body = {"error": {"code": code, "message": message, "hint": hint}}
    return Response(msgspec.json.encode(body), status, media_type="application/json")


async def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, StillframeError)
    return _error(error.status, error.code, error.message, error.hint)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "NotFound", 405: "MethodNotAllowed"}.get(error.status_code, "BadRequest")
    response = _error(
        error.status_code,
        code,
        f"{request.method} {request['path']}: {error.detail}.",
        "See GET /openapi.json.",
    )
    response.headers.update(error.headers or {})
    return response


async def _on_disconnect(request: Request, error: Exception) -> Response:
    return _error(400, "BadRequest", "the client hung up before its body was complete.")

"""What requests say and what they are answered: bodies and parts of the path in, JSON out."""

from __future__ import annotations

from typing import Any, TypeVar
from urllib.parse import unquote

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stillframe.errors import BadRequest

Body = TypeVar("Body")
BYTES = "application/octet-stream"
"""The media type of exports and blobs."""


async def body(request: Request, kind: type[Body]) -> Body:
    """The body, as what it should be. Raises BadRequest where it is not."""
    return decoded(request, await request.body(), kind)


def decoded(request: Request, raw: bytes, kind: type[Body]) -> Body:
    """A body that was read already. None at all says nothing: that is enough where no field is required."""
    try:
        return msgspec.json.decode(raw or b"{}", type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"the body is not what {request.method} {request['path']} takes: {error}.") from error


def segment(request: Request, name: str) -> str:
    """A percent-encoded part of the path."""
    try:
        return unquote(request.path_params[name], errors="strict")
    except UnicodeDecodeError as error:
        raise BadRequest("the path is not UTF-8 when it is decoded.", "Percent-encode it as UTF-8.") from error


def flag(request: Request, name: str, *, default: bool) -> bool:
    """A part of the query that is true or false."""
    found = request.query_params.get(name, str(default).lower())
    if found not in ("true", "false"):
        raise BadRequest(f"{name}={found!r} is neither true nor false.")
    return found == "true"


def as_json(value: Any) -> Response:
    """An answer that is still to be encoded."""
    return raw_json(msgspec.json.encode(value))


def raw_json(content: bytes) -> Response:
    """An answer that is JSON already."""
    return Response(content, media_type="application/json")

"""Who may ask: the token, the host, the size of the body. Pure ASGI, in front of every route.

Invariants:
  * Nothing behind the gate runs for a request that it refuses.
  * A route sees its path as it was sent, still percent-encoded, so that a name may hold a slash.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import msgspec

from stillframe.sizes import mebibytes

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_DISCARDED = 4
"""A refused body is read up to this many times the limit, then the connection is closed on it."""
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class BodyTooLarge(BaseException):
    """The body went over its limit while it was read.

    Not an Exception: what stands between the route and the gate would answer it with a 500.
    """


def is_upload(method: str, path: str) -> bool:
    """Whether the route takes its body piece by piece, and so one of any size."""
    return (method == "POST" and path == "/import") or (method == "PUT" and path.startswith("/blobs/"))


class Gate:
    """Lets through what carries the token, names a host of ours, and is not too large."""

    def __init__(
        self, app: ASGIApp, token: str, hosts: Collection[str], body_bytes: int, upload_bytes: int
    ) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = _LOOPBACK | {host.lower() for host in hosts}
        self._body_bytes = body_bytes
        self._upload_bytes = upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        headers = {name: value for name, value in scope["headers"]}
        refusal = self._refuse(scope, headers)
        if refusal is not None:
            await self._answer(receive, send, *refusal)
            return
        scope["path"] = scope["raw_path"].decode("ascii", "replace")
        try:
            await self._app(scope, self._bounded(receive, self._limit(scope)), send)
        except BodyTooLarge:
            await self._answer(receive, send, *self._too_large(self._limit(scope)))

    def _refuse(self, scope: Scope, headers: dict[bytes, bytes]) -> tuple[int, str, str, str] | None:
        """(status, code, message, hint) where the request is refused."""
        host = headers.get(b"host", b"").decode("latin-1")
        if scope.get("server") is not None and not self._is_own(host):
            return 403, "Forbidden", f"the host {host!r} is not this server's.", "Start it with --allow-host."
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and urlsplit(origin).netloc.lower() != host.lower():
            return (
                403,
                "Forbidden",
                f"requests from {origin!r} are refused.",
                "Ask from the server's own page.",
            )
        if not self._has_token(scope, headers):
            return 401, "Unauthorized", "the token is missing or wrong.", "Send Authorization: Bearer TOKEN."
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._limit(scope):
            return self._too_large(self._limit(scope))
        return None

    def _limit(self, scope: Scope) -> int:
        """The largest body that the route takes."""
        route = (scope["method"], scope["raw_path"].decode("ascii", "replace"))
        return self._upload_bytes if is_upload(*route) else self._body_bytes

    def _is_own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        return name is not None and name.lower() in self._hosts

    def _has_token(self, scope: Scope, headers: dict[bytes, bytes]) -> bool:
        kind, _, value = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() in (b"bearer", b"token"):
            return hmac.compare_digest(value.strip(), self._token)
        query = scope["query_string"].decode("latin-1")
        given = [value for name, value in parse_qsl(query, keep_blank_values=True) if name == "token"]
        return bool(given) and hmac.compare_digest(given[-1].encode(), self._token)

    async def _answer(
        self, receive: Receive, send: Send, status: int, code: str, message: str, hint: str
    ) -> None:
        """Answer at once, then read what the client is still sending: else it would not see the answer."""
        body = msgspec.json.encode({"error": {"code": code, "message": message, "hint": hint}})
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        discarded_bytes, is_more = 0, True
        while is_more and discarded_bytes <= _DISCARDED * self._body_bytes:
            part = await receive()
            discarded_bytes += len(part.get("body", b""))
            is_more = part.get("more_body", False)
        await send({"type": "http.response.body", "body": b""})

    def _too_large(self, limit_bytes: int) -> tuple[int, str, str, str]:
        limit = mebibytes(limit_bytes)
        return (
            413,
            "BodyTooLarge",
            f"the body is larger than {limit}.",
            "Send less, or have the code read a file.",
        )

    def _bounded(self, receive: Receive, limit_bytes: int) -> Receive:
        received_bytes = 0

        async def bounded() -> Message:
            nonlocal received_bytes
            message = await receive()
            received_bytes += len(message.get("body", b""))
            if received_bytes > limit_bytes:
                raise BodyTooLarge
            return message

        return bounded

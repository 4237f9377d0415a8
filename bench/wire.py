"""One kept-alive HTTP connection, the same for every REST kernel that is measured.

Invariants:
  * A request is one write and TCP_NODELAY is set, so that no figure holds a delayed acknowledgement.
  * The clock stands still while JSON is made and read: only the round trip is timed.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

IDLE_S = 5.0
"""An idle connection is opened anew after this time: a peer (cheroot) closes it after 10 s."""
JSON_HEADERS = {"Content-Type": "application/json"}


class Rest:
    """A connection to a REST kernel. `seconds` is the time of the last round trip."""

    def __init__(self, url: str, token: str, timeout_s: float = 120.0) -> None:
        parts = urlsplit(url)
        self.token = token
        self.seconds = 0.0
        self.connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
        self._connect()

    def _connect(self) -> None:
        self.connection.close()
        self.connection.connect()
        self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._used = time.monotonic()

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        """The status and the decoded answer (a peer's errors are HTML: their text)."""
        data = None if body is None else json.dumps(body).encode()
        target = self._target(path)
        if time.monotonic() - self._used > IDLE_S:
            self._connect()
        started = time.perf_counter()
        self.connection.request(method, target, data, JSON_HEADERS)
        response = self.connection.getresponse()
        answer = response.read()
        self.seconds = time.perf_counter() - started
        self._used = time.monotonic()
        is_json = response.status < 400 or response.headers.get_content_type() == "application/json"
        return response.status, json.loads(answer) if is_json else answer.decode(errors="replace")

    def stream(self, path: str, body: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """The server-sent events that answer a POST, each as (event, data)."""
        headers = {**JSON_HEADERS, "Accept": "text/event-stream"}
        self.connection.request("POST", self._target(path), json.dumps(body).encode(), headers)
        response = self.connection.getresponse()
        event, data = "message", ""
        while line := response.readline():
            field, _, value = line.decode().rstrip("\r\n").partition(":")
            if field == "event":
                event = value.strip()
            elif field == "data":
                data += value.removeprefix(" ")
            elif not field and not value and data:
                yield event, json.loads(data)
                event, data = "message", ""

    def close(self) -> None:
        self.connection.close()

    def _target(self, path: str) -> str:
        return f"{path}{'&' if '?' in path else '?'}token={quote(self.token)}"

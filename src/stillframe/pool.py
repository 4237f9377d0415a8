"""Persistent HTTP connections to one server, shared by threads.

Invariants:
  * A connection serves one request at a time, and goes back to the pool only after a whole answer.
  * A request that changes something is sent at most once: what went over the wire is never sent again.
    A GET on a reused connection that breaks before its answer is sent once more on a new one.
  * A connection is used only in the process that opened it; after a fork the child opens its own.
  * A broken connection is a ServerUnreachable that says what, which, why, and what now.
"""

from __future__ import annotations

import collections
import http.client
import os
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import msgspec

from stillframe.errors import BadRequest, ServerUnreachable

CONNECT_S = 10.0
"""The longest wait for a connection to be accepted."""

IDLE_S = 4.0
"""Servers close idle connections after 5 s or more; one that rested longer than this is not reused, so that
a request is not sent into a connection that closes at the same moment."""

READ_BYTES = 1 << 16
PIECE_BYTES = 1 << 18
"""An upload is looked after so often: whether the server has answered already."""

_BROKEN = (OSError, http.client.HTTPException)


class Place(NamedTuple):
    """Where a server is, and how one gets there."""

    shown: str
    """What messages call it: its URL without the token."""
    host: str
    """The Host header."""
    prefix: str
    """What stands before every path; without a slash at its end."""
    dial: Callable[[], socket.socket]
    token: str | None = None


class Answer(NamedTuple):
    """One answer in full."""

    status: int
    body: bytes


class Event(NamedTuple):
    """One server-sent event, its data decoded from JSON."""

    event: str
    data: Any
    id: str | None = None


class Refused(Exception):
    """A stream was asked for, and a plain answer came instead."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def place_of(url: str, token: str | None) -> Place:
    """The place that `url` names: http or https, with a path or without. `?token=` in it is understood."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as cause:
        raise BadRequest(f"{url!r} is not a URL: {cause}.") from cause
    if parts.scheme not in ("http", "https") or not host:
        raise BadRequest(f"{url!r} is not the URL of a kernel.", "It looks like http://127.0.0.1:8765.")
    secure = parts.scheme == "https"
    address = (host, port or (443 if secure else 80))
    netloc = parts.netloc.rpartition("@")[2]
    given = parse_qs(parts.query).get("token", [None])[0]

    def dial() -> socket.socket:
        sock = socket.create_connection(address, CONNECT_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A cell may run for hours in silence; this finds out about a peer that has gone meanwhile.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return ssl.create_default_context().wrap_socket(sock, server_hostname=host) if secure else sock

    prefix = parts.path.rstrip("/")
    return Place(f"{parts.scheme}://{netloc}{prefix}", netloc, prefix, dial, token or given)


def unix_place(address: str | bytes, token: str) -> Place:
    """The place of a server that listens on a Unix socket; an abstract address begins with a zero byte."""

    def dial() -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(CONNECT_S)
            sock.connect(address)
        except BaseException:
            sock.close()
            raise
        return sock

    text = os.fsdecode(address).replace("\0", "@")
    return Place(f"unix:{text}", "localhost", "", dial, token)


class Pool:
    """Connections to one place. Safe to use from threads, and after a fork.

    `explain` adds what its owner knows of a server that does not answer. `timeout_s` is the longest silence
    of the server while an answer is awaited; None waits for ever.
    """

    def __init__(
        self, place: Place, *, timeout_s: float | None = None, explain: Callable[[], str] | None = None
    ) -> None:
        self.place = place
        self._timeout_s = timeout_s
        self._explain = explain
        self._idle: collections.deque[tuple[socket.socket, float]] = collections.deque()
        self._process_id = os.getpid()

    def request(self, method: str, path: str, body: bytes | None = None) -> Answer:
        """Send one request and return its answer, whatever its status."""
        if method == "GET":
            # Reading twice is harmless, so a connection that broke while it rested costs only a second try.
            sock = self._resting()
            if sock is not None:
                try:
                    return self._exchange(sock, method, path, body)
                except TimeoutError as cause:
                    raise self._broken(method, path, cause) from cause
                except _BROKEN:
                    pass
            sock = self._open()
        else:
            sock = self._resting() or self._open()
        try:
            return self._exchange(sock, method, path, body)
        except _BROKEN as cause:
            raise self._broken(method, path, cause) from cause

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        last_event_id: str | None = None,
        patient: bool = False,
    ) -> Iterator[Iterator[Event]]:
        """Send one request whose answer is server-sent events. Raises Refused where it is not.

        The connection is closed at the end: leaving early is how a client stops listening. `patient` waits
        for ever between events.
        """
        extra = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if last_event_id is not None:
            extra["Last-Event-ID"] = last_event_id
        with closing(self._resting() or self._open()) as sock:
            try:
                response = self._send(sock, method, path, body, extra)
                if not response.headers.get_content_type() == "text/event-stream":
                    raise Refused(Answer(response.status, response.read()))
                if patient:
                    sock.settimeout(None)
            except _BROKEN as cause:
                raise self._broken(method, path, cause) from cause
            yield self._events(response, method, path)

    @contextmanager
    def download(self, path: str) -> Iterator[Iterator[bytes]]:
        """The body of a GET in pieces, whatever its size. Raises Refused where its status is not 200.

        Each piece is at most READ_BYTES; ServerUnreachable is raised where the body is cut off.
        """
        with closing(self._open()) as sock:
            try:
                response = self._send(sock, "GET", path, None, {"Accept": "application/octet-stream"})
                if response.status != 200:
                    raise Refused(Answer(response.status, response.read()))
            except _BROKEN as cause:
                raise self._broken("GET", path, cause) from cause
            yield self._whole(response, path)

    def upload(self, method: str, path: str, content: Iterable[bytes], size_bytes: int | None = None) -> Answer:
        """Send a body in pieces, of any size, and return the answer, whatever its status.

        A server that answers before it has read all of it is sent no more.
        """
        length = ("Transfer-Encoding", "chunked") if size_bytes is None else ("Content-Length", str(size_bytes))
        extra = {"Accept": "application/json", "Content-Type": "application/octet-stream", length[0]: length[1]}
        with closing(self._open()) as sock:
            try:
                sock.settimeout(self._timeout_s)
                sock.sendall(self._head(method, path, extra))
                self._send_pieces(sock, content, is_chunked=size_bytes is None)
                response = http.client.HTTPResponse(sock, method=method)
                response.begin()
                return Answer(response.status, response.read())
            except _BROKEN as cause:
                raise self._broken(method, path, cause) from cause

    def _send_pieces(self, sock: socket.socket, content: Iterable[bytes], *, is_chunked: bool) -> None:
        try:
            for piece in content:
                for start in range(0, len(piece), PIECE_BYTES):
                    if _is_readable(sock):
                        return
                    part = piece[start : start + PIECE_BYTES]
                    sock.sendall(b"%x\r\n%b\r\n" % (len(part), part) if is_chunked else part)
            if is_chunked:
                sock.sendall(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            # As in _send: what it has answered is worth reading.
            pass

    def _whole(self, response: http.client.HTTPResponse, path: str) -> Iterator[bytes]:
        """The pieces of a body, which must be whole at the end."""
        try:
            while piece := response.read1(READ_BYTES):
                yield piece
            if response.length:
                raise http.client.IncompleteRead(b"", response.length)
        except _BROKEN as cause:
            raise self._broken("GET", path, cause) from cause

    def close(self) -> None:
        """Close the connections that rest. The pool can still be used; it opens new ones."""
        while self._idle:
            try:
                self._idle.pop()[0].close()
            except IndexError:
                return

    def _exchange(self, sock: socket.socket, method: str, path: str, body: bytes | None) -> Answer:
        whole = False
        try:
            response = self._send(sock, method, path, body, {"Accept": "application/json"})
            answer = Answer(response.status, response.read())
            whole = not response.will_close
            return answer
        finally:
            if whole and self._process_id == os.getpid():
                self._idle.append((sock, time.monotonic()))
            else:
                sock.close()

    def _send(
        self, sock: socket.socket, method: str, path: str, body: bytes | None, extra: dict[str, str]
    ) -> http.client.HTTPResponse:
        fields = dict(extra)
        if body is not None:
            fields["Content-Type"] = "application/json"
            fields["Content-Length"] = str(len(body))
        elif method != "GET":
            fields["Content-Length"] = "0"
        head = self._head(method, path, fields)
        sock.settimeout(self._timeout_s)
        try:
            # Head and body in one piece: the server wakes once.
            sock.sendall(head + (body or b""))
        except (BrokenPipeError, ConnectionResetError):
            # A server that refuses a body answers before it has read all of it: that answer is worth reading.
            pass
        response = http.client.HTTPResponse(sock, method=method)
        response.begin()
        return response

    def _head(self, method: str, path: str, extra: dict[str, str]) -> bytes:
        fields = {"Host": self.place.host, **extra}
        if self.place.token is not None:
            fields["Authorization"] = f"Bearer {self.place.token}"
        lines = [f"{method} {self.place.prefix}{path} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _events(self, response: http.client.HTTPResponse, method: str, path: str) -> Iterator[Event]:
        def chunks() -> Iterator[bytes]:
            while True:
                try:
                    chunk = response.read1(READ_BYTES)
                except _BROKEN as cause:
                    raise self._broken(method, path, cause) from cause
                if not chunk:
                    return
                yield chunk

        try:
            yield from parse_events(chunks())
        except msgspec.MsgspecError as cause:
            raise self._broken(method, path, cause) from cause

    def _resting(self) -> socket.socket | None:
        """A connection that rests and that the server has not closed, or None."""
        if self._process_id != os.getpid():
            # These connections are the parent's: closing our copies leaves them as they are.
            self.close()
            self._process_id = os.getpid()
        while self._idle:
            try:
                sock, since = self._idle.pop()
            except IndexError:
                break
            if time.monotonic() - since < IDLE_S and not _is_readable(sock):
                return sock
            sock.close()
        return None

    def _open(self) -> socket.socket:
        try:
            return self.place.dial()
        except OSError as cause:
            why = self._explain() if self._explain is not None else ""
            raise ServerUnreachable(
                f"nobody answers at {self.place.shown}: {why or _reason(cause)}.",
                "" if why else "Check the address, or start a kernel there with `still serve`.",
            ) from cause

    def _broken(self, method: str, path: str, cause: BaseException) -> ServerUnreachable:
        what = f"{method} {path.partition('?')[0]}"
        if isinstance(cause, TimeoutError):
            return ServerUnreachable(
                f"{self.place.shown} did not answer {what} within {self._timeout_s:g} s.",
                "It may still be at work; wait longer with connect(…, timeout_s=…).",
            )
        why = (self._explain() if self._explain is not None else "") or _reason(cause)
        now = (
            "It can be asked again."
            if method == "GET"
            else ("It may have been done or not: look at states(), or at the tree, before you send it again.")
        )
        return ServerUnreachable(f"{self.place.shown} broke off before it had answered {what}: {why}.", now)


def parse_events(chunks: Iterator[bytes]) -> Iterator[Event]:
    """The events in a body that comes in pieces. Comments and unknown fields are passed over."""
    data: list[bytes] = []
    event, event_id = "message", None
    for line in _lines(chunks):
        if not line:
            if data:
                yield Event(event, msgspec.json.decode(b"\n".join(data)), event_id)
            event, data = "message", []
            continue
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            event = value.decode()
        elif field == b"id":
            event_id = value.decode()


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    pending: list[bytes] = []
    for chunk in chunks:
        *whole, rest = chunk.split(b"\n")
        for end in whole:
            pending.append(end)
            yield b"".join(pending).rstrip(b"\r")
            pending.clear()
        if rest:
            pending.append(rest)


def _is_readable(sock: socket.socket) -> bool:
    """Whether a resting connection has something to say: only that it was closed."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _reason(cause: BaseException) -> str:
    if isinstance(cause, http.client.RemoteDisconnected):
        return "it closed the connection"
    if isinstance(cause, http.client.BadStatusLine):
        return f"what it says is no HTTP: {str(cause).strip()[:80]}"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(cause) or type(cause).__name__

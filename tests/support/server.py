"""A kernel server as a process of its own, and its wire.

Invariants:
  * The server runs in a session of its own; its standard output is a pipe that nobody reads after the
    first line, as with the clients that PROTOCOL.md speaks of.
  * stop() leaves no process of it, and says which there were if there were any.
  * Every request has a timeout: a server that hangs fails the test, it does not hang it.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from support.processes import command, descendants, is_alive, until, with_marker

TOKEN = "a-token-of-the-tests"
MARKER = "SF_TEST_RUN"
SOURCE = Path(__file__).resolve().parents[2] / "src"
PEER = os.environ.get("SF_TEST_PEER", "")
"""Where the tests run against another kernel, to be seen red: the path of its python."""

Json = Any


class Event(NamedTuple):
    """One server-sent event."""

    name: str
    data: Json
    id: str | None


class Answer(NamedTuple):
    """A response as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Json:
        return json.loads(self.body)


class Server:
    """A running server. `begin` runs a cell in the background; `run` waits for its reply."""

    def __init__(self, cwd: Path, *arguments: str, limits: dict[str, float] | None = None) -> None:
        self.cwd = cwd
        self.arguments = arguments
        self.marker = f"{MARKER}={uuid.uuid4().hex}"
        self.environment = {"STILLFRAME_LIMITS": json.dumps(limits)} if limits else {}
        self._count = itertools.count()

    # Its life

    def start(self) -> Server:
        name, _, value = self.marker.partition("=")
        environment = {
            key: text for key, text in os.environ.items() if not key.startswith(("STILLFRAME", "PYTEST"))
        }
        environment |= {name: value, "PYTHONPATH": str(SOURCE), **self.environment}
        port = _free_port() if PEER else 0
        ours = [sys.executable, "-P", "-m", "stillframe.serve"]
        bind = [
            *([PEER, "-m", "snapshot_kernel.main"] if PEER else ours),
            "--bind",
            f"127.0.0.1:{port}",
            "--token",
            TOKEN,
            *self.arguments,
        ]
        self.stderr_path = self.cwd.parent / f"{self.cwd.name}.stderr"
        with self.stderr_path.open("wb") as stderr:
            self.process = subprocess.Popen(
                bind,
                cwd=self.cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
            )
        if PEER:
            self.host, self.port = "127.0.0.1", port
            until(self._answers, 10, "the peer's first answer")
        else:
            self.ready = json.loads(self._first_line(10.0))
            parts = urlsplit(self.ready["url"])
            assert parts.hostname is not None and parts.port is not None
            self.host, self.port = parts.hostname, parts.port
        return self

    def stop(self) -> None:
        """End the server by SIGTERM; AssertionError where a process of it is left after 5 s."""
        known = descendants(self.process.pid)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(5)
            until(lambda: not self.left(known), 5, "the end of every process of the server")
        finally:
            self.kill_rest()

    def left(self, known: Collection[int] = ()) -> dict[int, str]:
        """Processes of this server that are there, by its marker; those of `known` pids too."""
        return with_marker(self.marker) | {pid: command(pid) for pid in known if is_alive(pid)}

    def kill_rest(self) -> None:
        """Kill, by pid, what carries this server's marker. For after a failure."""
        for pid in with_marker(self.marker):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(5)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def written_to_stdout(self) -> bytes:
        """What the server has written to its standard output since its first line."""
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        found = b""
        while select.select([descriptor], [], [], 0)[0]:
            chunk = os.read(descriptor, 65536)
            if not chunk:
                break
            found += chunk
        return found

    def _answers(self) -> bool:
        try:
            return self.call("GET", "/states", timeout_s=1)[0] == 200
        except OSError:
            return False

    def _first_line(self, deadline_s: float) -> bytes:
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        line, end = b"", time.monotonic() + deadline_s
        while not line.endswith(b"\n"):
            if not select.select([descriptor], [], [], max(0.0, end - time.monotonic()))[0]:
                raise AssertionError(f"no line within {deadline_s} s; stderr: {self.stderr_path.read_text()}")
            byte = os.read(descriptor, 1)
            if not byte:
                raise AssertionError(f"the server ended; stderr: {self.stderr_path.read_text()}")
            line += byte
        return line

    # Its wire

    def exchange(
        self,
        method: str,
        path: str,
        body: Json = None,
        *,
        headers: dict[str, str] | None = None,
        token: str | None = TOKEN,
        timeout_s: float = 60,
    ) -> Answer:
        """One request and its answer. bytes go as they are, anything else but None as JSON."""
        connection, response = self._request(method, path, body, headers, token, timeout_s)
        with contextlib.closing(connection):
            lower = {key.lower(): value for key, value in response.getheaders()}
            return Answer(response.status, lower, response.read())

    def call(self, method: str, path: str, body: Json = None, **options: Any) -> tuple[int, Json]:
        """One request; its status and the JSON of its answer. AssertionError where it is not JSON."""
        answer = self.exchange(method, path, body, **options)
        try:
            return answer.status, answer.json
        except ValueError:
            found = f"{answer.status} {answer.body[:300]!r}"
            raise AssertionError(f"{method} {path} did not answer with JSON: {found}") from None

    @contextlib.contextmanager
    def events(
        self,
        method: str = "GET",
        path: str = "/events",
        body: Json = None,
        *,
        headers: dict[str, str] | None = None,
        timeout_s: float = 60,
    ) -> Iterator[Iterator[Event]]:
        """The server-sent events of one request, as they come."""
        headers = {"Accept": "text/event-stream", **(headers or {})}
        connection, response = self._request(method, path, body, headers, TOKEN, timeout_s)
        try:
            assert response.status == 200, response.read()
            assert response.getheader("content-type", "").startswith("text/event-stream")
            yield _events(response)
        finally:
            # Not close() alone: the response holds the socket's file too.
            if connection.sock is not None:
                connection.sock.close()
            response.close()
            connection.close()

    def _request(
        self,
        method: str,
        path: str,
        body: Json,
        headers: dict[str, str] | None,
        token: str | None,
        timeout_s: float,
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        sent = dict(headers or {})
        if token is not None and "Authorization" not in sent:
            sent["Authorization"] = f"Bearer {token}"
        if PEER and token is not None:
            path += ("&" if "?" in path else "?") + f"token={token}"
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)
        connection.request(method, path, body, sent)
        return connection, connection.getresponse()

    # Its verbs

    def new_name(self, prefix: str = "s") -> str:
        return f"{prefix}{next(self._count)}"

    def run(
        self,
        code: str,
        state: str = "initial",
        name: str | None = None,
        *,
        exec_id: str | int | None = None,
        timeout_s: float = 60,
    ) -> Json:
        """Execute a cell; the reply, whatever it says."""
        exec_id = uuid.uuid4().hex if exec_id is None else exec_id
        body = {"code": code, "exec_id": exec_id, "state_name": state}
        if name is not None:
            body["new_state_name"] = name
        status, reply = self.call("POST", "/execute", body, timeout_s=timeout_s)
        assert status == 200, reply
        return reply

    def ok(self, code: str, state: str = "initial", name: str | None = None, **options: Any) -> str:
        """Execute a cell that must succeed; the name of the new state."""
        reply = self.run(code, state, name, **options)
        assert reply["error"] is None, "\n".join([str(reply["error"]), *reply["error"]["traceback"]])
        return reply["state_name"]

    def printed(self, code: str, state: str = "initial", **options: Any) -> str:
        """Execute a cell that must succeed; what it printed. Its state is deleted again."""
        reply = self.run(code, state, self.new_name("looked-"), **options)
        assert reply["error"] is None, "\n".join([str(reply["error"]), *reply["error"]["traceback"]])
        self.call("DELETE", f"/states/{quote(reply['state_name'], safe='')}")
        return stdout(reply)

    def fails(self, code: str, state: str = "initial", name: str | None = None, **options: Any) -> Json:
        """Execute a cell that must fail; its error."""
        reply = self.run(code, state, name, **options)
        assert reply["error"] is not None and reply["state_name"] is None, reply
        return reply["error"]

    def begin(self, code: str, state: str = "initial", name: str | None = None, **options: Any) -> Pending:
        """Execute a cell in the background."""
        options.setdefault("exec_id", uuid.uuid4().hex)
        return Pending(self, code, state, name, options)

    def states(self) -> list[str]:
        return self.call("GET", "/states")[1]["states"]

    def describe(self, state: str, **options: Any) -> Json:
        status, body = self.call("GET", f"/states/{quote(state, safe='')}", **options)
        assert status == 200, body
        return body

    def interrupt(self, exec_id: str | int) -> bool:
        status, body = self.call("POST", "/interrupt", {"exec_id": exec_id})
        assert status == 200, body
        return body["interrupted"]

    def delete(self, state: str) -> int:
        return self.call("DELETE", f"/states/{quote(state, safe='')}")[0]

    def reset(self) -> None:
        assert self.call("POST", "/reset", {})[0] == 200

    def tree(self, *, memory: bool = False) -> Json:
        return self.call("GET", "/tree?memory=true" if memory else "/tree")[1]

    def node(self, state: str, *, memory: bool = False) -> Json:
        """The node of GET /tree that has the name `state`."""
        return next(node for node in self.tree(memory=memory)["states"] if state in node["names"])


class Pending:
    """A cell that runs in the background."""

    def __init__(
        self, server: Server, code: str, state: str, name: str | None, options: dict[str, Any]
    ) -> None:
        self.exec_id = options["exec_id"]
        self._found: Json = None
        self._problem: BaseException | None = None

        def work() -> None:
            try:
                self._found = server.run(code, state, name, **options)
            except BaseException as problem:  # noqa: BLE001 - it is raised again in reply()
                self._problem = problem

        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()

    def is_done(self) -> bool:
        return not self._thread.is_alive()

    def reply(self, timeout_s: float = 30) -> Json:
        """The reply; AssertionError where there is none in time."""
        self._thread.join(timeout_s)
        assert not self._thread.is_alive(), f"no reply within {timeout_s} s"
        if self._problem is not None:
            raise self._problem
        return self._found


class Bell:
    """A FIFO that code in a cell rings: how a test knows, without waiting for a time, how far the cell is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        # Read and write: opening blocks neither here nor in the cell, and there is never an end of file.
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    @property
    def ring(self) -> str:
        """A line of Python that rings. Nothing is left to a finalizer, which would swallow an interrupt."""
        opened = f"os.open({str(self.path)!r}, os.O_WRONLY)"
        return f"(lambda os: (lambda fd: (os.write(fd, b'x'), os.close(fd)))({opened}))(__import__('os'))"

    @property
    def ring_in_shell(self) -> str:
        """A shell command that rings."""
        return f"echo x > {self.path}"

    def wait(self, timeout_s: float = 20) -> None:
        assert select.select([self._descriptor], [], [], timeout_s)[0], "the cell did not get that far"
        os.read(self._descriptor, 1)

    def drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._descriptor, 65536)

    def close(self) -> None:
        os.close(self._descriptor)
        self.path.unlink()


def stdout(reply: Json) -> str:
    """All that a reply's outputs hold of standard output."""
    return "".join(out["text"] for out in reply["output"] if out.get("name") == "stdout")


def stderr(reply: Json) -> str:
    """All that a reply's outputs hold of standard error."""
    return "".join(out["text"] for out in reply["output"] if out.get("name") == "stderr")


def result(reply: Json) -> str | None:
    """The text/plain of a reply's execute_result."""
    found = [out for out in reply["output"] if out["output_type"] == "execute_result"]
    return found[0]["data"]["text/plain"] if found else None


def _events(response: http.client.HTTPResponse) -> Iterator[Event]:
    name, data, ident = "message", [], None
    for raw in response:
        line = raw.decode().rstrip("\r\n")
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield Event(name, json.loads("\n".join(data)), ident)
            name, data = "message", []
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif field == "id":
            ident = value


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

"""What the tests of the client and of the command share: servers, a home for `still`, processes that end.

Invariants:
  * Every server that is started here is stopped here, and its process is waited for.
  * A home is a directory of the test's own: no connection file of the person who runs the tests is seen.
  * Nothing sleeps: one waits for a line, for the end of a process, or for the other end of a fifo.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from stillframe import connect

TOKEN = "a-token-of-the-tests"
PATIENCE_S = 60


class Served(NamedTuple):
    """A server of its own process."""

    process: subprocess.Popen[str]
    url: str


@contextlib.contextmanager
def served(*flags: str) -> Iterator[Served]:
    """`python -m stillframe.serve` on a free port, until the block ends."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "stillframe.serve",
        "--bind=127.0.0.1:0",
        f"--token={TOKEN}",
        *flags,
    ]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        yield Served(process, json.loads(process.stdout.readline())["url"])
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """What it printed, which must be one JSON value."""
        return json.loads(self.out)


class Home:
    """A place for `still` of its own: its connection file, its log, its server."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.work = path / "work"
        self.work.mkdir()
        (path / "run").mkdir(mode=0o700)
        unset = ("STILLFRAME_URL", "STILLFRAME_TOKEN")
        self.environment = {name: value for name, value in os.environ.items() if name not in unset}
        self.environment |= {"XDG_RUNTIME_DIR": str(path / "run"), "HOME": str(path), "NO_COLOR": "1"}

    @classmethod
    def beside(cls, server: Served, path: Path) -> Home:
        """A home whose verbs are told of a server, which is reset."""
        home = cls(path)
        home.environment |= {"STILLFRAME_URL": server.url, "STILLFRAME_TOKEN": TOKEN}
        with connect(server.url, TOKEN) as client:
            client.reset()
        return home

    @property
    def connection_file(self) -> Path:
        return self.path / "run" / "stillframe" / "kernel.json"

    def still(self, *arguments: str, stdin: str | None = None, code: int | None = 0, **env: str) -> Done:
        """Run a verb to its end; its exit code must be `code`, unless that is None."""
        done = subprocess.run(
            [sys.executable, "-m", "stillframe", *arguments],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            cwd=self.work,
            env=self.environment | env,
            timeout=PATIENCE_S * 2,
            check=False,
        )
        assert code is None or done.returncode == code, (arguments, done)
        return Done(done.returncode, done.stdout, done.stderr)

    @contextlib.contextmanager
    def start(self, *arguments: str, **env: str) -> Iterator[subprocess.Popen[str]]:
        """Begin a verb, which must have ended with the block; it is killed where the block fails."""
        with subprocess.Popen(
            [sys.executable, "-m", "stillframe", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.work,
            env=self.environment | env,
            start_new_session=True,
        ) as process:
            try:
                yield process
            except BaseException:
                process.kill()
                raise

    def server_pid(self) -> int:
        """The process of this home's server, as its connection file says."""
        pid = json.loads(self.connection_file.read_bytes())["pid"]
        assert isinstance(pid, int)
        return pid

    def close(self) -> None:
        """End this home's server, if there is one."""
        if self.connection_file.exists():
            pid = self.server_pid()
            self.still("stop", code=None)
            if not has_ended(pid):
                os.kill(pid, signal.SIGKILL)
                raise AssertionError(f"the server of this test, process {pid}, had to be killed")


def has_ended(pid: int, patience_s: float = PATIENCE_S) -> bool:
    """Wait until a process has ended; False if it has not after `patience_s` seconds."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], patience_s)[0])
    finally:
        os.close(pidfd)


class Scripted:
    """A server that does what a test tells it, connection by connection, to see what a client sends.

    Each step is called with the next connection and returns when it is done with it.
    """

    def __init__(self, *steps: Callable[[socket.socket], None]) -> None:
        self.requests: list[bytes] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, args=(steps,))

    def __enter__(self) -> Scripted:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        # A step that still waits for a connection is woken; it sees one without a request.
        with contextlib.suppress(OSError), socket.create_connection(self._listening.getsockname(), 1):
            pass
        self._thread.join(PATIENCE_S)
        self._listening.close()

    def read(self, connection: socket.socket) -> bytes:
        """One request, head and body; kept in `requests`."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return b""
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        fields = {k.lower(): v for k, _, v in (line.partition(b": ") for line in head.split(b"\r\n")[1:])}
        while len(body) < int(fields.get(b"content-length", b"0")):
            body += connection.recv(65536)
        self.requests.append(head.split(b"\r\n")[0])
        return head + body

    def answer(self, connection: socket.socket, body: str, *, status: str = "200 OK") -> None:
        """Read a request and answer it."""
        if self.read(connection):
            head = (
                f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            connection.sendall((head + body).encode())

    def _serve(self, steps: tuple[Callable[[socket.socket], None], ...]) -> None:
        for step in steps:
            connection, _ = self._listening.accept()
            with connection, contextlib.suppress(OSError):
                step(connection)

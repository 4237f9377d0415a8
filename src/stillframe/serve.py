"""The server's process: `python -m stillframe.serve --bind HOST:PORT --token TOKEN`.

Invariants:
  * It announces itself (a line of JSON with url and pid) only when it answers.
  * However it ends, its state processes end too; a clean end also removes its connection file, and stores
    what is to be stored. A second signal to stop leaves that out.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import msgspec

from stillframe.engine.supervisor import Supervisor
from stillframe.errors import BadRequest, StillframeError
from stillframe.model import Keep, Limits

if TYPE_CHECKING:
    import uvicorn

_BACKLOG = 1024
_KEEP_ALIVE_S = 3600
_GRACE_S = 2
READY = b"ready\n"
"""What the owner is sent when the server answers. Where it does not start, an error as JSON, on one line."""

_log = logging.getLogger("stillframe")


class ConnectionInfo(msgspec.Struct, frozen=True):
    """What a client needs to find the server; the connection file's content."""

    url: str
    token: str
    pid: int


class _Server:
    """One kernel and the sockets it listens on."""

    def __init__(
        self, listening: socket.socket, token: str, supervisor: Supervisor, hosts: tuple[str, ...]
    ) -> None:
        self.listening = listening
        self.token = token
        self.hosts = hosts
        self.supervisor = supervisor
        self._server: uvicorn.Server | None = None
        self._is_stopping = False
        self._finishing: asyncio.Task[None] | None = None

    async def run(self, on_ready: Callable[[], None], owner: int | None) -> None:
        """Serve until it is told to stop."""
        loop = asyncio.get_running_loop()
        starting = asyncio.create_task(self.supervisor.start())
        await asyncio.sleep(0)  # the first state process starts while this one imports what it needs
        import uvicorn

        from stillframe.rest.app import make_app

        try:
            await starting
            app = make_app(self.supervisor, self.token, self.hosts, self.stop)
            config = uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
                date_header=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_GRACE_S,
            )
            self._server = _quiet_server(uvicorn.Server)(config)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.add_signal_handler(number, self._on_signal)
            if owner is not None:
                loop.add_reader(owner, self.stop)
            on_ready()
            if not self._is_stopping:
                await self._server.serve(sockets=[self.listening])
            await self._finish()
        finally:
            self.supervisor.stop()

    async def _finish(self) -> None:
        """Store what is not stored yet. A second signal leaves it out."""
        keeping = self.supervisor.keeping
        if keeping is not None and keeping.unstored:
            _log.warning("storing %d states; a second Ctrl-C or SIGTERM leaves them out", keeping.unstored)
        self._finishing = asyncio.create_task(self.supervisor.finish())
        await asyncio.wait([self._finishing])
        if not self._finishing.cancelled():
            self._finishing.result()

    def _on_signal(self) -> None:
        if self._is_stopping and self._finishing is not None:
            self._finishing.cancel()
        self.stop()

    def stop(self) -> None:
        """End what runs, answer who waits, and stop."""
        self._is_stopping = True
        self.supervisor.journal.close()
        self.supervisor.end_executions()
        if self._server is not None:
            self._server.should_exit = True


def _quiet_server(base: type[uvicorn.Server]) -> type[uvicorn.Server]:
    class Server(base):  # type: ignore[valid-type, misc]
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Signals are handled here, not by uvicorn: it would raise them again before the clean-up."""
            yield

    return Server


def run(
    *,
    bind: str | None,
    token: str,
    limits: Limits,
    store: Path | None = None,
    keep: Keep = "always",
    allow_hosts: tuple[str, ...] = (),
    connection_file: Path | None = None,
    announce: Callable[[ConnectionInfo], None] | None = None,
    listening_fd: int | None = None,
    owner_fd: int | None = None,
) -> None:
    """Serve until told to stop. `bind` is HOST:PORT; or `listening_fd` is a socket that listens already.

    `announce` is called when the server answers. `owner_fd` is a socket to the process that this server
    belongs to: it is sent `ready\\n`, and its end of file stops the server. `store` is the directory where states
    are kept, and `keep` says which.
    """
    if not token:
        raise BadRequest("the token is empty.", "Give --token, or leave it out to have one made.")
    if listening_fd is not None:
        listening = socket.socket(fileno=listening_fd)
        url, hosts = "", ["stillframe"]
    else:
        listening = _listen(bind or "127.0.0.1:0")
        host, port = listening.getsockname()[:2]
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        hosts = [host, (bind or "").rpartition(":")[0].strip("[]") or host]
    information = ConnectionInfo(url, token, os.getpid())

    def on_ready() -> None:
        if owner_fd is not None:
            os.write(owner_fd, READY)
        if connection_file is not None:
            _write_connection_file(connection_file, information)
        if announce is not None:
            announce(information)

    server = _Server(listening, token, Supervisor(limits, store, keep), (*hosts, *allow_hosts))
    try:
        _run(server.run(on_ready, owner_fd))
    except StillframeError as error:
        if owner_fd is not None:
            told = {"code": error.code, "message": error.message, "hint": error.hint}
            os.write(owner_fd, msgspec.json.encode(told) + b"\n")
        raise
    finally:
        if connection_file is not None:
            _remove_connection_file(connection_file)


def _run(main: Coroutine[None, None, None]) -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


def _listen(bind: str) -> socket.socket:
    host, colon, port = bind.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise BadRequest(f"cannot bind to {bind!r}: it is not HOST:PORT.", "Try 127.0.0.1:8080.")
    host = host.strip("[]") or "127.0.0.1"
    try:
        family = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, int(port)), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise BadRequest(
            f"cannot bind to {bind!r}: {error}.", "Choose another port, or 0 for any."
        ) from error
    return listening


def _print_line(information: ConnectionInfo) -> None:
    line = {"url": information.url, "pid": information.pid}
    print(msgspec.json.encode(line).decode(), flush=True)


def _write_connection_file(path: Path, information: ConnectionInfo) -> None:
    """Only the user can read it, from its first moment, and it is never half there."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with open(descriptor, "wb") as file:
        file.write(msgspec.json.encode(information))
    os.replace(name, path)


def _remove_connection_file(path: Path) -> None:
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        if msgspec.json.decode(path.read_bytes(), type=ConnectionInfo).pid == os.getpid():
            path.unlink()


def main(arguments: list[str] | None = None) -> int:
    """The flags that clients of snapshot-kernel use, and those by which Kernel starts its own server."""
    parser = argparse.ArgumentParser("python -m stillframe.serve", description="Serve a kernel over HTTP.")
    parser.add_argument("--bind", default="127.0.0.1:0", help="HOST:PORT; port 0 means any (%(default)s)")
    token = os.environ.pop("STILLFRAME_TOKEN", "")
    parser.add_argument("--token", default=token, help="what clients must send")
    parser.add_argument("--allow-host", action="append", default=[], help="one more Host to answer to")
    parser.add_argument("--connection-file", type=Path, help="write url, token and pid there")
    for name, unit in (("rows", "rows"), ("columns", "columns"), ("colwidth", "characters of a column")):
        field = f"display_max_{name}"
        default = getattr(Limits(), field)
        text = f"{unit} of a data frame shown ({default})"
        parser.add_argument(f"--display-max-{name}", type=int, default=None, help=text)
    parser.add_argument("--store", type=Path, metavar="DIR", help="keep states there; made if it is not there")
    parser.add_argument("--keep", choices=get_args(Keep), default="always", help="which states are captured")
    parser.add_argument("--memory-budget", type=int, metavar="MB", help="of states at rest; evict beyond it")
    parser.add_argument("--process-budget", type=int, metavar="N", help="processes at rest; evict beyond it")
    parser.add_argument("--fd", type=int, help="a listening socket, instead of --bind")
    parser.add_argument("--owner-fd", type=int, help="a socket to the owner, whose end stops the server")
    options = parser.parse_args(arguments)
    given = msgspec.json.decode(os.environ.pop("STILLFRAME_LIMITS", "{}"))
    for name in ("rows", "columns", "colwidth"):
        if (value := getattr(options, f"display_max_{name}")) is not None:
            given[f"display_max_{name}"] = value
    if options.memory_budget is not None:
        given["memory_budget_bytes"] = options.memory_budget << 20
    if options.process_budget is not None:
        given["process_budget"] = options.process_budget
    try:
        run(
            bind=options.bind,
            token=options.token,
            limits=msgspec.convert(given, Limits),
            store=options.store,
            keep=options.keep,
            allow_hosts=tuple(options.allow_host),
            connection_file=options.connection_file,
            announce=_print_line if options.owner_fd is None else None,
            listening_fd=options.fd,
            owner_fd=options.owner_fd,
        )
    except (StillframeError, msgspec.ValidationError) as error:
        print(f"stillframe.serve: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

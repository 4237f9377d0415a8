"""Which server a verb talks to: the one it is told, the one that runs here for this user, or a new one.

Invariants:
  * The connection file can be read by its user alone, in a directory that is the user's alone.
  * A server is started only under the lock, so two verbs at once start one server.
  * A connection file whose server does not answer is as good as none; it is not believed, nor removed.
  * A token is never in an argument list.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import select
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from stillframe.cli.terminal import say
from stillframe.client import Client, connect
from stillframe.errors import ServerUnreachable, StillframeError, Unauthorized

F = TypeVar("F", bound=Callable[..., Any])

PATIENCE_S = 5.0
"""How long a server that runs may take to say that it does."""

START_S = 60.0
"""The longest wait for a new server."""


class Found(msgspec.Struct, frozen=True):
    """What the connection file says."""

    url: str
    token: str
    pid: int


class _Announced(msgspec.Struct, frozen=True):
    url: str
    pid: int


def server_options(verb: F) -> F:
    """--url, --token and --json, as every verb has them."""
    verb = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(verb)
    verb = click.option(
        "--token", envvar="STILLFRAME_TOKEN", metavar="T", help="Its token [env: STILLFRAME_TOKEN]."
    )(verb)
    return click.option(
        "--url", envvar="STILLFRAME_URL", metavar="URL", help="The server to use [env: STILLFRAME_URL]."
    )(verb)


def home() -> Path:
    """The directory of the connection file, made where it is not there; only its user can enter it."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    place = Path(runtime) if runtime else Path.home() / ".local" / "state"
    path = place / "stillframe"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = path.lstat()
    except OSError as cause:
        raise StillframeError(f"cannot make {path}: {cause.strerror}.", "Set XDG_RUNTIME_DIR.") from cause
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid():
        raise StillframeError(f"{path} is not a directory of yours.", "Move it away, or set XDG_RUNTIME_DIR.")
    if facts.st_mode & 0o077:
        path.chmod(0o700)
    return path


def connection_file() -> Path:
    """Where `still serve` writes how it is reached."""
    return home() / "kernel.json"


@contextmanager
def lock() -> Iterator[None]:
    """Hold the right to start this user's server; waits for whoever has it."""
    fd = os.open(home() / "kernel.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def found() -> Found | None:
    """What the connection file says, where there is one that makes sense."""
    path = connection_file()
    try:
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            content = file.read()
    except FileNotFoundError:
        return None
    if facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
        raise StillframeError(f"{path} can be changed or read by others.", f"Remove it: rm {path}")
    try:
        return msgspec.json.decode(content, type=Found)
    except msgspec.MsgspecError:
        return None


def running() -> tuple[Client, Found] | None:
    """This user's server, if it answers as itself."""
    at = found()
    if at is None:
        return None
    with connect(at.url, at.token, timeout_s=PATIENCE_S) as client:
        try:
            health = client.health()
        except (ServerUnreachable, Unauthorized) as error:
            if isinstance(error.__cause__, TimeoutError) and _is_alive(at.pid):
                raise
            return None
    # Another server may have been given the port of one that is gone.
    return (connect(at.url, at.token), at) if health.get("pid") == at.pid else None


def client_for(url: str | None, token: str | None) -> Client:
    """The client of the server that a verb is told to use, or of this user's, which is started if need be."""
    return existing(url, token) or _start()


def existing(url: str | None, token: str | None) -> Client | None:
    """As client_for, but None instead of a new server."""
    if url is not None:
        return connect(url, token)
    here = running()
    return here[0] if here is not None else None


def _start() -> Client:
    with lock():
        # Somebody may have been quicker.
        here = running()
        if here is not None:
            return here[0]
        log = home() / "kernel.log"
        token = secrets.token_urlsafe(32)
        at = _start_process(log, token)
    say(f"no server was running; started one at {at.url} (process {at.pid}). `still stop` ends it.")
    return connect(at.url, at.token)


def _start_process(log: Path, token: str) -> Found:
    environment = {**os.environ, "STILLFRAME_TOKEN": token}
    environment.pop("STILLFRAME_URL", None)
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "stillframe", "serve", "--json", "--lock-is-held"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=fd,
            env=environment,
            start_new_session=True,
        )
    finally:
        os.close(fd)
    assert process.stdout is not None
    with process.stdout as stdout:
        try:
            said = msgspec.json.decode(_first_line(stdout.fileno()), type=_Announced)
            return Found(said.url, token, said.pid)
        except msgspec.MsgspecError as cause:
            process.kill()
            process.wait()
            words = log.read_text(errors="replace").strip()[-2000:]
            raise ServerUnreachable(
                f"a server was started but did not come up: {words or 'it said nothing'}.",
                f"See `still doctor` and {log}.",
            ) from cause


def _first_line(fd: int) -> bytes:
    """What comes on `fd` until a line ends, it is closed, or the time is over."""
    said = b""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while not said.endswith(b"\n") and poll.poll(START_S * 1000):
        piece = os.read(fd, 4096)
        if not piece:
            break
        said += piece
    return said


def _is_alive(pid: int) -> bool:
    try:
        os.close(os.pidfd_open(pid))
    except OSError:
        return False
    return True

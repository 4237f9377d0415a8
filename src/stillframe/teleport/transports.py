"""How to get there: each transport starts a shell command in one kind of place.

    transport          command run here
    -----------------  ------------------------------------------
    Shell()            sh -c COMMAND                 ("local", where a process of its own is needed)
    Ssh(user, host)    ssh -T [-p port] -- host COMMAND
    Words([...])       the words, then COMMAND as one more

A transport of your own is any object with `open(command)`.

Invariants:
  * A transport only starts a process; what is said over its pipes is the same for all.
  * The process ignores SIGINT and SIGQUIT: Ctrl-C reaches the whole foreground group, and the relay passes it
    on to the program instead of losing the line.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable
from urllib.parse import urlsplit

from stillframe.errors import BadRequest, TeleportFailed

PIPE_BYTES = 1 << 20
"""What a pipe holds: the most that an ordinary user may ask for. A large program goes out in fewer steps."""

_SHIELD = ("sh", "-c", 'trap "" INT QUIT; exec "$@"', "stillframe")


@runtime_checkable
class Transport(Protocol):
    """A way to a place."""

    def open(self, command: str) -> subprocess.Popen[bytes]:
        """Start `command` in a POSIX shell over there, and return the process here that leads to it.

        Its `stdin` and `stdout` are pipes or sockets, unbuffered, that carry bytes unchanged (no terminal in
        between); `stderr` may be a pipe too. It must not need this process: this one is about to end.
        """


def start(words: Sequence[str], name: str) -> subprocess.Popen[bytes]:
    """Start a command of this machine as a transport does."""
    if shutil.which(words[0]) is None:
        raise TeleportFailed(
            f"cannot reach {name}: there is no command {words[0]!r} here.", "Install it, or check PATH."
        )
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*_SHIELD, *words], stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, pipesize=PIPE_BYTES
    )


class Shell(NamedTuple):
    """A shell of this machine."""

    def open(self, command: str) -> subprocess.Popen[bytes]:
        return start(["sh", "-c", command], str(self))

    def __str__(self) -> str:
        return "local"


class Ssh(NamedTuple):
    """The user's own ssh, with their configuration, agent, keys, jump hosts and shared connections."""

    host: str
    user: str | None = None
    port: int | None = None

    def open(self, command: str) -> subprocess.Popen[bytes]:
        port = [] if self.port is None else ["-p", str(self.port)]
        user = [] if self.user is None else ["-l", self.user]
        return start(["ssh", "-T", *port, *user, "--", self.host, command], str(self))

    def __str__(self) -> str:
        user = "" if self.user is None else f"{self.user}@"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ssh://{user}{host}" + ("" if self.port is None else f":{self.port}")


class Words(NamedTuple):
    """A command of the user's that takes a shell command as its last word."""

    words: tuple[str, ...]

    def open(self, command: str) -> subprocess.Popen[bytes]:
        return start([*self.words, command], str(self))

    def __str__(self) -> str:
        return shlex.join(self.words)


def transport_to(to: object) -> Transport:
    """The transport for a target, as `teleport` takes it. Raises BadRequest where it is none."""
    if to == "local":
        return Shell()
    if isinstance(to, str):
        return _ssh(to)
    if isinstance(to, (list, tuple)) and not isinstance(to, Transport):
        if not to or not all(isinstance(word, str) and word for word in to):
            raise BadRequest(
                f"cannot teleport to {to!r}: a command is a list of words.", 'Say ["docker", "exec", …].'
            )
        return Words(tuple(to))
    if isinstance(to, Transport):
        return to
    raise BadRequest(f"cannot teleport to {to!r}.", _TARGETS)


_TARGETS = (
    'A target is "local", "ssh://[user@]host[:port]", a list of words, or an object with open(command).'
)


def _ssh(to: str) -> Ssh:
    parts = urlsplit(to)
    try:
        port = parts.port
    except ValueError as error:
        raise BadRequest(f"cannot teleport to {to!r}: {error}.", _TARGETS) from error
    extra = parts.path.strip("/") or parts.query or parts.fragment or parts.password
    # urlsplit makes the host lower case, but names in a user's ssh configuration may have capitals.
    host = re.sub(r"^.*@", "", parts.netloc)
    host = host[1 : host.index("]")] if host.startswith("[") and "]" in host else host.partition(":")[0]
    if parts.scheme != "ssh" or not host or host.startswith("-") or extra:
        raise BadRequest(f"cannot teleport to {to!r}.", _TARGETS)
    return Ssh(host, parts.username, port)

"""An embedded kernel: a private server as a child process, and the client of it.

Invariants:
  * The host program's children, signals and threads are left alone: the child is waited for by its own
    Popen only, no handler is installed, no thread is made.
  * The child ends with its owner, however that ends: end-of-file on the owner's socket tells it.
  * A copy of a Kernel in a forked child of the host may use the kernel, and never ends it.
  * The token is never in an argument list, and the address never in the file system.
"""

from __future__ import annotations

import os
import secrets
import select
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import IO, Self

import msgspec

from stillframe import errors
from stillframe.client import Client
from stillframe.errors import ServerUnreachable, StillframeError
from stillframe.model import Keep, Limits
from stillframe.pool import unix_place

START_S = 60.0
"""The longest wait for the server's first word."""

END_S = 5.0
"""From the request to end until the server is killed."""

STORING_S = 3600.0
"""The same with a store: states may have to be stored."""

_READY = b"ready\n"


class Kernel(Client):
    """A kernel of one's own, for as long as a `with` block, or until close().

        with Kernel() as kernel:
            kernel.execute("x = 1", name="one")

    `store`: a directory where its states are kept, so that a later Kernel has them again; `keep`: which of them
    are captured: "always", "evict" (only those whose processes are about to end), "never". `limits`: see Limits.
    `cwd`: where its code runs. `env`: environment variables set besides the host's.
    `python`: the interpreter to run, this one by default; stillframe must be importable there.
    `timeout_s`: the longest silence while an answer is awaited, and so the longest run of a cell.
    Cost: about half a second to start. Raises ServerUnreachable where it does not start; StoreInUse, StoreTooNew,
    StoreDamaged or StoreReadOnly where its store cannot be used.
    """

    def __init__(
        self,
        *,
        store: str | os.PathLike[str] | None = None,
        keep: Keep = "always",
        limits: Limits | None = None,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        python: str | os.PathLike[str] | None = None,
        timeout_s: float | None = None,
    ) -> None:
        token = secrets.token_urlsafe(32)
        environment = {**os.environ, **(env or {}), "STILLFRAME_TOKEN": token}
        environment.pop("STILLFRAME_LIMITS", None)
        if limits is not None:
            environment["STILLFRAME_LIMITS"] = msgspec.json.encode(limits).decode()
        # The server may run in another directory.
        flags = [] if store is None else [f"--store={os.path.abspath(store)}", f"--keep={keep}"]
        self._child, address = _Child.start(os.fspath(python or sys.executable), cwd, environment, flags)
        _children.add(self._child)
        super().__init__(unix_place(address, token), timeout_s=timeout_s, explain=self._child.why_gone)
        self._end = weakref.finalize(self, self._child.end)

    @property
    def pid(self) -> int:
        """The process id of the server."""
        return self._child.process.pid

    def close(self) -> None:
        """End the kernel; after 5 s by force. In a forked child: only its connections.

        Its states end with it; with a store, those that are not stored yet are stored first, however long that
        takes. May be called again, without effect.
        """
        if self._child.is_ours() and self._end.alive:
            with suppress(StillframeError):
                self.shutdown()
        super().close()
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Failure(msgspec.Struct):
    """Why a server has not started, in its own words."""

    code: str
    message: str
    hint: str = ""


class _Child:
    """The server's process, as its owner sees it."""

    def __init__(
        self, process: subprocess.Popen[bytes], owner: socket.socket, log: IO[bytes], patience_s: float
    ) -> None:
        self.process = process
        self._patience_s = patience_s
        self._owner = owner
        self._log = log
        self._owner_id = os.getpid()

    @classmethod
    def start(
        cls, python: str, cwd: str | os.PathLike[str] | None, environment: Mapping[str, str], flags: list[str]
    ) -> tuple[_Child, bytes]:
        """Start a server and wait until it accepts requests. Returns it and its address."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
            # The empty address asks Linux for a fresh abstract one: no file, gone with the socket.
            listening.bind("")
            listening.listen(128)
            address: bytes = listening.getsockname()
            owner, theirs = socket.socketpair()
            log = tempfile.TemporaryFile()  # noqa: SIM115 (it is open as long as the server runs)
            try:
                with theirs:
                    fds = (listening.fileno(), theirs.fileno())
                    process = subprocess.Popen(
                        [python, "-P", "-m", "stillframe.serve", f"--fd={fds[0]}", f"--owner-fd={fds[1]}", *flags],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=log,
                        pass_fds=fds,
                        cwd=cwd,
                        env=environment,
                        start_new_session=True,
                    )
            except OSError as cause:
                owner.close()
                log.close()
                raise ServerUnreachable(f"cannot start {python!r}: {cause.strerror}.") from cause
        child = cls(process, owner, log, END_S if not flags else STORING_S)
        try:
            child._wait_until_ready()
        except BaseException:
            child.end(patience_s=0)
            raise
        return child, address

    def is_ours(self) -> bool:
        """Whether this process started it; False in a forked child of the one that did."""
        return self._owner_id == os.getpid()

    def end(self, patience_s: float | None = None) -> None:
        """Tell it that its owner has gone, and wait; after `patience_s` seconds kill it."""
        patience_s = self._patience_s if patience_s is None else patience_s
        self._owner.close()
        if self.is_ours():
            try:
                pidfd = os.pidfd_open(self.process.pid)
            except ProcessLookupError:
                pass
            else:
                _wait_readable(pidfd, patience_s)
                os.close(pidfd)
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
        self._log.close()

    def let_go(self) -> None:
        """In a forked child of the owner: close its copy, so that the server ends with the owner alone."""
        if not self.is_ours():
            self._owner.close()

    def why_gone(self) -> str:
        """What is known of a server that does not answer; nothing where it still runs."""
        if not self.is_ours():
            return ""
        if self._log.closed:
            return "this Kernel was closed"
        # Its connections break a moment before it can be waited for.
        with suppress(subprocess.TimeoutExpired):
            status = self.process.wait(timeout=0.2)
            return f"its process {_how_ended(status)}{self._last_words()}"
        return ""

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_S
        said = b""
        while not said.endswith(b"\n"):
            if not _wait_readable(self._owner.fileno(), deadline - time.monotonic()):
                raise ServerUnreachable(f"the kernel did not start within {START_S:g} s{self._last_words()}.")
            piece = self._owner.recv(64)
            if not piece:
                # Its end of the socket closes with the process, and with nothing else.
                why = self.why_gone() or f"it closed its owner's socket{self._last_words()}"
                raise ServerUnreachable(f"the kernel did not start: {why}.", "See `still doctor`.")
            said += piece
        if said != _READY:
            told = msgspec.json.decode(said, type=_Failure)
            raise errors.BY_CODE.get(told.code, StillframeError)(told.message, told.hint)

    def _last_words(self) -> str:
        size = os.fstat(self._log.fileno()).st_size
        text = os.pread(self._log.fileno(), 2000, max(0, size - 2000)).decode(errors="replace").strip()
        return f"; it wrote: {text}" if text else ""


_children: weakref.WeakSet[_Child] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for child in list(_children):
        child.let_go()


os.register_at_fork(after_in_child=_after_fork_in_child)


def _how_ended(status: int) -> str:
    return f"was ended by signal {-status}" if status < 0 else f"ended with exit code {status}"


def _wait_readable(fd: int, patience_s: float) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(max(0.0, patience_s) * 1000))


__all__ = ["Kernel"]

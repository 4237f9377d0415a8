"""Every error that stillframe raises on its own account.

    StillframeError
    ├── BadRequest            the request itself is malformed (also a ValueError)
    ├── Unauthorized          no token, or a wrong one
    ├── StateNotFound         no state has this name (also a LookupError)
    ├── VariableNotFound      the state has no such variable (also a LookupError)
    ├── NameTaken             a rename would take another state's name
    ├── NotJSON               the variable's value has no JSON form (also a TypeError)
    ├── StateUnreachable      the state is known, but no way leads back to it
    ├── RestsInCall           the state rests inside a call: it is resumed, no cell is run in it
    ├── NotInCell             snapshot("name"), choose() or reject() outside of a kernel's cell (also a RuntimeError)
    ├── LookTimedOut          looking at a state took longer than its limit
    ├── ResourceLimit         refused, so that the machine does not get into trouble
    ├── ServerUnreachable     nobody answers at the kernel's address (also a ConnectionError)
    ├── CannotCapture         something stands in the way of a capture; nothing was changed
    │   └── NativeCallInTheWay    a native function holds state in C (also raised for unknown instructions)
    ├── SnapshotRefused       the snapshot will not be restored; nothing of it was run
    │   ├── CorruptSnapshot       damaged, truncated, or no snapshot at all
    │   │   ├── CorruptBlob           a blob's bytes are not those that its digest names
    │   │   └── MissingBlob           a blob that the snapshot needs is not in the store
    │   ├── UntrustedSnapshot     signed by nobody who is trusted here, or the signature is wrong
    │   └── IncompatibleSnapshot  made by another CPython, platform or format, or packages are missing
    ├── CannotRestore         the snapshot is sound, but something it needs is not there (a changed file)
    ├── StoreError            the store cannot be used, or did not take what it was given
    │   ├── NoStore               the kernel was started without one
    │   ├── StoreInUse            another process writes to it
    │   ├── StoreTooNew           a newer stillframe has made it
    │   ├── StoreDamaged          its files are not what was written
    │   ├── StoreReadOnly         it may be read, not written
    │   └── StoreFull             there is no room left (also an OSError)
    ├── TeleportFailed        the target was not reached, or lacks something; the program goes on here
    └── UnsupportedPlatform   not Linux, or not a CPython that is supported

An exception in the user's code is not in this tree: it is an output, `Execution.error`.
Each error has `code` (its name on the wire), `message`, and `hint`: what to do now.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from stillframe.light import NamedTuple


class StillframeError(Exception):
    """The root of the tree. `status` is the HTTP status that carries the error."""

    status = 500

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def code(self) -> str:
        """The error's name on the wire: the name of its class."""
        return type(self).__name__

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class BadRequest(StillframeError, ValueError):
    """The request is malformed; nothing was done."""

    status = 400


class Unauthorized(StillframeError):
    """No token was given, or a wrong one."""

    status = 401


class StateNotFound(StillframeError, LookupError):
    """No state has this name."""

    status = 404

    @classmethod
    def among(cls, name: str, names: Iterable[str]) -> StateNotFound:
        """The error for `name`, with the most similar of `names` as its hint."""
        return cls(f"no state is called {name!r}.", _did_you_mean(name, names))


class VariableNotFound(StillframeError, LookupError):
    """The state has no variable of this name."""

    status = 404

    @classmethod
    def among(cls, variable: str, state: str, names: Iterable[str]) -> VariableNotFound:
        """The error for `variable` of `state`, with the most similar of `names` as its hint."""
        return cls(f"state {state!r} has no variable {variable!r}.", _did_you_mean(variable, names))


class NameTaken(StillframeError):
    """Another state has this name already."""

    status = 409


class NotJSON(StillframeError, TypeError):
    """The variable's value has no JSON form."""

    status = 409


class StateUnreachable(StillframeError):
    """The state is known, but it can be neither forked nor replayed any more."""

    status = 409


class RestsInCall(StillframeError):
    """The state rests inside a call: no cell can be run in it, but the call can be resumed."""

    status = 409


class NotInCell(StillframeError, RuntimeError):
    """snapshot("name"), choose() or reject() was not called by the main thread of a cell that a kernel runs."""


class LookTimedOut(StillframeError):
    """Looking at a state (a repr, a completion) took longer than its limit and was ended."""

    status = 504


class ResourceLimit(StillframeError):
    """Refused: another process, or more memory, would bring the machine into trouble."""

    status = 503


class ServerUnreachable(StillframeError, ConnectionError):
    """Nobody answers at the kernel's address, or the kernel's process has ended."""

    status = 502


class Obstacle(NamedTuple):
    """One thing that cannot be captured."""

    path: str
    """How to get there from a variable: `job.pool._sock`."""
    type_name: str
    reason: str
    """A clause: "it is a pipe"."""
    remedy: str
    """A sentence: what to do now."""

    def __str__(self) -> str:
        return f"{self.path} ({self.type_name}): {self.reason}. {self.remedy}".rstrip()


class CannotCapture(StillframeError):
    """Something stands in the way of a capture; nothing was changed. `obstacles` has them all."""

    status = 409

    def __init__(self, message: str, hint: str = "", obstacles: Sequence[Obstacle] = ()) -> None:
        super().__init__(message, hint)
        self.obstacles = list(obstacles)

    @classmethod
    def because_of(cls, obstacles: Sequence[Obstacle]) -> CannotCapture:
        """The error that names all of `obstacles`, each on a line of its own if there are several."""
        if len(obstacles) == 1:
            return cls(f"cannot capture {obstacles[0]}", obstacles=obstacles)
        lines = "".join(f"\n  {obstacle}" for obstacle in obstacles)
        return cls(f"cannot capture {len(obstacles)} objects:{lines}", obstacles=obstacles)


class NativeCallInTheWay(CannotCapture):
    """A native function is running that keeps state in C, and has called back into Python.

    `filename`, `line` and `caller` say where it was called, `native` what it is. `calls_below` is how many calls from
    C into Python were under way in that thread already when it was called: no more are once it has returned.
    """

    calls_below = 0

    def __init__(self, message: str, hint: str = "", *, filename: str, line: int, caller: str, native: str) -> None:
        super().__init__(message, hint)
        self.filename, self.line, self.caller, self.native = filename, line, caller, native


class SnapshotRefused(StillframeError, ValueError):
    """The snapshot will not be restored; nothing of it was run."""

    status = 409


class CorruptSnapshot(SnapshotRefused):
    """The snapshot is damaged or truncated, or the file is no snapshot."""


class CorruptBlob(CorruptSnapshot):
    """A blob's bytes are not those that its digest names. `digest` and `path` say which and where."""

    def __init__(self, message: str, hint: str = "", *, digest: str = "", path: str = "") -> None:
        super().__init__(message, hint)
        self.digest, self.path = digest, path


class MissingBlob(CorruptSnapshot):
    """A blob that is needed is not in the store. `digest` says which."""

    status = 404

    def __init__(self, message: str, hint: str = "", *, digest: str = "") -> None:
        super().__init__(message, hint)
        self.digest = digest


class UntrustedSnapshot(SnapshotRefused):
    """Nobody who is trusted here has signed the snapshot, and to restore it is to run what is in it.

    `key` is the public key that it came with, in hexadecimal, or empty.
    """

    status = 403

    def __init__(self, message: str, hint: str = "", *, key: str = "") -> None:
        super().__init__(message, hint)
        self.key = key


class IncompatibleSnapshot(SnapshotRefused):
    """The snapshot was made by another CPython, platform or format, or packages that it needs are missing."""


class CannotRestore(StillframeError):
    """The snapshot is sound, but something that it needs is not there: a file that has changed or gone."""

    status = 409


class StoreError(StillframeError):
    """The store cannot be used, or did not take what it was given. `store` is its directory."""

    def __init__(self, message: str, hint: str = "", *, store: str = "") -> None:
        super().__init__(message, hint)
        self.store = store


class NoStore(StoreError):
    """What was asked for needs a store, and the kernel was started without one."""

    status = 409


class StoreInUse(StoreError):
    """Another process writes to the store. `pid` is its id, or 0 where that is not known."""

    status = 409

    def __init__(self, message: str, hint: str = "", *, store: str = "", pid: int = 0) -> None:
        super().__init__(message, hint, store=store)
        self.pid = pid


class StoreTooNew(StoreError):
    """A newer stillframe has made the store, or changed it. Nothing in it was touched."""


class StoreDamaged(StoreError):
    """The store's own files (version, key, catalog) are not what was written. Blobs: CorruptBlob."""


class StoreReadOnly(StoreError):
    """The store may be read, not written."""


class StoreFull(StoreError, OSError):
    """There is no room left for what should be stored; `needed_bytes` of it. Nothing half was left behind."""

    status = 507

    def __init__(self, message: str, hint: str = "", *, store: str = "", needed_bytes: int = 0) -> None:
        super().__init__(message, hint, store=store)
        self.needed_bytes = needed_bytes


class TeleportFailed(StillframeError):
    """The target was not reached, or lacks something. The program goes on where it was.

    `missing` lists what the target lacks: interpreter, packages with versions, files.
    """

    def __init__(self, message: str, hint: str = "", missing: Sequence[str] = ()) -> None:
        super().__init__(message, hint)
        self.missing = list(missing)


class UnsupportedPlatform(StillframeError, OSError):
    """Stillframe runs on Linux, on CPython 3.11 to 3.14."""


def _did_you_mean(name: str, names: Iterable[str]) -> str:
    import difflib  # large, and hardly ever needed

    close = difflib.get_close_matches(name, list(names), n=1)
    return f"Did you mean {close[0]!r}?" if close else ""


BY_CODE: dict[str, type[StillframeError]] = {
    cls.__name__: cls
    for cls in (
        BadRequest,
        Unauthorized,
        StateNotFound,
        VariableNotFound,
        NameTaken,
        NotJSON,
        StateUnreachable,
        RestsInCall,
        LookTimedOut,
        ResourceLimit,
        ServerUnreachable,
        SnapshotRefused,
        CorruptSnapshot,
        CorruptBlob,
        MissingBlob,
        UntrustedSnapshot,
        IncompatibleSnapshot,
        CannotRestore,
        CannotCapture,
        StoreError,
        NoStore,
        StoreInUse,
        StoreTooNew,
        StoreDamaged,
        StoreReadOnly,
        StoreFull,
    )
}

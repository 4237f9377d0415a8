"""Every error that stillframe raises on its own account.

    StillframeError
    ├── BadRequest            the request itself is malformed (also a ValueError)
    ├── Unauthorized          no token, or a wrong one
    ├── StateNotFound         no state has this name (also a LookupError)
    ├── VariableNotFound      the state has no such variable (also a LookupError)
    ├── NameTaken             a rename would take another state's name
    ├── NotJSON               the variable's value has no JSON form (also a TypeError)
    ├── StateUnreachable      the state is known, but no way leads back to it
    ├── LookTimedOut          looking at a state took longer than its limit
    ├── ResourceLimit         refused, so that the machine does not get into trouble
    ├── ServerUnreachable     nobody answers at the kernel's address (also a ConnectionError)
    └── UnsupportedPlatform   not Linux, or not a CPython that is supported

An exception in the user's code is not in this tree: it is an output, `Execution.error`.
Each error has `code` (its name on the wire), `message`, and `hint`: what to do now.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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


class LookTimedOut(StillframeError):
    """Looking at a state (a repr, a completion) took longer than its limit and was ended."""

    status = 504


class ResourceLimit(StillframeError):
    """Refused: another process, or more memory, would bring the machine into trouble."""

    status = 503


class ServerUnreachable(StillframeError, ConnectionError):
    """Nobody answers at the kernel's address, or the kernel's process has ended."""

    status = 502


class UnsupportedPlatform(StillframeError, OSError):
    """Stillframe runs on Linux, on CPython 3.11 to 3.14."""


def _did_you_mean(name: str, names: Iterable[str]) -> str:
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
        LookTimedOut,
        ResourceLimit,
        ServerUnreachable,
    )
}

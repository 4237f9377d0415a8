"""The bodies of requests. Their field names are the protocol's (docs/protocol.md)."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Branches = Annotated[int, msgspec.Meta(ge=1)] | Literal["all"]
"""How many endings of a cell that calls choose() are wanted."""


class ExecuteRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Run `code` in `state_name`."""

    code: str = ""
    exec_id: str | int
    state_name: str
    new_state_name: str | None = None
    branches: Branches = 1
    on_error: Literal["discard", "keep"] = "discard"
    """Whether what a failed cell has left behind is kept, as a state called `error_state_name`."""
    error_state_name: str | None = None


class ResumeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Go on from `state_name`, which rests inside a call; the call returns a Resumed with `value`. In one that a failed
    cell has left: `mend` is executed in the frame `frame` (as in GET …/frames; the innermost where it is not given),
    which then executes its statement again."""

    exec_id: str | int
    state_name: str
    new_state_name: str | None = None
    value: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b"null"))
    frame: int | None = None
    mend: str = ""
    branches: Branches = 1
    on_error: Literal["discard", "keep"] = "discard"
    """As in ExecuteRequest."""
    error_state_name: str | None = None


class EvaluateRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`frame` is an index of GET /states/{name}/frames, the innermost one where it is not given."""

    code: str
    frame: int | None = None


class InterruptRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Interrupt what runs under this id."""

    exec_id: str | int


class RenameRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The state's new name."""

    name: str


class ReceiveRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Take the state of a signed manifest. `name`: what it is called here. `trust`: whoever has signed it."""

    manifest: msgspec.Raw
    name: str | None = None
    trust: bool = False


class TrustRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the key is called here."""

    comment: str = ""


class PruneRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`keep_days`: first delete the states that were not used for so many days."""

    keep_days: float | None = None
    dry_run: bool = False


class ArchiveRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`days`: how long a state must not have been used."""

    days: float = 30.0
    dry_run: bool = False


class CompleteRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`cursor_pos` counts characters; the end of the code where it is not given."""

    code: str
    cursor_pos: int | None = None


class InspectRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`detail_level` 1 asks for the source code too."""

    code: str
    cursor_pos: int | None = None
    detail_level: int = 0

"""The bodies of requests. Their field names are the protocol's (docs/protocol.md)."""

from __future__ import annotations

import msgspec


class ExecuteRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Run `code` in `state_name`."""

    code: str = ""
    exec_id: str | int
    state_name: str
    new_state_name: str | None = None


class InterruptRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Interrupt what runs under this id."""

    exec_id: str | int


class RenameRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The state's new name."""

    name: str


class CompleteRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`cursor_pos` counts characters; the end of the code where it is not given."""

    code: str
    cursor_pos: int | None = None


class InspectRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`detail_level` 1 asks for the source code too."""

    code: str
    cursor_pos: int | None = None
    detail_level: int = 0

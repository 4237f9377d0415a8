"""Going on from a server's state, in a call or where a cell has failed: `still resume` where it is given no file."""

from __future__ import annotations

import os
import uuid
from typing import Any

from stillframe.cli.running import existing
from stillframe.cli.terminal import Live, interrupting, report
from stillframe.errors import BadRequest, StateNotFound


def resume(
    state: str,
    value: Any,
    name: str | None,
    server: tuple[str | None, str | None],
    frame: int | None = None,
    mend: str = "",
    *,
    as_json: bool,
) -> int:
    """Resume `state`, show its outputs as they happen, and return the exit code."""
    client = existing(*server)
    if client is None:
        raise BadRequest(
            f"there is no file {state!r}, and no server runs that could have a state of this name.",
            "`still tree` lists the states of a server.",
        )
    exec_id = uuid.uuid4().hex
    with client, interrupting(client, exec_id):
        live = (lambda event, data: None) if as_json else Live()
        try:
            execution = client.resume(
                state, value, name, frame=frame, mend=mend, exec_id=exec_id, on_output=live
            )
        except StateNotFound as error:
            if os.path.exists(state):
                raise
            raise StateNotFound(f"there is no file {state!r}, and {error.message}", error.hint) from error
    return report(execution, as_json=as_json)

"""Going on from a server's state that rests inside a call: what `still resume` does where it is given no file."""

from __future__ import annotations

import uuid
from typing import Any

from stillframe import show as looks
from stillframe.cli.running import existing
from stillframe.cli.terminal import Live, exit_code_of, interrupting, print_error, print_json, say
from stillframe.errors import BadRequest


def resume(
    state: str, value: Any, name: str | None, server: tuple[str | None, str | None], *, as_json: bool
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
        execution = client.resume(state, value, name, exec_id=exec_id, on_output=live)
    if as_json:
        print_json(execution)
    elif execution.error is not None:
        print_error(execution.error)
    else:
        say(f"state {execution.state!r} in {looks.duration(execution.duration_s)}")
    return exit_code_of(execution.error)

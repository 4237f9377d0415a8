"""The verbs for programs: `still resume`."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import click

from stillframe.errors import BadRequest


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--value", metavar="JSON", help="What the call that made the snapshot returns, as `Resumed.value`.")
@click.option("--python", metavar="PROGRAM", help="The interpreter to resume in; its version must be the snapshot's.")
def resume(file: str, value: str | None, python: str | None) -> None:
    """Go on with the program whose snapshot is in FILE.

    It goes on as if the call that made the snapshot had just returned; its exit code is this command's.
    A file may be resumed as often as you like. To resume a snapshot is to run the code in it.

    \b
      still resume job.snapshot
      still resume job.snapshot --value '{"learning_rate": 0.01}'
    """
    from stillframe.capture.calls import runner_command

    given = None
    if value is not None:
        given = _descriptor_of(_parsed(value))
    sys.stdout.flush()
    sys.stderr.flush()
    command = runner_command(file, given, python=python)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise BadRequest(f"{command[0]} cannot be run: {error.strerror}.") from error


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadRequest(f"--value is no JSON: {error}.", "Quote text twice: --value '\"text\"'.") from error


def _descriptor_of(value: Any) -> int:
    """A descriptor from which the value can be read, also after an exec."""
    from stillframe.capture.values import dumps

    descriptor = os.memfd_create("value", 0)
    os.write(descriptor, dumps(value))
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor

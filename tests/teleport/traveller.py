"""Run as a script: teleports a plain program (see plain_envelope) and says whether it came back.

traveller.py PROGRAM OPTIONS      OPTIONS: keywords of teleport as a Python literal, and `data_bytes`
"""

from __future__ import annotations

import ast
import os
import sys

import plain_envelope

import stillframe
import stillframe.teleport
from stillframe.errors import StillframeError
from stillframe.teleport import departure, elsewhere, transports


class Detour:
    """A transport of the test's own: an object with open(command)."""

    def open(self, command: str):
        return transports.start(["sh", "-c", command], "a detour")

    def __str__(self) -> str:
        return "a detour"


if __name__ == "__main__":
    departure.envelope = elsewhere.envelope = plain_envelope
    plain_envelope.PROGRAM = sys.argv[1]
    options = ast.literal_eval(sys.argv[2])
    plain_envelope.DATA = b"z" * options.pop("data_bytes", 10)
    plain_envelope.PACKAGES = options.pop("packages", {})
    plain_envelope.FORMATS = options.pop("formats", {"plain": 1})
    options["to"] = Detour() if options["to"] == "detour" else options["to"]
    then = options.pop("then", "")
    try:
        copies = stillframe.teleport(**options)
    except StillframeError as error:
        print(f"stayed: {error}", getattr(error, "missing", None), os.getpid(), flush=True)
        sys.exit(40)
    exec(then)
    sys.exit(41)

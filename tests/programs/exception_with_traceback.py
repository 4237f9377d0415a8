"""With an exception held: its traceback, cause, context and notes."""

import os
import traceback

import stillframe


def fail(n):
    local = [n]
    raise ValueError(n, local)


def wrap():
    try:
        fail(1)
    except ValueError as error:
        error.add_note("a note")
        raise KeyError("wrapped") from error


held = None
try:
    wrap()
except KeyError as error:
    held = error
stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
print([(frame.name, frame.lineno) for frame in traceback.extract_tb(held.__traceback__)])
print(repr(held.__cause__), held.__cause__.__notes__, held.__suppress_context__)

"""A whole program goes on in this process: the half of `program` that a process needs into which it comes.

    load(header, contents)    makes the objects of a program that was captured
    run(loaded, value)        has it go on to its end

Invariants:
  * The program ends at the frame of `__main__`; what lies below (runpy, our own runner) is the process's.
  * It is on the way of every teleport, and imports nothing that only a capture needs.
"""

from __future__ import annotations

import _imp
import importlib
import os
import sys
import time

from stillframe.capture import endings
from stillframe.capture.loading import Contents, restore
from stillframe.capture.process_state import restore_process_state
from stillframe.capture.starting import ThreadImage, run_all, shift_deadlines
from stillframe.frames.landing import RETURNED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple
else:
    from stillframe.light import NamedTuple


class Program(NamedTuple):
    """What a snapshot of kind `program` holds. The first thread is the main one."""

    threads: list[ThreadImage]
    process: Any


def load(header: Any, contents: Contents) -> tuple[Any, Program]:
    """Make the program's objects in this process. Nothing of it runs yet, but what loading takes."""
    folders = [folder for folder in header.facts.get("path", "").split(os.pathsep) if folder]
    sys.path[:] = [*folders, *(folder for folder in sys.path if folder not in folders)]
    if "asyncio" in header.facts and "asyncio" not in sys.modules:
        # Tasks and futures come back as those written in Python, and so must be all others.
        sys.modules["_asyncio"] = None  # type: ignore[assignment]
    if "asyncio" in header.facts:
        aio = importlib.import_module("stillframe.capture.aio")
        aio.register()
    context, program = restore(contents)
    return context, program


def run(loaded: tuple[Any, Program], value: Any) -> int:
    """Have a loaded program go on: the call that captured it returns `value`. Returns its exit status.

    An exception that ends it is reported by `sys.excepthook`, as Python would; SystemExit passes through.
    """
    context, program = loaded
    restore_process_state(program.process)
    endings.register_at_exit(program.process["atexit"])
    endings.add_finders(program.process["finders"])
    if program.process["import lock"]:
        _imp.acquire_lock()
    later_s = time.monotonic() - program.process["monotonic_s"]
    for image in program.threads:
        shift_deadlines(image.continuation.records, later_s)
    return run_all(context, program.threads, (RETURNED, value))

"""The call at which torture programs are captured: `snap(value)` counts itself and returns `value`.

What else it does is told by the environment of the process that runs it:

  SNAP_AT     empty: nothing. "all": capture at each call. A number: capture at that call. "next": capture,
              then end the process with code 77; with it a resumed program captures again at its next call.
  SNAP_DIR    where snapshots go: `<call>.snapshot`, or the reason in `<call>.refused` or `<call>.failed`;
              `<call>.position` says how far stdout and stderr had been written by then, and where it is.
  SNAP_BY     how snapshot() is called: "plain", "deep" (through more Python), "native" (through C).
  SNAP_UNDER  "gc": with gc.set_threshold(1). "trace": under sys.settrace.

Invariants:
  * The number of the call is a local variable here while the capture is made, so a resumed program counts on
    from there whether or not this module travels with it.
  * A resumed program captures nothing more, unless SNAP_AT is "next".
  * A call made by the capture itself is not counted, and is reported as a failure.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import sys
import traceback

CAPTURED_EXIT_CODE = 77
calls = 0
capturing = False

if os.environ.get("SNAP_AT"):
    import stillframe
    from stillframe.errors import CannotCapture


def snap(value=None):
    """Count this call, capture the program if the environment says so, return `value`."""
    global calls
    if capturing:
        report_disturbance()
        return value
    calls = number = calls + 1
    if os.environ.get("SNAP_AT", "") in ("all", "next", str(number)):
        capture(number)
        calls = number
    return value


def capture(number):
    """Capture here, as call `number`; what comes of it is left in SNAP_DIR."""
    global capturing
    base = os.path.join(os.environ["SNAP_DIR"], str(number))
    sys.stdout.flush()
    sys.stderr.flush()
    write(f"{base}.position", f"{written(1)} {written(2)} {sites()}")
    capturing = True
    try:
        resumed = WAYS[os.environ.get("SNAP_BY", "plain")](f"{base}.snapshot")
    except CannotCapture as refusal:
        write(f"{base}.refused", f"{type(refusal).__name__}: {refusal}")
    except Exception:  # noqa: BLE001  (a defect of the engine: the other calls are still worth capturing)
        write(f"{base}.failed", traceback.format_exc())
    else:
        if resumed is None and os.environ["SNAP_AT"] == "next":
            os._exit(CAPTURED_EXIT_CODE)
        if resumed is not None and os.environ.get("SNAP_AT") != "next":
            os.environ.pop("SNAP_AT", None)
        if resumed is not None and not resumed:
            raise AssertionError("a Resumed is false")
    finally:
        capturing = False


def report_disturbance():
    """To capture and to load is not to run the program: what it calls here, it would not have called."""
    message = f"the capture or the load calls the program's own code: {sites()}"
    if "SNAP_DIR" not in os.environ:
        raise AssertionError(message)
    write(os.path.join(os.environ["SNAP_DIR"], f"{calls}.failed"), message)


def sites():
    """The chain of lines that led here, innermost first."""
    frame, found = sys._getframe(2), []
    while frame is not None:
        found.append(f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}")
        frame = frame.f_back
    return " < ".join(found[1:])


def written(descriptor):
    """How many bytes of the file at `descriptor` have been written; 0 if it is no file."""
    try:
        return os.lseek(descriptor, 0, os.SEEK_CUR)
    except OSError:
        return 0


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def by_more_python(path):
    """snapshot() from a generator that delegates, in a with statement, in a finally clause."""

    def inner():
        with contextlib.ExitStack():
            try:
                pass
            finally:
                resumed = stillframe.snapshot(path)
        yield [resumed]

    def outer():
        yield from inner()

    for [resumed] in outer():
        return resumed


class _Property:
    def __init__(self, path):
        self.path = path

    @property
    def resumed(self):
        return functools.partial(stillframe.snapshot, self.path)()


def by_native_code(path):
    """snapshot() from a property and a partial: C frames that hold no state."""
    return getattr(_Property(path), "resumed")  # noqa: B009  (getattr is one more native call)


WAYS = {
    "plain": lambda path: stillframe.snapshot(path),
    "deep": by_more_python,
    "native": by_native_code,
}


def trace(frame, event, argument):
    """A trace function that watches everything and does nothing."""
    return trace


def put_under(what):
    """Make this process a harder place: `what` is "gc", "trace" or empty."""
    if what == "gc":
        gc.set_threshold(1)
    elif what == "trace":
        sys.settrace(trace)
        frame = sys._getframe()
        while frame is not None:
            frame.f_trace = trace
            frame = frame.f_back


put_under(os.environ.get("SNAP_UNDER"))

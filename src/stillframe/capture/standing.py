"""What is done in the copy of a program that stands still: look, capture, write, answer, end.

Invariants:
  * The copy never returns into the program, runs none of its exit handlers, and writes to none of its streams.
  * It writes a file beside the snapshot's; what takes its place is the program's to say, which may be dead by then.
  * Its answer is one message: a verdict of one byte, then text, LONGEST_ANSWER_BYTES at most. NOT_NOW's text begins
    with the thread that is in the way, 0 if that is not known, and how many calls from C may be under way in it.
  * What the program has printed and not flushed goes into the snapshot: it will be printed by whoever goes on.
"""

from __future__ import annotations

import gc
import importlib
import io
import itertools
import os
import signal
import sys
import threading
import time
from typing import Any, NamedTuple, NoReturn

import msgspec

from stillframe.capture import alone, process_state, program, snapshot, threads
from stillframe.capture.modules import is_by_value_name, is_installed_file
from stillframe.capture.regime import EXIT_FACT, Regime, add_to
from stillframe.capture.threads import NotNow
from stillframe.errors import StillframeError
from stillframe.frames import _frames
from stillframe.frames.continuation import calls_from_c

DONE, NOT_NOW, FAILED = b"K", b"N", b"E"
LONGEST_ANSWER_BYTES = 1 << 15


class Before(NamedTuple):
    """What a copy of the process does not know any more of the program, read just before the fork."""

    process_id: int
    main_native_id: int | None
    is_collecting: bool
    """Whether the garbage collector is enabled."""
    timers: list[tuple[int, float, float]]
    exit_code: int | None
    """Of a main thread that has ended."""


class Report(msgspec.Struct):
    """What is known of a capture that succeeded."""

    size_bytes: int
    where: str
    took_s: float


def before(exit_code: int | None) -> Before:
    """The facts of this process, now."""
    return Before(
        os.getpid(),
        threading.main_thread().native_id,
        gc.isenabled(),
        process_state.timers(),
        exit_code,
    )


def answer(pipe: int, made: str, regime: Regime, facts: Before) -> NoReturn:
    """The life of a copy: `made` is the file that it writes."""
    code = 1
    try:
        alone.import_without_waiting()
        # A pipe holds more than that, so nobody has to read it before the copy has ended.
        os.write(pipe, _verdict(made, regime, facts)[:LONGEST_ANSWER_BYTES])
        code = 0
    finally:
        os._exit(code)


def _verdict(made: str, regime: Regime, facts: Before) -> bytes:
    began_s = time.monotonic()

    def write(header: snapshot.Header, contents: snapshot.Contents) -> snapshot.Header:
        add_to(header, regime)
        if facts.exit_code is not None:
            header.facts[EXIT_FACT] = str(facts.exit_code)
        return snapshot.write_beside(made, regime.to, header, contents)

    try:
        _check_main()
        _check_imports()
        header = program.with_captured_from_outside(write, lambda process: _amend(process, facts))
    except NotNow as reason:
        return NOT_NOW + f"{reason.ident} {reason.most_calls} {reason}".encode()
    except StillframeError as error:
        return FAILED + str(error).encode()
    except (AttributeError, ImportError) as error:
        # Some module's state was looked at while the program imports it.
        if "partially initialized" in str(error):
            return NOT_NOW + f"0 {NotNow.most_calls} cannot capture: {error}".encode()
        return FAILED + f"cannot capture: {error}".encode()
    except BaseException as error:  # noqa: BLE001  reducers and classes of the user's may raise anything
        return FAILED + f"cannot capture: {type(error).__name__}: {error}".encode()
    return DONE + msgspec.json.encode(Report(header.size_bytes, header.where, time.monotonic() - began_s))


def _check_main() -> None:
    """Raise NotNow unless the main thread is in the program, or waits for the program's other threads."""
    frames = _frames.walk(threading.main_thread().ident or 0)
    main = vars(sys.modules["__main__"])
    if any(frame.code.co_name == "<module>" and frame.globals is main for frame in frames):
        return
    if not frames or frames[-1].code is not threading._shutdown.__code__:  # type: ignore[attr-defined]
        raise NotNow("the program is just starting or ending")


def _check_imports() -> None:
    """Raise NotNow while a thread imports an installed module: it would be imported from its beginning once more, and
    then go on from the middle."""
    for ident in _frames.thread_ids():
        if ident in threads.HIDDEN:
            continue
        frames = _frames.walk(ident)
        for index, frame in enumerate(frames):
            name = _imported_by(frame)
            if name is not None:
                reason = NotNow(f"it imports {name}")
                reason.ident = ident
                reason.most_calls = calls_from_c([*itertools.dropwhile(_is_of_import, frames[index + 1 :])])
                raise reason


def _is_of_import(frame: _frames.FrameRef) -> bool:
    return frame.code.co_filename.startswith("<frozen importlib")


_LOAD = importlib._bootstrap._load_unlocked.__code__  # type: ignore[attr-defined]


def _imported_by(frame: _frames.FrameRef) -> str | None:
    """The name of the installed module that the frame is about to import, if it does."""
    if frame.code is _LOAD:
        spec = frame.fast[0]
        is_installed = isinstance(spec.origin, str) and is_installed_file(spec.origin)
        return str(spec.name) if is_installed else None
    if frame.code.co_name != "<module>":
        return None
    name = frame.globals.get("__name__")
    module = sys.modules.get(name) if isinstance(name, str) else None
    is_its = module is not None and vars(module) is frame.globals
    return str(name) if is_its and not is_by_value_name(name) else None


def _amend(process: process_state.State, facts: Before) -> None:
    """Add to the state of the process what only the main thread, or the program itself, would have seen."""
    process["pending"] = _pending_output()
    process["signals"] = process_state.handlers()
    process["timers"] = facts.timers
    process["mask"] = _mask(facts)
    process["gc"] = (facts.is_collecting, *process["gc"][1:])


def _mask(facts: Before) -> set[int]:
    """The signals that the program's main thread blocks."""
    try:
        with open(
            f"/proc/{facts.process_id}/task/{facts.main_native_id}/status", "rb", buffering=0
        ) as status:
            found = status.read(8192).partition(b"\nSigBlk:")[2].split(None, 1)
    except OSError:
        return set()
    bits = int(found[0], 16) if found else 0
    return {number for number in signal.valid_signals() if bits >> (int(number) - 1) & 1}


def _pending_output() -> dict[str, bytes]:
    """What the standard streams have not written yet. From here on what this process prints goes nowhere.

    Every thread stands where it holds none of their locks.
    """
    pending = {}
    for number, name in ((1, "stdout"), (2, "stderr")):
        memory = os.memfd_create("stillframe")
        try:
            os.dup2(memory, number, inheritable=False)
            for stream in (getattr(sys, name, None), getattr(sys, f"__{name}__", None)):
                _flush(stream, number)
            size = os.lseek(memory, 0, os.SEEK_CUR)
            if size:
                pending[name] = os.pread(memory, size, 0)
        finally:
            os.close(memory)
    return pending


def _flush(stream: Any, number: int) -> None:
    if type(stream) is not io.TextIOWrapper:
        return
    try:
        if stream.fileno() == number:
            stream.flush()
    except (OSError, ValueError):
        # Closed, or detached: nothing is pending.
        pass


__all__ = ["DONE", "FAILED", "NOT_NOW", "Before", "Report", "answer", "before"]

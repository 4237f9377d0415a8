"""What belongs to the process and not to an object: environment, folder, `sys`, signals, and the state of modules
that are imported again (`random`, `decimal`, `logging`, `warnings`, …).

Invariants:
  * `capture_process_state` changes nothing and imports nothing; its result is for the same pickle as the program,
    so that what both hold stays one.
  * A module's state is captured only if the module was imported, and restored by the names under which it was kept.
  * What cannot be restored here (a folder, a locale that is missing) is told, not passed over.
"""

from __future__ import annotations

import _signal
import gc
import importlib
import os
import sys
import threading
import time

from stillframe.capture.library_state import LIBRARY_STATES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

HOOKS = ("excepthook", "displayhook", "unraisablehook", "breakpointhook")
OPTIONAL = (
    "tracebacklimit",
    "ps1",
    "ps2",
    "last_type",
    "last_value",
    "last_traceback",
    "last_exc",
    "pycache_prefix",
)
STREAMS = ("stdin", "stdout", "stderr")
# `signal` makes members of enumerations of all numbers; the module under it does not, and is there.
TIMERS = (_signal.ITIMER_REAL, _signal.ITIMER_VIRTUAL, _signal.ITIMER_PROF)
_DIVERSIONS = "stillframe.frames.diversions"

State: TypeAlias = "dict[str, Any]"


def capture_process_state() -> State:
    """The state, as plain data and objects to be pickled. Call it before the garbage collector is paused."""
    stand_ins = sys.modules.get(_DIVERSIONS)
    state: State = {
        "environ": dict(os.environ),
        "folder": _folder(),
        "umask": _umask(),
        "sys": _sys_state(),
        "threading": (threading.excepthook, threading.stack_size()),
        "gc": (gc.isenabled(), gc.get_threshold(), gc.get_debug()),
        "time_s": time.time(),
        "monotonic_s": time.monotonic(),
        "stand-ins": stand_ins is not None and stand_ins.are_in_use(),
    }
    if threading.current_thread() is threading.main_thread():
        state["signals"] = handlers()
        state["timers"] = timers()
    state["mask"] = _signal.pthread_sigmask(_signal.SIG_BLOCK, ())
    for name, (capture, _restore) in LIBRARY_STATES.items():
        module = sys.modules.get(name)
        if module is not None:
            captured = capture(module)
            if captured is not None:
                state[name] = captured
    return state


def flush_standard_streams() -> None:
    """Write out what the program has printed so far."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()


def restore_process_state(state: State, *, environ: bool = True, signals: bool = True) -> list[str]:
    """Put the process into the state. Returns sentences about what could not be restored here."""
    notes: list[str] = []
    if environ:
        _restore_environ(state["environ"])
    _restore_folder(state["folder"], notes)
    if state["umask"] is not None:
        os.umask(state["umask"])
    _restore_sys(state["sys"])
    threading.excepthook = state["threading"][0]
    threading.stack_size(state["threading"][1])
    for name, (_capture, restore) in LIBRARY_STATES.items():
        if name in state:
            restore(state[name], notes)
    if state.get("stand-ins", False) or _DIVERSIONS in sys.modules:
        importlib.import_module(_DIVERSIONS).use_stand_ins(state.get("stand-ins", False))
    _restore_pending(state.get("pending", {}))
    if signals and "signals" in state and threading.current_thread() is threading.main_thread():
        _restore_signals(state)
    enabled, threshold, debug = state["gc"]
    gc.set_threshold(*threshold)
    gc.set_debug(debug)
    (gc.enable if enabled else gc.disable)()
    return notes


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        # It was deleted under the program.
        return None


def _umask() -> int | None:
    """The umask; asking the system call for it would change it for a moment, for all threads."""
    try:
        with open("/proc/self/status", "rb", buffering=0) as status:
            found = status.read(4096).partition(b"\nUmask:")[2].split(None, 1)
    except OSError:
        return None
    return int(found[0], 8) if found else None


def _restore_environ(wanted: dict[str, str]) -> None:
    environ = os.environ
    for name in [name for name in environ if name not in wanted]:
        del environ[name]
    zone = environ.get("TZ")
    for name, value in wanted.items():
        if environ.get(name) != value:
            environ[name] = value
    if zone != environ.get("TZ"):
        time.tzset()


def _restore_folder(folder: str | None, notes: list[str]) -> None:
    if folder is None or folder == _folder():
        return
    try:
        os.chdir(folder)
    except OSError as error:
        notes.append(
            f"the program was in the folder {folder}, which cannot be entered here ({error.strerror})."
        )


def _sys_state() -> State:
    streams = {}
    for name in STREAMS:
        stream = getattr(sys, name, None)
        if stream is not getattr(sys, f"__{name}__", None):
            streams[name] = stream
    return {
        "path": list(sys.path),
        "argv": list(sys.argv),
        "hooks": {name: getattr(sys, name) for name in HOOKS},
        "optional": {name: getattr(sys, name) for name in OPTIONAL if hasattr(sys, name)},
        "recursion": sys.getrecursionlimit(),
        "switch_s": sys.getswitchinterval(),
        "digits": sys.get_int_max_str_digits(),
        "no_bytecode": sys.dont_write_bytecode,
        "origin_depth": sys.get_coroutine_origin_tracking_depth(),
        "streams": streams,
    }


def _restore_sys(state: State) -> None:
    sys.path[:] = state["path"]
    sys.argv[:] = state["argv"]
    for name, hook in state["hooks"].items():
        setattr(sys, name, hook)
    for name in OPTIONAL:
        if name in state["optional"]:
            setattr(sys, name, state["optional"][name])
    sys.setrecursionlimit(state["recursion"])
    sys.setswitchinterval(state["switch_s"])
    sys.set_int_max_str_digits(state["digits"])
    sys.dont_write_bytecode = state["no_bytecode"]
    sys.set_coroutine_origin_tracking_depth(state["origin_depth"])
    for name, stream in state["streams"].items():
        setattr(sys, name, stream)


def timers() -> list[tuple[int, float, float]]:
    """The interval timers: which, what is left of each, its interval."""
    return [(which, *_signal.getitimer(which)) for which in TIMERS]


def handlers() -> list[tuple[int, Any]]:
    """The signal handlers that are not those of a fresh interpreter."""
    usual = {
        _signal.SIGINT: _signal.default_int_handler,
        _signal.SIGPIPE: _signal.SIG_IGN,
        _SIGXFSZ: _signal.SIG_IGN,
    }
    found = []
    for number in range(1, _signal.NSIG):
        handler = _signal.getsignal(number)
        if handler is not None and handler != usual.get(number, _signal.SIG_DFL):
            found.append((number, handler))
    return found


_SIGXFSZ = getattr(_signal, "SIGXFSZ", 0)


def _restore_pending(pending: dict[str, bytes]) -> None:
    """What the program had printed and not flushed waits in the buffers again."""
    for name, data in pending.items():
        stream = getattr(sys, f"__{name}__", None)
        if stream is not None:
            stream.buffer.write(data)


def _restore_signals(state: State) -> None:
    for number, handler in state["signals"]:
        _signal.signal(number, handler)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, state["mask"])
    for which, left_s, interval_s in state["timers"]:
        if left_s:
            _signal.setitimer(which, left_s, interval_s)

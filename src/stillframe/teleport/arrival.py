"""The process in which the program goes on: receives it, checks it, loads it, says so, waits for `go`, runs it.

    near side                      this process                       keeper
    ─────────                      ────────────                       ──────
                                   about ──────────────────────────►  passes it on
    envelope ════════════════════► (received, loaded) ready ────────► passes it on
    go ──────────────────────────► taken ───────────────────────────► reads the line from here on
                                   the program

A program that goes on in its own process (`local`) has left its envelope in a memory file, and there is nobody
to talk to: `land`.

Invariants:
  * The line is read frame by frame: what follows `go` is for the keeper.
  * Until `go` nothing of the program runs but what loading it takes.
  * No descriptor of the teleport is open when the program goes on.
  * Modules that landing does not need are imported where they are: it is on the way of every local teleport.
"""

from __future__ import annotations

import _signal
import importlib
import os
import sys

from stillframe.teleport import memory_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

BOOT = """
import gc, sys
gc.disable()
{path}
try:
    from stillframe.teleport.arrival import {function} as arrive
except ImportError as error:
    arrive = lambda *_: sys.exit("stillframe cannot be imported: %s" % error)
    if {function!r} == "receive":
        import json, socket
        text = json.dumps({{"missing": ["stillframe {version}"], "because": str(error)}})
        socket.socket(fileno=int(sys.argv[1])).send(text.encode())
arrive({settings!r}, *map(int, sys.argv[1:]))
"""
"""Nothing that is made until the program goes on is garbage; it brings its own setting of the collector."""


def boot(function: str, settings: dict[str, Any], path: list[str] | None) -> str:
    """What `python -c` gets, to call `function` of this module. `path` is the whole of sys.path, if known."""
    from stillframe import __version__

    # "-c" puts the working directory in front, which is no place of ours to import from.
    line = "sys.path[:] = [path for path in sys.path if path]" if path is None else f"sys.path[:] = {path!r}"
    return BOOT.format(path=line, function=function, settings=settings, version=__version__)


def interpreter_options() -> list[str]:
    """The options that this interpreter was started with, for another one like it in the same environment."""
    flags = sys.flags
    letters = "".join(letter * getattr(flags, name) for name, letter in _LETTERS.items())
    if flags.isolated:
        letters += "I"
    else:
        letters += "".join(letter * getattr(flags, name) for name, letter in _LETTERS_OF_ISOLATED.items())
    warnings = list(sys.warnoptions)
    # These come of themselves.
    implied = ["default"] if flags.dev_mode else []
    if flags.bytes_warning:
        implied.append("error::BytesWarning" if flags.bytes_warning > 1 else "default::BytesWarning")
    if not flags.ignore_environment:
        implied += filter(None, os.environ.get("PYTHONWARNINGS", "").split(","))
    for option in implied:
        if option in warnings:
            warnings.remove(option)
    more = [f"-X{name}" if value is True else f"-X{name}={value}" for name, value in sys._xoptions.items()]
    return [*([f"-{letters}"] if letters else []), *(f"-W{option}" for option in warnings), *more]


_LETTERS = {
    "debug": "d",
    "optimize": "O",
    "dont_write_bytecode": "B",
    "no_site": "S",
    "verbose": "v",
    "bytes_warning": "b",
    "quiet": "q",
}
_LETTERS_OF_ISOLATED = {"no_user_site": "s", "ignore_environment": "E", "safe_path": "P"}
"""What `-I` means."""


def land(settings: dict[str, Any], descriptor: int) -> NoReturn:
    """Go on from a memory file: this process *was* the program a moment ago."""
    envelope = importlib.import_module(settings["envelope"])
    with memory_file.Reading(descriptor) as stream:
        received = envelope.read(stream, is_same_place=settings["is_same_place"])
    program = envelope.load(received, is_same_place=settings["is_same_place"])
    sys.exit(envelope.run(program, None, lambda: _unmask(settings["mask"])))


def _unmask(numbers: list[int]) -> None:
    """From now on signals meet the program's own handlers."""
    _signal.pthread_sigmask(_signal.SIG_SETMASK, numbers)


def receive(settings: dict[str, Any], control: int, line: int) -> NoReturn:
    """Come over a line, with a keeper."""
    _Arrival(settings, control, line).run()


class _Arrival:
    def __init__(self, settings: dict[str, Any], control: int, line: int) -> None:
        self._settings = settings
        self._line = line
        import _socket

        self._talk = _socket.socket(fileno=control)
        self._envelope = importlib.import_module(settings["envelope"])

    def _say(self, value: dict[str, Any]) -> None:
        import json

        self._talk.send(json.dumps(value).encode())

    def run(self) -> NoReturn:
        from stillframe.teleport import wire

        _match_streams(self._settings["streams"])
        try:
            self._say(about(self._envelope))
            program = self._receive(wire.Incoming(self._line))
            self._say({"ready": True})
            index = wire.read_frame(self._line).message()["go"]
        except wire.LineEnded:
            # The near side has decided against it, or has gone.
            os._exit(1)
        os.close(self._line)
        self._talk.send(b"taken")
        self._talk.close()
        sys.exit(self._envelope.run(program, index, lambda: None))

    def _receive(self, stream: Any) -> Any:
        from stillframe.teleport import wire

        try:
            received = self._envelope.read(stream)
            stream.drain()
            return self._envelope.load(received, is_same_place=self._settings["is_same_place"])
        except wire.LineEnded:
            raise
        except BaseException as error:  # noqa: BLE001  it is the user's code that is loaded
            # Whatever loading raises, the program is still there on the other side, which has to know.
            self._say({"error": f"the program could not be loaded there: {explain(error)}"})
            os._exit(1)


def _match_streams(streams: dict[str, Any]) -> None:
    """Encodings and buffering as the near side's, in whose terminal or pipe all of it ends up."""
    for name, options in streams.items():
        stream = getattr(sys, name)
        if stream is not None:
            stream.reconfigure(**options)


def about(envelope: Any) -> dict[str, Any]:
    """What decides whether a program from elsewhere can go on here."""
    import sysconfig

    return {
        "python": list(sys.version_info[:3]),
        "implementation": sys.implementation.name,
        "soabi": sysconfig.get_config_var("SOABI"),
        "executable": sys.executable,
        "formats": envelope.formats(),
    }


EXPLANATION_BYTES = 1 << 15


def explain(error: BaseException) -> str:
    """The error with the place where it was raised, in few lines."""
    import traceback

    return "".join(traceback.format_exception(error)[-6:]).strip()[-EXPLANATION_BYTES:]

"""The far side of a teleport, until the program runs there: answers what is asked, then hosts the program.

It arrives as source text, through standard input, in an interpreter that may not have stillframe; what it
imports is the standard library and the modules that arrive with it (`command.FAR_MODULES`).

Invariants:
  * Standard output carries frames and nothing else.
  * Not one byte more is read of standard input than the frame at hand: the program's process reads on.
  * The working folder that was made here is gone when this process ends, unless it is killed with SIGKILL.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import signal
import sys
import sysconfig
import tarfile
import tempfile
from typing import Any

from stillframe.teleport import wire
from stillframe.teleport.hosting import Host, NotStarted
from stillframe.teleport.installing import InstallFailed, make_environment

CONTROL = 1
"""Frames go out here."""


class Keeper:
    """What is asked, in the order in which it comes, until `begin`."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.environments = ""

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """The answer to a question; each is a method of the same name."""
        handler = {"look": self.look, "files": self.files, "install": self.install}.get(question["ask"])
        if handler is None:
            return {"error": f"this side of the teleport does not know the question {question['ask']!r}"}
        return handler(question)

    def look(self, question: dict[str, Any]) -> dict[str, Any]:
        """Which versions of these packages are here; None where one is not."""
        return {"packages": {name: _version(name) for name in question["packages"]}}

    def files(self, question: dict[str, Any]) -> dict[str, Any]:
        """Unpack what follows, a tar stream, into a fresh working folder."""
        stream = wire.Incoming(0)
        self.folder = tempfile.mkdtemp(prefix="stillframe-")
        try:
            with tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 20) as archive:
                archive.extractall(self.folder, filter=_as_our_own)
        except (OSError, tarfile.TarError) as error:
            stream.drain()
            return {"error": f"the files could not be written to {self.folder}: {error}"}
        stream.drain()
        return {"folder": self.folder}

    def install(self, question: dict[str, Any]) -> dict[str, Any]:
        """Make (or find) the virtual environment with these packages; the wheel of stillframe follows."""
        stream = wire.Incoming(0)
        with tempfile.TemporaryDirectory(prefix="stillframe-wheel-") as place:
            wheel = os.path.join(place, question["wheel"])
            with open(wheel, "wb") as file:
                shutil.copyfileobj(stream, file, 1 << 20)
            try:
                made = make_environment(self.environments, question["key"], question["requirements"], wheel)
            except InstallFailed as error:
                return {"error": str(error)}
        return {"python": made}

    def clean(self) -> None:
        """Remove the working folder."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _as_our_own(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    """Modes are kept, owners are not: the files belong to whoever runs here."""
    inside = os.path.realpath(os.path.join(folder, member.name))
    if os.path.commonpath([inside, os.path.realpath(folder)]) != os.path.realpath(folder):
        raise tarfile.OutsideDestinationError(member, inside)
    owner: Any = None
    return member.replace(uid=owner, gid=owner, uname=owner, gname=owner, deep=False)


def about() -> dict[str, Any]:
    """What this interpreter is, for the other side to compare with its own."""
    return {
        "python": list(sys.version_info[:3]),
        "implementation": sys.implementation.name,
        "executable": sys.executable,
        "soabi": sysconfig.get_config_var("SOABI"),
        "machine": platform.machine(),
        "stillframe": _version("stillframe"),
        "host": platform.node(),
    }


def _end(*_: object) -> None:
    raise SystemExit(1)


def main(environments: str) -> None:
    """Serve one line from its greeting to its end. `environments` is where install() keeps what it makes."""
    # These come to the whole foreground of a terminal: the near side decides what they mean.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGQUIT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGHUP, _end)
    keeper = Keeper()
    keeper.environments = environments
    try:
        wire.write_all(CONTROL, wire.GREETING + b"%d\n" % wire.PROTOCOL + wire.message(about()))
        while True:
            question = wire.read_frame(0).message()
            if question["ask"] == "begin":
                Host(question, keeper.folder, keeper.clean).run()
                return
            wire.write_all(CONTROL, wire.message(keeper.answer(question)))
    except NotStarted as error:
        wire.write_all(CONTROL, wire.message({"error": str(error)}))
    except (wire.LineEnded, BrokenPipeError):
        # The near side has gone, or has decided against it: nobody is left to tell.
        pass
    finally:
        keeper.clean()

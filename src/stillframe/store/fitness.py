"""Whether a state from elsewhere could be restored here, as far as its header tells. Nothing is unpickled."""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, version

import msgspec


class Interpreter(msgspec.Struct, frozen=True):
    """What a snapshot's header says of the interpreter that it was made by."""

    version: str = ""
    minor: str = ""
    is_debug: bool = False
    is_free_threaded: bool = False
    system: str = ""
    machine: str = ""

    def __str__(self) -> str:
        kind = " (free-threaded)" if self.is_free_threaded else " (debug)" if self.is_debug else ""
        return f"CPython {self.version}{kind}, {self.system} {self.machine}"


class Header(msgspec.Struct, frozen=True):
    """What is read here of the header of a state's snapshot; each part may be missing."""

    stillframe: str = ""
    created: str = ""
    interpreter: Interpreter = Interpreter()
    packages: dict[str, str] = {}
    variables: list[tuple[str, str, int]] = []
    """Name, type, and about how many bytes."""


def header_of(raw: bytes | msgspec.Raw) -> Header:
    """What a record's header says; nothing where it says it in no way that is known."""
    try:
        return msgspec.json.decode(raw, type=Header)
    except msgspec.MsgspecError:
        return Header()


def here() -> Interpreter:
    """This interpreter."""
    return Interpreter(
        version=".".join(map(str, sys.version_info[:3])),
        minor=f"{sys.version_info.major}.{sys.version_info.minor}",
        is_debug=hasattr(sys, "gettotalrefcount"),
        is_free_threaded=not getattr(sys, "_is_gil_enabled", lambda: True)(),
        system=sys.platform,
        machine=os.uname().machine,
    )


def unfit(header: Header) -> str:
    """Why a state could not be restored by this interpreter: a clause, or nothing."""
    made, now = header.interpreter, here()
    if made.minor and (made.minor, made.is_free_threaded, made.is_debug) != (
        now.minor,
        now.is_free_threaded,
        now.is_debug,
    ):
        return f"it was made by {made}; this is {now}"
    if made.machine and (made.system, made.machine) != (now.system, now.machine):
        return f"it was made on {made.system} {made.machine}; this is {now.system} {now.machine}"
    return ""


def missing_packages(packages: dict[str, str]) -> dict[str, str]:
    """Those that are not here at all, with the version that was there."""
    missing = {}
    for name, wanted in packages.items():
        try:
            version(name)
        except PackageNotFoundError:
            missing[name] = wanted
        except ValueError:  # a name that no package can have
            missing[name[:80]] = wanted
    return missing

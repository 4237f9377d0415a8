"""What is checked over there before anything is ended here, and put right if the user asks for it.

Invariants:
  * Everything missing is found and named in one TeleportFailed; the program goes on here.
  * Nothing of the program is sent before all of it is there.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
import sysconfig
from collections.abc import Sequence
from typing import Any

from stillframe import __version__
from stillframe.errors import TeleportFailed
from stillframe.teleport import wire
from stillframe.teleport.command import far_command, far_source
from stillframe.teleport.line import Line, Outgoing, send
from stillframe.teleport.transports import Transport
from stillframe.teleport.wheel import plan

AT_ONCE = 8
"""How many lines are opened at a time: a sshd drops those that are not yet logged in when there are many more."""


def open_lines(transport: Transport, python: str | None, count: int) -> list[Line]:
    """So many lines to one place, each with an interpreter of the right kind at its end."""
    command, source = far_command(python), far_source()
    lines: list[Line] = []
    try:
        while len(lines) < count:
            batch = [
                Line(str(transport), transport.open(command)) for _ in range(min(AT_ONCE, count - len(lines)))
            ]
            lines += batch
            send(batch, source)
            for line in batch:
                _greet(line, python)
    except BaseException:
        close(lines)
        raise
    return lines


def close(lines: Sequence[Line]) -> None:
    """Hang up on all of them."""
    for line in lines:
        line.close()


def _greet(line: Line, python: str | None) -> None:
    word, _, rest = line.greeting().decode(errors="replace").partition(" ")
    if word == "none":
        there = ", ".join(dict.fromkeys(rest.strip(" ,").split(", ")))
        wanted = _this_python() if python is None else f"the interpreter {python}"
        raise _no_interpreter(line, f"{wanted} (there: {there})" if there else wanted)
    if word != str(wire.PROTOCOL):
        line.fail(f"the far side speaks protocol {word}, not {wire.PROTOCOL}")
    line.about = line.answer()
    if problem := _wrong_interpreter(line.about):
        raise _no_interpreter(line, problem)


def _no_interpreter(line: Line, missing: str) -> TeleportFailed:
    return TeleportFailed(
        f"cannot teleport to {line.name}: it lacks {missing}.",
        "Install it there, or say where it is with python=...",
        [missing],
    )


def _this_python() -> str:
    return f"CPython {sys.version_info[0]}.{sys.version_info[1]}"


def _wrong_interpreter(about: dict[str, Any]) -> str | None:
    if about["implementation"] == "cpython" and about["python"][:2] == list(sys.version_info[:2]):
        return None
    version = ".".join(map(str, about["python"]))
    return f"{_this_python()} (there: {about['implementation']} {version}, {about['executable']})"


def lacking(line: Line, missing: Sequence[str], because: str = "") -> TeleportFailed:
    """The error that lists all that a place lacks."""
    where = f" ({because})" if because else ""
    there = f" for {line.about['executable']}" if line.about else ""
    return TeleportFailed(
        f"cannot teleport to {line.name}: it lacks {', '.join(missing)}{where}.",
        f"Install it there{there}, or pass install=True.",
        missing,
    )


def interpreter(lines: Sequence[Line], packages: dict[str, str], *, install: bool) -> str | None:
    """The interpreter over there that has everything; None: the one that answers.

    All lines lead to one place, so one of them is asked, and installs.
    """
    line = lines[0]
    send([line], wire.message({"ask": "look", "packages": [*packages, "stillframe"]}))
    there = line.answer()["packages"]
    missing = []
    own = _required_by_stillframe()
    for name, version in {"stillframe": __version__, **packages}.items():
        found = there[name]
        if found is None:
            missing.append(f"{name} {version}")
        elif found != version and name.lower().replace("_", "-") not in own:
            missing.append(f"{name} {version} (there: {found})")
    if not missing:
        return None
    if not install:
        raise lacking(line, missing)
    return _install(line, packages)


def _required_by_stillframe() -> set[str]:
    """Packages that are imported for stillframe's own sake: the one over there knows which version it needs."""
    wanted = importlib.metadata.requires("stillframe") or []
    names = (
        re.match(r"[A-Za-z0-9._-]+", requirement) for requirement in wanted if "extra ==" not in requirement
    )
    return {name.group().lower().replace("_", "-") for name in names if name}


def _install(line: Line, packages: dict[str, str]) -> str:
    assert line.about is not None
    soabi = sysconfig.get_config_var("SOABI")
    if line.about["soabi"] != soabi:
        raise lacking(line, [f"stillframe for {line.about['soabi']} (what is installed here is for {soabi})"])
    made = plan(packages)
    question = {
        "ask": "install",
        "key": made.key,
        "requirements": made.requirements,
        "wheel": made.wheel_name,
    }
    send([line], wire.message(question))
    stream = Outgoing([line])
    stream.write(made.wheel)
    stream.end()
    return str(line.answer()["python"])


def start_arrivals(lines: Sequence[Line], begin: dict[str, Any], formats: dict[str, Any]) -> None:
    """Have the interpreters started in which the program is to go on, and see that they understand it."""
    send(lines, wire.message({"ask": "begin", **begin}))
    for line in lines:
        about = line.answer()
        if about.get("missing"):
            raise lacking(line, about["missing"], about["because"])
        if problem := _wrong_interpreter(about):
            raise _no_interpreter(line, problem)
        there = about["formats"]
        wrong = [
            f"{name} {value} (there: {there.get(name)})"
            for name, value in formats.items()
            if there.get(name) != value
        ]
        if wrong:
            raise _no_interpreter(line, f"an interpreter like this one: {', '.join(wrong)}")

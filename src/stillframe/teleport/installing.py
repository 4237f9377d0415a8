"""Makes a virtual environment on the far side, with the packages of the program pinned; reuses it later.

Only the standard library is used: this file also runs where stillframe is not installed.

Invariants:
  * An environment is complete or it is made anew: the file COMPLETE is written last.
  * One process makes it; others that want the same one wait for it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys

COMPLETE = "stillframe-complete"
TEXT_LINES = 12
"""How much of an installer's complaint is passed on."""


class InstallFailed(Exception):
    """Says what failed, with the last lines of the tool that failed."""


def make_environment(place: str, key: str, requirements: list[str], wheel: str) -> str:
    """The interpreter of the environment `key` below `place`; makes it where it is not there or not complete."""
    target = os.path.join(place, key)
    python = os.path.join(target, "bin", "python")
    try:
        os.makedirs(place, mode=0o700, exist_ok=True)
        lock = open(target + ".lock", "w")  # noqa: SIM115
    except OSError as error:
        raise InstallFailed(f"{place} cannot be made: {error.strerror}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(os.path.join(target, COMPLETE)):
            shutil.rmtree(target, ignore_errors=True)
            _make(target)
            pip = _pip_for(python)
            _run([*pip, "install", "--quiet", "--no-deps", wheel], "stillframe could not be installed")
            if requirements:
                _run([*pip, "install", "--quiet", *requirements], "the packages could not be installed")
            with open(os.path.join(target, COMPLETE), "w") as file:
                file.write("\n".join(requirements))
    return python


def _make(target: str) -> None:
    """A virtual environment; without pip where the system's Python has no ensurepip (Debian's, often)."""
    if subprocess.run([sys.executable, "-c", "import ensurepip"], capture_output=True).returncode == 0:
        _run([sys.executable, "-m", "venv", target], "no virtual environment could be made")
    else:
        _run([sys.executable, "-m", "venv", "--without-pip", target], "no virtual environment could be made")


def _pip_for(python: str) -> list[str]:
    """The pip of the environment, or this system's pip, told to install into it."""
    for command in ([python, "-m", "pip"], [sys.executable, "-m", "pip", "--python", python]):
        if subprocess.run([*command, "--version"], capture_output=True).returncode == 0:
            return [*command, "--disable-pip-version-check", "--no-input"]
    raise InstallFailed(f"there is no pip for {sys.executable}, and no ensurepip to make one")


def _run(command: list[str], failure: str) -> None:
    # Standard input and output are the line to the near side: no tool may touch them.
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        text = "\n".join(done.stdout.strip().splitlines()[-TEXT_LINES:])
        raise InstallFailed(f"{failure}:\n{text}")

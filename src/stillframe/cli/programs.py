"""The verbs for programs: `still run` and `still resume`, which become the program's own process; what a snapshot is.

Invariant: nothing of a snapshot is unpickled here.
"""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from stillframe import show
from stillframe.cli import states
from stillframe.cli.running import server_options
from stillframe.cli.terminal import say
from stillframe.errors import BadRequest, CorruptSnapshot, SnapshotRefused, StillframeError

if TYPE_CHECKING:
    # What captures is loaded by the verbs that need it: the others start faster without.
    from stillframe.capture.snapshot import Header

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
SHORTEST_INTERVAL_S = 0.01
DEFAULT_INTERVAL = "30s"


def duration_s(text: str) -> float | None:
    """`0.2s`, `30s`, `5m`, `2h`; a bare number is in seconds; `never` is None."""
    if text == "never":
        return None
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)", text)
    unit = _UNITS_S.get(found[2] or "s") if found else None
    if found is None or unit is None:
        raise BadRequest(f"--every {text}: that is no duration.", "Say 0.2s, 30s, 5m, 2h, or never.")
    seconds = float(found[1]) * unit
    if seconds < SHORTEST_INTERVAL_S:
        raise BadRequest(
            f"--every {text}: that is too short, a capture takes milliseconds.", "Say 0.2s, or more."
        )
    return seconds


def signal_named(text: str) -> int:
    """The number of a signal, by its name with or without SIG."""
    name = text.upper()
    found = getattr(signal, name if name.startswith("SIG") else f"SIG{name}", None)
    if not isinstance(found, signal.Signals) or found in (signal.SIGKILL, signal.SIGSTOP):
        raise BadRequest(
            f"--on {text}: that is no signal that a program can hear.", "Say SIGTERM, SIGUSR1, …"
        )
    return int(found)


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--every", metavar="TIME", default=DEFAULT_INTERVAL, show_default=True,
              help="How often it is captured: 0.2s, 30s, 5m, 2h; or never.")  # fmt: skip
@click.option("--on", "signals", metavar="SIGNAL", multiple=True,
              help="Capture on this signal too; may be repeated. SIGTERM, SIGINT, SIGHUP end the program then, "
              "others do not.")  # fmt: skip
@click.option("--to", metavar="FILE", help="The snapshot's file.  [default: SCRIPT.snapshot]")
@click.option("--keep", is_flag=True, help="Keep the file when the program has ended well.")
@click.option("--quiet", is_flag=True, help="Say only what goes wrong.")
@click.option("--stand-ins", is_flag=True,
              help="Have Python do what sorted(), list(), sum() and the like do while they call back: then it can be "
              "captured within them too.")  # fmt: skip
@click.option(
    "--python", metavar="PROGRAM", help="The interpreter to run it in; stillframe must be there too."
)
@click.option("-m", "is_module", is_flag=True, help="SCRIPT is the name of a module.")
@click.argument("script")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(
    every: str,
    signals: tuple[str, ...],
    to: str | None,
    keep: bool,
    quiet: bool,
    stand_ins: bool,
    python: str | None,
    is_module: bool,
    script: str,
    arguments: tuple[str, ...],
) -> None:
    """Run a program as `python SCRIPT` does, and capture it again and again while it runs.

    Nothing in the program has to know. After a crash, a `kill -9` or a reboot `still resume SCRIPT.snapshot` goes on
    from the last capture. Its exit code is this command's; when that is 0, the snapshot is removed.

    A capture begins so early that it is on disk before the last one is --every old: a crash costs no more than that, as
    long as captures take less than a third of it.

    A snapshot that an earlier run has left is kept as FILE.old, and the program starts afresh.

    \b
      still run train.py --epochs 90
      still run --every 5m --on SIGTERM --to /data/train.snapshot train.py
      still run --every 1m -m project.train --epochs 90
    """
    from stillframe.capture.regime import Regime

    every_s, numbers = duration_s(every), [signal_named(name) for name in signals]
    if every_s is None and not numbers:
        raise BadRequest("--every never without --on would never capture.", "Name a signal: --on SIGUSR1.")
    if not is_module and not os.path.exists(script):
        raise BadRequest(f"there is no file {script}.", "Name a script, or a module with -m.")
    if not is_module:
        _check_readable(script)
    target = Path(to or _beside(script, is_module=is_module)).resolve()
    _make_room(target, is_quiet=quiet)
    regime = Regime(
        to=str(target), every_s=every_s, signals=tuple(dict.fromkeys(numbers)), is_kept=keep, is_quiet=quiet,
        stand_ins=stand_ins,
    )  # fmt: skip
    launcher = Path(__file__).parent.parent / "capture" / "launcher.py"
    _become([python or sys.executable, str(launcher), regime.as_text(), str(is_module), script, *arguments])


def _beside(script: str, *, is_module: bool) -> str:
    return f"{script}.snapshot" if is_module else f"{script.rstrip('/')}.snapshot"


def _check_readable(file: str) -> None:
    """Raise BadRequest where this user may not read a file: said here, not in the midst of another interpreter."""
    if not os.access(file, os.R_OK):
        raise BadRequest(f"{file} cannot be read: {os.strerror(errno.EACCES)}.", "Ask its owner.")


def _make_room(target: Path, *, is_quiet: bool) -> None:
    """Put aside what an earlier run has left, and say so. Raises BadRequest rather than touch any other file."""
    from stillframe.capture.snapshot import read_header

    old = target.with_name(target.name + ".old")
    if target.is_dir():
        raise BadRequest(f"{target} is a folder.", "Name a file with --to.")
    if target.exists():
        try:
            header = read_header(target)
        except CorruptSnapshot as error:
            raise BadRequest(
                f"{target} is there, and is no snapshot: it stays.", "Name another file with --to."
            ) from error
        except OSError as error:
            raise BadRequest(
                f"{target} cannot be read: {error.strerror}.", "Name another file with --to."
            ) from error
        try:
            os.replace(target, old)
        except OSError as error:
            raise BadRequest(
                f"{target} cannot be put aside: {error.strerror}.", "Name another file with --to."
            ) from error
        _say_unfinished(header, old, "This run starts afresh")
    elif old.exists() and not is_quiet:
        try:
            _say_unfinished(read_header(old), old, "This run starts afresh too")
        except (StillframeError, OSError):
            return


def _say_unfinished(header: Header, old: Path, what: str) -> None:
    place = os.path.relpath(old)
    place = str(old) if place.startswith("..") else place
    created = datetime.fromisoformat(header.created).astimezone(UTC)
    say(
        f"an earlier run did not end; it was last captured at {created:%Y-%m-%d %H:%M:%S} UTC ({header.where}). "
        f"{what}; to go on with that one: still resume {place}"
    )


@click.command()
@click.argument("file", metavar="FILE|STATE")
@click.option(
    "--value", metavar="JSON", help="What the call that made the snapshot returns, as `Resumed.value`."
)
@click.option("--mend", metavar="CODE", default="", help="STATE of a failed cell: what to execute in its frame before.")
@click.option("--frame", type=int, metavar="N", help="STATE of a failed cell: the frame, as an index of `still show`.")
@click.option("--as", "name", metavar="NAME", help="STATE: the new state's name; a fresh one by default.")
@click.option("--state", "is_state", is_flag=True, help="It is a state, though there is a file called so.")
@click.option(
    "--once", is_flag=True, help="A program of `still run`: do not capture it any more; leave FILE as it is."
)
@click.option(
    "--python", metavar="PROGRAM", help="The interpreter to resume in; its version must be the snapshot's."
)
@server_options
def resume(
    file: str,
    value: str | None,
    mend: str,
    frame: int | None,
    name: str | None,
    is_state: bool,
    once: bool,
    python: str | None,
    url: str | None,
    token: str | None,
    as_json: bool,
) -> int | None:
    """Go on with the program whose snapshot is in FILE, or from a server's STATE that rests inside a call.

    It goes on as if the call that made the snapshot had just returned; its exit code is this command's. A program
    of `still run` goes on where it was captured, and is captured as before, to FILE.

    A file may be resumed as often as you like, but that of a `still run` is removed when the program has ended
    well: --once leaves it alone. To resume a snapshot is to run the code in it.

    Where there is no such file it is a state: one that `stillframe.snapshot("STATE")` in a cell has made. Its cell
    goes on to its end and makes a new state; exit code 1 when it raised. Or it is what a failed cell has left behind:
    its innermost frame, or the one of --frame, executes the statement again that has failed, after --mend in it.

    \b
      still resume job.snapshot
      still resume job.snapshot --value '{"learning_rate": 0.01}'
      still resume --once train.py.snapshot
      still resume epoch-3 --value 0.01 --as slower
      still resume broken --mend 'rows = [row for row in rows if row]' --frame -2
    """
    if is_state or not os.path.exists(file):
        given = None if value is None else _parsed(value)
        return states.resume(file, given, name, (url, token), frame, mend, as_json=as_json)
    if os.path.isdir(file):
        raise BadRequest(f"{file} is a folder.", "Name the file of a snapshot, or a state with --state.")
    _check_readable(file)
    for option, is_given in (("--as", name is not None), ("--mend", bool(mend)), ("--frame", frame is not None)):
        if is_given:
            raise BadRequest(f"{option} is for states, and {file} is a file.", "Add --state if a state is meant.")
    from stillframe.capture.calls import runner_command
    from stillframe.capture.regime import FACT
    from stillframe.capture.snapshot import read_header

    descriptor = None
    if value is not None:
        if FACT in read_header(file).facts:
            raise BadRequest("--value is for snapshots that a call in the program has made.", "Leave it out.")
        descriptor = _descriptor_of(_parsed(value))
    _become(runner_command(file, descriptor, python=python, is_captured=not once))
    return None


def _become(command: list[str]) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise BadRequest(f"{command[0]} cannot be run: {error.strerror}.") from error


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadRequest(f"--value is no JSON: {error}.", "Quote text twice: --value '\"text\"'.") from error


def _descriptor_of(value: Any) -> int:
    """A descriptor from which the value can be read, also after an exec."""
    from stillframe.capture.values import dumps

    descriptor = os.memfd_create("value", 0)
    os.write(descriptor, dumps(value))
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


# ---- What a snapshot tells of itself ----------------------------------------------------------------------


class About(NamedTuple):
    """A snapshot's header, and whether it would be resumed here."""

    file: str
    size_bytes: int
    argv: list[str]
    packages: dict[str, str]
    differing: dict[str, str]
    """Packages that are here in another version: that version."""
    kind: str = ""
    where: str = ""
    created: str = ""
    stillframe: str = ""
    python: str = ""
    platform: str = ""
    run: dict[str, Any] | None = None
    """How `still run` captured it; None for what the program captured itself."""
    is_resumable: bool = False
    why: str = ""
    hint: str = ""

    def lines(self) -> list[tuple[str, str]]:
        """What people want to know, by name."""
        found = [("file", f"{self.file}, {show.size(self.size_bytes)}")]
        if not self.kind:
            return found
        made = "by still run" if self.run is not None else "by a call in the program"
        every_s = (self.run or {}).get("every_s")
        found += [
            ("holds", f"a {self.kind}, captured {made}" + (f" every {every_s:g} s" if every_s else "")),
            ("made", f"{self.created}, stillframe {self.stillframe}"),
            ("at", self.where),
            ("command", " ".join(self.argv)),
            ("python", f"CPython {self.python}, {self.platform}"),
        ]
        for name, version in self.packages.items():
            here = f" ({self.differing[name]} is here)" if name in self.differing else ""
            found.append(("package", f"{name} {version}{here}"))
        return found


def about(path: str) -> About:
    """What the snapshot in the file tells of itself. Reads all of it, to check it; loads nothing."""
    from stillframe.capture.regime import FACT
    from stillframe.capture.snapshot import open_snapshot, read_header

    size_bytes = os.path.getsize(path)
    try:
        header = read_header(path)
    except SnapshotRefused as error:
        return About(path, size_bytes, [], {}, {}, why=error.message, hint=error.hint)
    made_by = header.interpreter
    known = About(
        path,
        size_bytes,
        kind=header.kind,
        where=header.where,
        created=header.created,
        stillframe=header.stillframe,
        argv=header.argv,
        python=made_by.version,
        platform=f"{made_by.system} {made_by.machine}",
        packages=header.packages,
        differing=_differing(header.packages),
        run=json.loads(header.facts[FACT]) if FACT in header.facts else None,
    )
    try:
        open_snapshot(path)
    except SnapshotRefused as error:
        return known._replace(why=error.message, hint=error.hint)
    return known._replace(is_resumable=True)


def _differing(packages: dict[str, str]) -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name, wanted in packages.items():
        try:
            here = version(name)
        except PackageNotFoundError:
            continue
        if here != wanted:
            found[name] = here
    return found

"""`still doctor`: whether this machine can run stillframe well, or a snapshot be resumed here, and what to do."""

from __future__ import annotations

import ctypes
import importlib
import os
import platform
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import click
from rich.text import Text

from stillframe import show
from stillframe.cli import exported, programs, running, stores
from stillframe.cli.terminal import Rows, console, print_json
from stillframe.errors import BadRequest, StillframeError

Verdict = Literal["ok", "slow", "wrong"]
_STYLES = {"ok": "green", "slow": "yellow", "wrong": "bold red"}

_PR_GET_CHILD_SUBREAPER = 37
_LOW_MEMORY_BYTES = 1 << 30
_FEW_FILES = 4096
_FEW_PROCESSES = 1024


class Finding(NamedTuple):
    """One thing that was looked at. `slow` costs speed or size; `wrong` keeps stillframe from working."""

    what: str
    verdict: Verdict
    found: str
    remedy: str = ""


@click.command()
@click.argument("snapshot", required=False, metavar="[SNAPSHOT|STORE]", type=click.Path(exists=True))
@click.option("--repair", is_flag=True, help="Of a STORE: mend what can be mended; no server may have it open.")
@click.option("--quick", is_flag=True, help="Of a STORE: do not read every blob.")
@running.server_options
def doctor(
    snapshot: str | None, repair: bool, quick: bool, url: str | None, token: str | None, as_json: bool
) -> int:
    """Look at this machine and at the server, and say what is wrong and what to do.

    With a SNAPSHOT: what it is, and whether it would be resumed here. Nothing of it is run or loaded.

    With a STORE, a directory: whether each state in it can be restored; every blob is read. --repair puts what is
    damaged aside, and keeps all that is sound.

    Exit code 1 when something is wrong. What is merely slow does not count.

    \b
      still doctor
      still doctor train.py.snapshot
      still doctor ~/states
      still doctor ~/states --repair
    """
    if snapshot is not None and os.path.isdir(snapshot):
        return stores.check(snapshot, repair=repair, quick=quick, as_json=as_json)
    if repair or quick:
        raise BadRequest("--repair and --quick are for a store.", "Name its directory.")
    if snapshot is not None and exported.is_export(snapshot):
        exported.show(snapshot, as_json=as_json)
        return 0
    if snapshot is not None:
        return _about(programs.about(snapshot), as_json)
    findings = [*_machine(), _extension(), _server(url, token)]
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        out = console()
        rows = Rows("", "", "")
        for finding in findings:
            verdict = Text(finding.verdict, style=_STYLES[finding.verdict])
            rows.add(verdict, finding.what, show.printable(finding.found))
        rows.print(out)
        for finding in findings:
            if finding.remedy:
                out.print(Text(f"{finding.what}: {finding.remedy}"))
    return int(any(finding.verdict == "wrong" for finding in findings))


def _about(about: programs.About, as_json: bool) -> int:
    """Print what is known of a snapshot."""
    if as_json:
        print_json(about._asdict())
        return int(not about.is_resumable)
    rows = Rows("", "")
    for what, found in about.lines():
        rows.add(what, show.printable(found))
    verdict: Verdict = "ok" if about.is_resumable else "wrong"
    rows.add("resume here", Text(f"{verdict}: {about.why}" if about.why else verdict, style=_STYLES[verdict]))
    out = console()
    rows.print(out)
    if about.hint:
        out.print(Text(about.hint))
    return int(not about.is_resumable)


def _machine() -> Iterator[Finding]:
    yield Finding("platform", "ok", f"{platform.system()} {platform.release()} {platform.machine()}")
    yield Finding("python", "ok", f"CPython {platform.python_version()}, {sys.executable}")
    yield _pidfd()
    yield _subreaper()
    yield _huge_pages()
    yield _overcommit()
    yield _memory()
    yield _limit("open files", resource.RLIMIT_NOFILE, _FEW_FILES, "-n")
    yield _limit("processes", resource.RLIMIT_NPROC, _FEW_PROCESSES, "-u")
    yield _number("process ids", Path("/proc/sys/kernel/pid_max"), 32768, "sysctl kernel.pid_max=4194304")


def _pidfd() -> Finding:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        remedy = "Linux 5.3 or newer is needed, and a container that allows pidfd_open."
        return Finding("pidfd", "wrong", error.strerror or str(error), remedy)
    return Finding("pidfd", "ok", "works")


def _subreaper() -> Finding:
    answer = ctypes.c_int()
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(answer), 0, 0, 0) != 0:
        why = os.strerror(ctypes.get_errno())
        return Finding("subreaper", "wrong", why, "The container must allow prctl(PR_SET_CHILD_SUBREAPER).")
    return Finding("subreaper", "ok", "works")


def _huge_pages() -> Finding:
    text = _read(Path("/sys/kernel/mm/transparent_hugepage/enabled"))
    chosen = text.partition("[")[2].partition("]")[0]
    if chosen in ("", "never"):
        remedy = (
            "Forks of states above 1 GB take ten times as long: "
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"
        )
        return Finding("huge pages", "slow", chosen or "not there", remedy)
    return Finding("huge pages", "ok", chosen)


def _overcommit() -> Finding:
    mode = _read(Path("/proc/sys/vm/overcommit_memory"))
    if mode == "2":
        remedy = "Each state counts with its whole size: sysctl vm.overcommit_memory=0"
        return Finding("overcommit", "slow", "2 (never)", remedy)
    return Finding("overcommit", "ok", mode or "unknown")


def _memory() -> Finding:
    for line in _read(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) << 10
            is_low = available < _LOW_MEMORY_BYTES
            remedy = "Executions are refused soon: end what is not needed." if is_low else ""
            return Finding("memory", "slow" if is_low else "ok", f"{show.size(available)} available", remedy)
    return Finding("memory", "wrong", "/proc/meminfo says nothing", "Mount /proc.")


def _limit(what: str, kind: int, wanted: int, flag: str) -> Finding:
    soft, hard = resource.getrlimit(kind)
    if soft == resource.RLIM_INFINITY:
        return Finding(what, "ok", "no limit")
    reachable = hard == resource.RLIM_INFINITY or hard >= wanted
    if kind == resource.RLIMIT_NOFILE and reachable and soft < wanted:
        return Finding(what, "ok", f"limit {soft}, may be raised to {_infinite(hard)}")
    is_few = soft < wanted
    remedy = f"That bounds the number of states: ulimit {flag} {wanted}" if is_few else ""
    return Finding(what, "slow" if is_few else "ok", f"limit {soft}", remedy)


def _number(what: str, path: Path, wanted: int, remedy: str) -> Finding:
    text = _read(path)
    is_few = text.isdigit() and int(text) < wanted
    return Finding(what, "slow" if is_few else "ok", f"up to {text or '?'}", remedy if is_few else "")


def _extension() -> Finding:
    try:
        importlib.import_module("stillframe.engine._fork")
    except ImportError as error:
        remedy = "Install stillframe again, with gcc and Python's headers at hand."
        return Finding("C extension", "wrong", str(error), remedy)
    return Finding("C extension", "ok", "loads")


def _server(url: str | None, token: str | None) -> Finding:
    try:
        client = running.existing(url, token)
        if client is None:
            return Finding("server", "ok", "none runs; the first verb that needs one starts it")
        with client:
            health = client.health()
    except StillframeError as error:
        return Finding("server", "wrong", error.message, error.hint)
    store = health.get("store") or {}
    if store.get("trouble"):
        what = f"at {client.url}: states are not stored: {store['trouble']}"
        return Finding("server", "wrong", what, "Cells run on; what is stored is safe. Make room, or mend the disk.")
    counted = [key for key in ("states", "processes", "executions") if key in health]
    facts = ", ".join(f"{health[key]} {key}" for key in counted)
    return Finding("server", "ok", f"{health.get('status')} at {client.url}: {facts}")


def _infinite(number: int) -> str:
    return "any number" if number == resource.RLIM_INFINITY else str(number)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""

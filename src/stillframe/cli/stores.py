"""`still doctor STORE`: what is wrong in a store, and what was mended."""

from __future__ import annotations

from rich.text import Text

from stillframe import show
from stillframe.cli.moving import Bar
from stillframe.cli.terminal import Rows, console, print_json

_STYLES = {"note": "dim", "warning": "yellow", "error": "bold red", "mended": "green"}


def check(place: str, *, repair: bool, quick: bool, as_json: bool) -> int:
    """Look through the store, print what was found, and return the exit code: 1 where an error is left."""
    from stillframe.store.check import check as look_through

    with Bar(f"look through {place}", is_counting=True).shown() as bar:
        findings = look_through(place, repair=repair, verify=not quick, progress=bar.done)
    left = any(finding.weight == "error" and not finding.is_repaired for finding in findings)
    if as_json:
        print_json(findings)
        return int(left)
    rows = Rows("", "")
    for finding in findings:
        word = "mended" if finding.is_repaired else finding.weight
        remedy = "" if finding.is_repaired else finding.remedy
        rows.add(Text(word, style=_STYLES[word]), show.printable(f"{finding.what} {remedy}".rstrip()))
    out = console()
    rows.print(out)
    if not findings:
        out.print(Text("ok    every state of the store can be restored", style="green"))
    return int(left)

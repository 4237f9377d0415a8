"""Matches and searches of regular expressions."""

from __future__ import annotations

import re

from stillframe.capture import rebuild_builtins
from stillframe.capture.pickler import CannotReduce, Pickler, reducer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@reducer(re.Match)
def _reduce_match(_pickler: Pickler, match: Any) -> tuple[Any, ...]:
    pattern, string, start, end = match.re, match.string, match.pos, match.endpos
    for how in ("search", "match", "fullmatch"):
        for begin in (start, match.start()):
            found = getattr(pattern, how)(string, begin, end)
            if found is not None and found.regs == match.regs:
                return rebuild_builtins.match, (pattern, how, string, begin, end)
    raise CannotReduce(
        match, "the same match is not found again", "Keep what you need of it: its groups, its span."
    )


@reducer(type(re.compile("").scanner("")))  # type: ignore[attr-defined]
def _reduce_scanner(pickler: Pickler, scanner: Any) -> Any:
    """A search in progress (`re.finditer`) tells where it is only by going on. In a copy of the process, which ends
    after the capture, it may."""
    if not pickler.options.forked:
        return NotImplemented
    known = _SEARCHES.get(id(scanner))
    if known is None:
        known = _SEARCHES[id(scanner)] = scanner, _where(scanner)
    return rebuild_builtins.scanner, (scanner.pattern, *known[1])


_SEARCHES: dict[int, tuple[Any, tuple[Any, ...]]] = {}
"""In such a copy: the searches that have been asked, by id, each with its answer."""


def _where(scanner: Any) -> tuple[Any, ...]:
    """Text, place where it began, place where it ends, and the number of matches that a search has given."""
    coming = scanner.search()
    if coming is None:
        return "" if isinstance(scanner.pattern.pattern, str) else b"", 0, 0, -1
    again = scanner.pattern.scanner(coming.string, coming.pos, coming.endpos)
    given = 0
    while (found := again.search()) is not None:
        if found.regs == coming.regs:
            return coming.string, coming.pos, coming.endpos, given
        given += 1
    raise CannotReduce(
        scanner, "it has searched in more than one way", "Take a list of it: list(re.finditer(…))."
    )

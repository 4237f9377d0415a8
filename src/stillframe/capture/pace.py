"""When the next capture begins: so early that it is on disk before the last one's moment is an interval ago.

    moment of the last        due            on disk
    ──────┼────────────────────┼────────────────┼─────►
          ├────────────────── interval ─────────┤
                               ├─ expected ─────┤

Invariants:
  * What is expected is the longest of the last captures, and some more: from when it was due, with all that put it
    off, to when its file was in its place.
  * Behind each capture the program has a share of the interval without a copy, however long captures take.
"""

from __future__ import annotations

from collections import deque

_REMEMBERED = 8
_MARGIN = 1.25
_REST = 0.25
"""The share of the interval that is the program's own between two captures."""
_FIRST = 0.25
"""The share of the interval that a capture is expected to take before there was one."""


class Pace:
    """Of captures every `every_s` seconds. Times are of time.monotonic()."""

    def __init__(self, every_s: float, now_s: float) -> None:
        self.every_s = every_s
        self.due_s = now_s + every_s * (1 - _FIRST)
        """When the next capture begins."""
        self._took_s: deque[float] = deque(maxlen=_REMEMBERED)

    def made(self, began_s: float, moment_s: float, done_s: float) -> None:
        """A capture of the program as it was at `moment_s` is on disk at `done_s`. It was begun at `began_s`, since it
        was due or since it was asked for."""
        self._took_s.append(done_s - min(began_s, self.due_s))
        expected_s = _MARGIN * max(self._took_s)
        self.due_s = max(moment_s + self.every_s - expected_s, done_s + _REST * self.every_s)

    def failed(self, began_s: float, done_s: float) -> None:
        """None could be made: the next try is an interval after this one."""
        self.due_s = max(began_s + self.every_s, done_s + _REST * self.every_s)

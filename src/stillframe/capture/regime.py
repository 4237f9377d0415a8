"""How a program is captured under `still run`, as a value: it travels in the snapshot's header.

Invariant: what resumes a snapshot needs nothing but the file to go on capturing as before.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import msgspec

from stillframe.capture.snapshot import Header

FACT = "run"
"""The header's fact that holds the regime, as JSON."""
EXIT_FACT = "exit code"
"""The header's fact of a program whose main thread has ended, while others go on."""
ENDING = frozenset(
    {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGALRM, signal.SIGXCPU}
)
"""Signals behind whose capture the program ends, as it would have without us."""


class Regime(msgspec.Struct, frozen=True, kw_only=True):
    """When captures are made, and where they go."""

    to: str
    """The snapshot's file, absolute."""
    every_s: float | None = None
    """None: only when a signal asks."""
    signals: tuple[int, ...] = ()
    is_kept: bool = False
    """The file stays when the program has ended well."""
    is_quiet: bool = False
    """Only what goes wrong is said."""
    stand_ins: bool = False
    """Builtin functions that call back are done by Python from the program's first line on."""

    @classmethod
    def of_text(cls, text: str) -> Regime:
        """From the text that `as_text` made."""
        return msgspec.json.decode(text, type=cls)

    def as_text(self) -> str:
        """As JSON, on one line."""
        return msgspec.json.encode(self).decode()

    def shown(self) -> str:
        """The file, as people would name it from here."""
        relative = os.path.relpath(self.to)
        return relative if not relative.startswith("..") else self.to


def add_to(header: Header, regime: Regime) -> None:
    """Have whoever resumes the snapshot know how it was made."""
    header.facts[FACT] = regime.as_text()


def regime_of(header: Header, path: str | os.PathLike[str]) -> Regime | None:
    """The regime to go on under when the file `path` is resumed; None for a snapshot that the program made itself."""
    text = header.facts.get(FACT)
    if text is None:
        return None
    # The file may have been moved, or come from another machine: what is resumed is what is written again.
    return msgspec.structs.replace(Regime.of_text(text), to=str(Path(path).resolve()))

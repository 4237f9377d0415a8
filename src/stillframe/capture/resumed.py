"""What the call that captured a program returns in the program that goes on."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime
    from typing import Any, NamedTuple, Protocol
else:
    from stillframe.light import NamedTuple

    Protocol = object


class Made(Protocol):
    """A header of what was captured."""

    @property
    def where(self) -> str:
        """`file:line in function`."""

    @property
    def created(self) -> str:
        """In UTC, as ISO 8601."""


def now() -> str:
    """This moment, as headers have it. What datetime would say; but it need not be imported for that."""
    now_s = time.time()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now_s))}.{int(now_s % 1 * 1000):03}+00:00"


class Resumed(NamedTuple):
    """What snapshot() returns in a program that was resumed. It is true; None, in the program itself, is not."""

    value: Any
    """What was handed in at the resume, or None."""
    where: str
    """`file:line in function` of the call that made the snapshot."""
    captured: str
    """When, in UTC, as ISO 8601."""
    resumed: str
    """The same of the resume."""

    @classmethod
    def of(cls, header: Made, value: Any) -> Resumed:
        """For what was captured under this header, and is resumed now."""
        return cls(value, header.where, header.created, now())

    @property
    def captured_at(self) -> datetime:
        """When it was captured."""
        return _moment(self.captured)

    @property
    def resumed_at(self) -> datetime:
        """When it was resumed."""
        return _moment(self.resumed)


def _moment(text: str) -> datetime:
    from datetime import datetime

    return datetime.fromisoformat(text)

"""What each state of the soak must answer, worked out on this side of the wire.

A slot is one named state whose name is moved again and again. Readers run in it while its one writer moves
it, so a reader cannot know which version it meets; but the answer says its serial, and for each serial
there is exactly one right answer.

Invariants:
  * A serial is used for one attempt only. The answer with the serial of a failed attempt is wrong for ever.
  * An answer's serial is never older than the one that was current when the request was sent.
"""

from __future__ import annotations

import ast
import itertools
import threading
from dataclasses import dataclass, field

SETUP = """
import os, time
slot, serial, counter = {slot}, {serial}, 0
items = list(range({slot}))
view, table = items, {{}}
def total():
    return sum(items) + counter
class Tally:
    seen = 0
print((slot, serial, counter, len(view), total(), sorted(table.items()), Tally.seen))
total()
"""

STEP = """
counter += {add}
items.append({add})
table[{add} % 7] = counter
Tally.seen += 1
serial = {serial}
print((slot, serial, counter, len(view), total(), sorted(table.items()), Tally.seen))
total()
"""

SAME = "serial"
"""In place of a number: the step keeps the serial of the state it runs in."""

TELL_PID = "\nprint('pid', os.getpid(), flush=True)\n"

ENDLESS = ["while True: pass", "time.sleep(3600)", "while True: time.sleep(0.01)"]
"""Loops that an interrupt ends at once."""

DEAF = [
    "sum(range(10**13))",
    "while True:\n    try:\n        time.sleep(3600)\n    except BaseException: pass",
]
"""Loops that ignore an interrupt: the grace has to pass."""


class WrongAnswer(Exception):
    """The kernel said something that the oracle rules out."""


@dataclass(frozen=True)
class Value:
    """The content of a state."""

    slot: int
    serial: int
    counter: int
    items: tuple[int, ...]
    table: tuple[tuple[int, int], ...]
    seen: int

    @classmethod
    def new(cls, slot: int, serial: int) -> Value:
        return cls(slot, serial, 0, tuple(range(slot)), (), 0)

    def step(self, add: int, serial: int | None = None) -> Value:
        """What STEP makes of it."""
        counter = self.counter + add
        table = {**dict(self.table), add % 7: counter}
        return Value(
            self.slot,
            self.serial if serial is None else serial,
            counter,
            (*self.items, add),
            tuple(sorted(table.items())),
            self.seen + 1,
        )

    @property
    def total(self) -> int:
        return sum(self.items) + self.counter

    @property
    def printed(self) -> str:
        length, pairs = len(self.items), list(self.table)
        return f"{(self.slot, self.serial, self.counter, length, self.total, pairs, self.seen)}\n"


@dataclass
class Slot:
    """One name and its states so far. `lock` guards the fields; who holds `writing` may move the name."""

    number: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    writing: threading.Lock = field(default_factory=threading.Lock)
    values: dict[int, Value] = field(default_factory=dict)
    failed: set[int] = field(default_factory=set)
    sighted: set[int] = field(default_factory=set)
    current: int = 0
    is_missing: bool = True
    deletions: int = 0
    serials: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def name(self) -> str:
        return f"slot {self.number}/état"

    @property
    def value(self) -> Value:
        """The newest value. Only for who holds `writing`."""
        return self.values[self.current]

    def begin(self, value: Value) -> None:
        """From now on a reader may meet this value."""
        with self.lock:
            self.values[value.serial] = value

    def made(self, value: Value) -> None:
        with self.lock:
            self.current, self.is_missing = value.serial, False

    def fail(self, value: Value) -> None:
        with self.lock:
            self.failed.add(value.serial)
            if value.serial in self.sighted:
                raise WrongAnswer(f"{self.name}: serial {value.serial} failed, but was met in the state")

    def delete(self) -> None:
        """From now on a reader may find nothing."""
        with self.lock:
            self.is_missing = True
            self.deletions += 1

    def look(self) -> Look:
        """What is certain before a reader's request."""
        with self.lock:
            return Look(self, self.current, self.is_missing, self.deletions)


@dataclass(frozen=True)
class Look:
    """What was known of a slot when a request was sent; rules on what came back."""

    slot: Slot
    serial: int
    was_missing: bool
    deletions: int

    def allow_not_found(self) -> None:
        with self.slot.lock:
            if not self.was_missing and self.deletions == self.slot.deletions:
                raise WrongAnswer(f"{self.slot.name} was not found, but nobody deleted it")

    def value_of(self, printed: str) -> Value:
        """The value of the state that was met, by the serial in the answer."""
        try:
            number, serial = ast.literal_eval(printed)[:2]
        except (SyntaxError, ValueError, TypeError) as error:
            raise WrongAnswer(f"{self.slot.name} printed {printed!r}") from error
        with self.slot.lock:
            self.slot.sighted.add(serial)
            is_possible = serial in self.slot.values and serial not in self.slot.failed
            if number != self.slot.number or not is_possible or serial < self.serial:
                raise WrongAnswer(f"{self.slot.name} answered as slot {number}, serial {serial}")
            return self.slot.values[serial]

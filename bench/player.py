"""One client of the soak: what it does to the slots, and what it insists on.

Of every ten executions one is interrupted and one has its process killed; the others read (branch, look,
delete the branch) or write (move the slot's name to a new state).
"""

from __future__ import annotations

import http.client
import itertools
import os
import random
import signal
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench.oracle import DEAF, ENDLESS, SAME, SETUP, STEP, TELL_PID, Look, Slot, Value, WrongAnswer
from bench.subjects import TOKEN, result_text
from bench.wire import Rest

DEAF_RATIO = 0.05
WRITE_RATIO = 0.4
KINDS_OF_ENDING = {"interrupt": ("interrupted", "KeyboardInterrupt"), "kill": ("died", "StateProcessDied")}


@dataclass
class Player:
    """A client with two connections: one for executions, one to interrupt them."""

    number: int
    url: str
    server_pid: int
    slots: list[Slot]
    seed: int
    begun: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(f"{self.seed}/{self.number}")
        self.ids = itertools.count()
        self.connect()

    def connect(self) -> None:
        self.rest, self.control = Rest(self.url, TOKEN), Rest(self.url, TOKEN)

    def close(self) -> None:
        self.rest.close()
        self.control.close()

    def play(self, executions: int) -> None:
        """Begins `executions` of them. A wrong answer is noted and the game goes on."""
        target = self.begun["executions"] + executions
        while self.begun["executions"] < target:
            try:
                self.turn(self.random.choice(self.slots))
            except WrongAnswer as error:
                self.wrong.append(str(error))
            except (OSError, http.client.HTTPException, ValueError, KeyError):
                self.wrong.append(traceback.format_exc(limit=3))
                self.close()
                self.connect()

    def turn(self, slot: Slot) -> None:
        """The next thing to do, to this slot."""
        for how in KINDS_OF_ENDING:
            if self.begun[how] * 10 < self.begun["executions"]:
                return self.end(slot, how)
        if self.random.random() < WRITE_RATIO and slot.writing.acquire(blocking=False):
            try:
                return self.random.choice([self.write, self.write, self.write, self.remake, self.move])(slot)
            finally:
                slot.writing.release()
        return self.random.choice([self.read, self.read, self.explore])(slot)

    def make(self, slot: Slot) -> None:
        """The first state of a slot."""
        value = Value.new(slot.number, next(slot.serials))
        slot.begin(value)
        code = SETUP.format(slot=slot.number, serial=value.serial)
        self._expect(self._execute(code, "initial", slot.name), value)
        slot.made(value)

    def read(self, slot: Slot) -> None:
        """Runs in the slot's state, changes everything there, and throws the branch away."""
        look, add = slot.look(), self._add()
        name = self._fresh() if self.random.random() < 0.5 else None
        answer = self._execute(STEP.format(add=add, serial=SAME), slot.name, name)
        if self._is_missing(answer, look):
            return
        self._expect(answer, look.value_of(printed(answer)).step(add))
        self._delete(answer["state_name"])
        self.done["read"] += 1

    def explore(self, slot: Slot) -> None:
        """A branch, renamed, and a branch of that one; then both go, the older one first."""
        look, adds = slot.look(), [self._add(), self._add()]
        first, renamed, second = self._fresh(), self._fresh(), self._fresh()
        answer = self._execute(STEP.format(add=adds[0], serial=SAME), slot.name, first)
        if self._is_missing(answer, look):
            return
        value = look.value_of(printed(answer)).step(adds[0])
        self._expect(answer, value)
        self._rename(first, renamed)
        answer = self._execute(STEP.format(add=adds[1], serial=SAME), renamed, second)
        self._expect(answer, value.step(adds[1]))
        self._delete(renamed)
        self._delete(second)
        self.done["explore"] += 1

    def write(self, slot: Slot) -> None:
        """The name moves to the state that the cell makes."""
        add = self._add()
        value = slot.value.step(add, next(slot.serials))
        slot.begin(value)
        self._expect(self._execute(STEP.format(add=add, serial=value.serial), slot.name, slot.name), value)
        slot.made(value)
        self.done["write"] += 1

    def remake(self, slot: Slot) -> None:
        """The state is deleted and begun anew."""
        slot.delete()
        self._delete(slot.name)
        self.make(slot)
        self.done["remake"] += 1

    def move(self, slot: Slot) -> None:
        """A branch takes the place of the state by a rename."""
        add, name = self._add(), self._fresh()
        value = slot.value.step(add, next(slot.serials))
        slot.begin(value)
        self._expect(self._execute(STEP.format(add=add, serial=value.serial), slot.name, name), value)
        slot.delete()
        self._delete(slot.name)
        self._rename(name, slot.name)
        slot.made(value)
        self.done["move"] += 1

    def end(self, slot: Slot, how: str) -> None:
        """An execution without an end is interrupted, or its process is killed. No state comes of it."""
        self.begun[how] += 1
        self.begun["executions"] += 1
        with slot.writing:
            # As the writer, so that the name it would have moved is known to have stayed.
            value = slot.value.step(self._add(), next(slot.serials))
            slot.begin(value)
            is_deaf = how == "interrupt" and self.random.random() < DEAF_RATIO
            loop = self.random.choice(DEAF if is_deaf else ENDLESS)
            name = self.random.choice([slot.name, self._fresh()])
            code = STEP.format(add=value.items[-1], serial=value.serial) + TELL_PID + loop
            body = {"code": code, "exec_id": self._id(), "state_name": slot.name, "new_state_name": name}
            result, text = None, ""
            for event, data in self.rest.stream("/execute", body):
                if event == "output":
                    before, text = text, text + data.get("text", "")
                    if pid_in(text) and not pid_in(before):
                        self._strike(how, str(body["exec_id"]), pid_in(text))
                elif event == "result":
                    result = data
            error = (result or {}).get("error") or {}
            if (error.get("kind"), error.get("ename")) != KINDS_OF_ENDING[how]:
                raise WrongAnswer(f"{how} of {loop!r}: the result was {result}")
            if not text.startswith(value.printed):
                raise WrongAnswer(f"{slot.name} streamed {text!r}, not {value.printed!r}")
            slot.fail(value)
        self.done[how] += 1

    def check(self, slot: Slot) -> None:
        """One more read when nobody else plays: exactly the last value."""
        answer = self._execute(STEP.format(add=1, serial=SAME), slot.name, None)
        self._expect(answer, slot.value.step(1))
        self._delete(answer["state_name"])

    def _strike(self, how: str, exec_id: str, pid: int) -> None:
        if how == "interrupt":
            status, answer = self.control.ask("POST", "/interrupt", {"exec_id": exec_id})
            if status != 200 or answer != {"interrupted": True}:
                raise WrongAnswer(f"the interrupt of a running cell answered {status} {answer}")
        else:
            # The number came over the wire: nothing but the server's own is ever killed.
            if self.server_pid not in ancestors(pid):
                raise WrongAnswer(f"process {pid} is not one of the server's")
            os.kill(pid, signal.SIGKILL)

    def _execute(self, code: str, source: str, name: str | None) -> dict[str, Any]:
        body: dict[str, Any] = {"code": code, "exec_id": self._id(), "state_name": source}
        if name is not None:
            body["new_state_name"] = name
        self.begun["executions"] += 1
        status, answer = self.rest.ask("POST", "/execute", body)
        self.seconds.append(self.rest.seconds)
        if status != 200:
            raise WrongAnswer(f"execute answered {status} {answer}")
        if name is not None and not answer["error"] and answer["state_name"] != name:
            raise WrongAnswer(f"asked for {name}, got {answer['state_name']}")
        return dict(answer)

    def _expect(self, answer: dict[str, Any], value: Value) -> None:
        told = (printed(answer), result_text(answer["output"]), answer["error"])
        if told != (value.printed, str(value.total), None):
            raise WrongAnswer(f"got {told}, expected {value.printed!r} and {value.total}")

    def _is_missing(self, answer: dict[str, Any], look: Look) -> bool:
        """Whether the slot was just being remade, which is then an answer of its own kind."""
        if (answer["error"] or {}).get("ename") != "StateNotFound":
            return False
        look.allow_not_found()
        self.done["not found, rightly"] += 1
        return True

    def _delete(self, name: str) -> None:
        status, answer = self.rest.ask("DELETE", f"/states/{quote(name, safe='')}")
        if status != 200:
            raise WrongAnswer(f"delete of {name} answered {status} {answer}")

    def _rename(self, name: str, new: str) -> None:
        status, answer = self.rest.ask("PATCH", f"/states/{quote(name, safe='')}", {"name": new})
        if status != 200:
            raise WrongAnswer(f"rename of {name} to {new} answered {status} {answer}")

    def _add(self) -> int:
        return self.random.randrange(1, 1000)

    def _id(self) -> str:
        return f"player {self.number}, {next(self.ids)}"

    def _fresh(self) -> str:
        return f"branch {self.number}.{next(self.ids)}"


def printed(answer: dict[str, Any]) -> str:
    """What a cell wrote to its standard output."""
    streams = [output for output in answer["output"] if output["output_type"] == "stream"]
    return "".join(output["text"] for output in streams if output["name"] == "stdout")


def pid_in(text: str) -> int:
    """The process id that the cell told, once its line is complete; else 0."""
    _, found, after = text.partition("\npid ")
    return int(after.split("\n")[0]) if found and "\n" in after else 0


def ancestors(pid: int) -> list[int]:
    """The processes above a process."""
    found = []
    while pid > 1:
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            break
        found.append(pid)
    return found

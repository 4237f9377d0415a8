"""The server is killed at random moments under load, and started again on the same store.

What counts is what clients were told: the event `state_stored` is a promise, the reply to an execution is not.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from support.stored import Stored, stored

CRASHES = int(os.environ.get("SF_STORE_CRASHES", "8"))
"""How many times the server is killed. 300 take some 15 minutes."""
CLIENTS = 2
AHEAD = 5
"""States that may be made before the oldest of them is stored: so captures are always under way."""


class Load:
    """Clients that execute cells until the server is gone, and what they were told."""

    def __init__(self, server: Stored, seed: int) -> None:
        self.server = server
        self.random = random.Random(seed)
        self.values: dict[str, int] = {}
        """What `h` is in each state, by id, as its reply said."""
        self.names: dict[str, str] = {}
        self.acknowledged: set[str] = set()
        """The ids of the states that were called stored."""
        self.lost = 0
        """States that were not called stored when the server was killed."""
        self._changed = threading.Condition()
        self._count = 0
        self._fatal = 0
        """With which promise the server is killed; 0: some moments later."""
        self._is_over = False

    def run_until_killed(self) -> None:
        """Run cells, and kill the server some moments after some states were stored."""
        self._is_over = False
        wanted = len(self.acknowledged) + self.random.randrange(1, 5)
        is_at_once = self.random.random() < 0.5
        self._fatal = wanted if is_at_once else 0
        sources = sorted(self.acknowledged & set(self.values))
        threads = [threading.Thread(target=self._listen)]
        for _ in range(CLIENTS):
            state = self.random.choice(sources) if sources and self.random.random() < 0.7 else None
            threads.append(threading.Thread(target=self._execute, args=(state, self.random.random())))
        for thread in threads:
            thread.start()
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.acknowledged) >= wanted, 60), "states are stored"
        if not is_at_once:
            time.sleep(self.random.uniform(0, 0.05))  # any moment
            self.server.process.kill()
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()

    def _execute(self, state: str | None, seed: float) -> None:
        choose = random.Random(seed)
        while not self._is_over:
            with self._changed:
                self._count += 1
                new = f"r{self._count}"
            number = choose.randrange(1009)
            source = "initial" if state is None else self.names[state]
            value = number if state is None else (self.values[state] * 31 + number) % 1009
            code = (
                f"h = {number}\nlog = bytearray(50_000)"
                if state is None
                else f"h = (h * 31 + {number}) % 1009"
            )
            try:
                reply = self.server.run(f"{code}\nlog[h] += 1", source, new)
            except (OSError, AssertionError, ValueError):
                return
            if reply["error"] is not None:  # the kernel is ending
                return
            with self._changed:
                made = reply["state_id"]
                self.values[made], self.names[made] = value, new
                state = made if choose.random() < 0.7 else state
                self._changed.wait_for(self._may_go_on, 60)

    def _may_go_on(self) -> bool:
        return self._is_over or len(self.values.keys() - self.acknowledged) - self.lost < AHEAD

    def _listen(self) -> None:
        try:
            with self.server.events() as events:
                for event in events:
                    if event.name == "state_stored":
                        with self._changed:
                            self.acknowledged.add(event.data["state_id"])
                            if (
                                len(self.acknowledged) == self._fatal
                            ):  # what was promised a moment ago must hold
                                self.server.process.kill()
                            self._changed.notify_all()
        except (OSError, AssertionError, ValueError):
            return


@pytest.mark.slow
@pytest.mark.timeout(60 + 10 * CRASHES)
def test_killed_at_any_moment_no_state_that_was_called_stored_is_missing_or_wrong(tmp_path: Path) -> None:
    with stored(tmp_path, "--process-budget", "12") as server:
        load = Load(server, seed=CRASHES)
        for crash in range(CRASHES):
            before = set(load.acknowledged)
            load.run_until_killed()
            load.lost = len(load.values.keys() - load.acknowledged)
            server.restart(signal.SIGKILL)
            nodes = {node["id"]: node for node in server.tree()["states"]}
            assert load.acknowledged <= nodes.keys(), f"after crash {crash}"
            for state in load.acknowledged & load.values.keys():
                assert nodes[state]["stored"] and nodes[state]["names"] == [load.names[state]]
            known = load.acknowledged & load.values.keys()
            for state in sorted(known - before) + load.random.sample(
                sorted(known & before), min(2, len(known & before))
            ):
                assert server.value(load.names[state], "h") == load.values[state], f"after crash {crash}"
    files = [path for path in (server.store / "blobs").rglob("*") if path.is_file()]
    assert files and all(path.read_bytes()[:16] == b"stillframe blob\n" for path in files)

"""A server with a store: started, killed and started again on the same one."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from support.processes import until
from support.server import Server


class Stored(Server):
    """A server whose states are in a directory beside its own. The tree outlives it."""

    def __init__(self, place: Path, *arguments: str, limits: dict[str, float] | None = None) -> None:
        cwd = place / "cwd"
        cwd.mkdir(exist_ok=True)
        self.store = place / "store"
        super().__init__(cwd, "--store", str(self.store), *arguments, limits=limits)

    def is_stored(self, *names: str) -> bool:
        """Whether all these states are; all there are, where none is named."""
        nodes = self.tree()["states"]
        wanted = [node for node in nodes if node["names"] and (not names or set(node["names"]) & set(names))]
        return len(wanted) >= len(names) and all(node["stored"] for node in wanted)

    def wait_stored(self, *names: str) -> None:
        try:
            until(lambda: self.is_stored(*names), 60, f"{names or 'all states'} are stored")
        except AssertionError as error:
            nodes = [(node["names"], node["stored"], node["obstacles"]) for node in self.tree()["states"]]
            raise AssertionError(
                f"{error}: {nodes} {self.tree()['store']} {self.stderr_path.read_text()}"
            ) from None

    def processes_of(self, name: str) -> int:
        return int(self.node(name)["processes"])

    def restart(self, number: int = signal.SIGTERM) -> None:
        """End the server by a signal, see that nothing of it is left, and start it anew."""
        os.kill(self.process.pid, number)
        self.process.wait(30)
        until(lambda: not self.left(), 5, "the end of every process of the server")
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.start()

    def value(self, name: str, variable: str) -> object:
        """The JSON of a variable; AssertionError where there is none."""
        status, found = self.call("GET", f"/states/{name}/variables/{variable}")
        assert status == 200, found
        return found["json"]


@contextlib.contextmanager
def stored(place: Path, *arguments: str, limits: dict[str, float] | None = None) -> Iterator[Stored]:
    server = Stored(place, *arguments, limits=limits)
    server.start()
    try:
        yield server
    finally:
        server.stop()

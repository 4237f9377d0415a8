"""The kernels that are measured, behind one small interface, each in a process of its own.

Invariants:
  * A subject is started with the same interpreter flags, an empty directory and an environment without
    the user's settings; it ends with close(), whatever it did.
  * execute() returns the round trip's seconds and raises where the answer is not the one expected: a
    wrong answer is never timed.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from bench.wire import Rest

TOKEN = "bench"
START_S = 60.0
LIVE_COPIES_BYTES = 10**9
"""What the states that snapshot-kernel keeps during one measure may take: each is a whole copy."""


class Wrong(Exception):
    """A subject gave another answer than the cell's."""


class Subject(Protocol):
    """A kernel under measurement. `room` is how many states of a size it may hold at once."""

    name: str
    own: Process

    def execute(self, code: str, source: str, new: str, expect: str | None = None) -> float: ...

    def delete(self, name: str) -> None: ...

    def room(self, size_bytes: int) -> int: ...

    def answered(self) -> float: ...

    def close(self) -> None: ...


class Process:
    """A child process in an empty directory, with a clean environment; its errors are kept for the report."""

    def __init__(self, command: list[str], *, has_stdin: bool = False) -> None:
        self.directory = tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)
        self.errors = open(os.path.join(self.directory.name, "errors"), "w+b")  # noqa: SIM115
        home = self.directory.name
        environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("PYTHON", "JUPYTER", "IPYTHON", "XDG_", "MPL", "STILL"))
        }
        environment |= {"HOME": home, "TMPDIR": home, "IPYTHONDIR": home, "JUPYTER_RUNTIME_DIR": home}
        self.started = time.perf_counter()
        self.popen = subprocess.Popen(
            command,
            cwd=home,
            env=environment,
            stdin=subprocess.PIPE if has_stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.errors,
        )

    def line(self, timeout_s: float = START_S) -> bytes:
        """The next line of its standard output."""
        assert self.popen.stdout is not None
        ready, _, _ = select.select([self.popen.stdout], [], [], timeout_s)
        line: bytes = self.popen.stdout.readline() if ready else b""
        if not line:
            raise Wrong(f"{self.popen.args!r} said nothing in {timeout_s} s; its errors: {self.complaints()}")
        return line

    def complaints(self) -> str:
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")[-2000:]

    def close(self) -> None:
        self.popen.terminate()
        try:
            self.popen.wait(10)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        for pipe in (self.popen.stdin, self.popen.stdout, self.errors):
            if pipe is not None:
                pipe.close()
        self.directory.cleanup()


class RestSubject:
    """A kernel that speaks the routes of snapshot-kernel; stillframe and snapshot-kernel both do."""

    name = ""

    def __init__(self, own: Process, url: str) -> None:
        self.own = own
        self.url = url
        self.rest = Rest(url, TOKEN)
        self._ids = itertools.count()
        self._answered = own.started

    def connect(self) -> Rest:
        """One more connection, for requests at the same time."""
        return Rest(self.url, TOKEN)

    def execute(self, code: str, source: str, new: str, expect: str | None = None) -> float:
        body = {
            "code": code,
            "exec_id": f"b{next(self._ids)}",
            "state_name": source,
            "new_state_name": new,
        }
        return self.execute_over(self.rest, body, expect)

    def execute_over(self, rest: Rest, body: dict[str, Any], expect: str | None) -> float:
        status, answer = rest.ask("POST", "/execute", body)
        if status != 200 or answer["error"] or answer["state_name"] != body["new_state_name"]:
            raise Wrong(f"{self.name} answered {status} {answer}")
        if expect is not None and result_text(answer["output"]) != expect:
            raise Wrong(f"{self.name} gave {answer['output']} where {expect} was expected")
        self._answered = time.perf_counter()
        return rest.seconds

    def answered(self) -> float:
        """When the last answer was here."""
        return self._answered

    def delete(self, name: str) -> None:
        self.rest.ask("DELETE", f"/states/{name}")

    def close(self) -> None:
        self.rest.close()
        self.own.close()


class Stillframe(RestSubject):
    """This project's server."""

    name = "stillframe"

    @classmethod
    def start(cls, python: str) -> Stillframe:
        command = [python, "-P", "-m", "stillframe.serve", "--bind", "127.0.0.1:0", "--token", TOKEN]
        own = Process(command)
        try:
            return cls(own, json.loads(own.line())["url"])
        except BaseException:
            own.close()
            raise

    def room(self, size_bytes: int) -> int:
        return 40

    def nodes(self, *, memory: bool = False) -> list[dict[str, Any]]:
        _, tree = self.rest.ask("GET", f"/tree?memory={'true' if memory else 'false'}")
        return list(tree["states"])


class SnapshotKernel(RestSubject):
    """snapshot-kernel: states as deep copies in one process."""

    name = "snapshot-kernel"

    @classmethod
    def start(cls, python: str) -> SnapshotKernel:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        own = Process([python, "-P", "-m", "snapshot_kernel.main", "--bind", address, "--token", TOKEN])
        while time.perf_counter() < own.started + START_S and own.popen.poll() is None:
            # It says nothing when it is ready, so it is asked.
            with contextlib.suppress(ConnectionRefusedError):
                return cls(own, f"http://{address}")
            time.sleep(0.002)
        own.close()
        raise Wrong("snapshot-kernel did not start")

    def room(self, size_bytes: int) -> int:
        return min(40, max(2, LIVE_COPIES_BYTES // max(size_bytes, 1)))


class IPyKernel:
    """ipykernel, asked with jupyter_client's blocking client. It has one state, the newest."""

    name = "ipykernel"

    def __init__(self, own: Process, connection_file: str) -> None:
        from jupyter_client import BlockingKernelClient

        self.own = own
        self.client = BlockingKernelClient(connection_file=connection_file)
        self._answered = own.started
        self.client.load_connection_file()
        self.client.start_channels()

    @classmethod
    def start(cls, python: str) -> IPyKernel:
        from jupyter_client import write_connection_file

        path, _ = write_connection_file(str(Path(tempfile.mkdtemp(prefix="bench-")) / "kernel.json"))
        kernel = cls(Process([python, "-P", "-m", "ipykernel_launcher", "-f", path]), path)
        try:
            # A request waits in the socket until the kernel is there: the first answer, at the earliest.
            kernel.client.execute("x = 1", store_history=False)
            kernel.client.get_shell_msg(timeout=START_S)
            kernel._answered = time.perf_counter()
            kernel.client.wait_for_ready(timeout=START_S)
        except BaseException:
            kernel.close()
            raise
        return kernel

    def answered(self) -> float:
        """When the first answer was here."""
        return self._answered

    def execute(self, code: str, source: str, new: str, expect: str | None = None) -> float:
        """Until both the result and the reply are here, as a REST reply holds both."""
        started = time.perf_counter()
        wanted = self.client.execute(code, store_history=False, allow_stdin=False)
        text = None
        if expect is not None:
            text = self._iopub(wanted, "execute_result")["data"]["text/plain"]
        reply = self.client.get_shell_msg(timeout=START_S)
        seconds = time.perf_counter() - started
        while self._iopub(wanted, "status")["execution_state"] != "idle":
            pass
        if reply["content"]["status"] != "ok" or text != expect:
            raise Wrong(f"ipykernel answered {reply['content']} with {text}")
        return seconds

    def _iopub(self, wanted: str, kind: str) -> dict[str, Any]:
        """The content of the next message of this kind that answers the request."""
        while True:
            message = self.client.get_iopub_msg(timeout=START_S)
            if message["parent_header"].get("msg_id") == wanted and message["msg_type"] == kind:
                return dict(message["content"])

    def delete(self, name: str) -> None:
        """There is only one state."""

    def room(self, size_bytes: int) -> int:
        return 40

    def close(self) -> None:
        self.client.stop_channels()
        self.own.close()
        connection = Path(self.client.connection_file)
        connection.unlink(missing_ok=True)
        connection.parent.rmdir()


class Floor:
    """A plain Python process with the same objects, which forks and hears one byte from the child."""

    name = "bare fork"

    def __init__(self, python: str) -> None:
        self.own = Process([python, "-P", str(Path(__file__).with_name("floor.py"))], has_stdin=True)

    def hold(self, code: str) -> None:
        """Makes the objects."""
        self._say(code)

    def fork(self) -> float:
        return self._say("")

    def _say(self, code: str) -> float:
        assert self.own.popen.stdin is not None
        self.own.popen.stdin.write(json.dumps(code).encode() + b"\n")
        self.own.popen.stdin.flush()
        return float(json.loads(self.own.line()))

    def close(self) -> None:
        self.own.close()


def result_text(outputs: list[dict[str, Any]]) -> str | None:
    """The text of the execute_result among the outputs."""
    for output in outputs:
        if output["output_type"] == "execute_result":
            return str(output["data"]["text/plain"])
    return None


def starters(ours: str, peers: str = sys.executable) -> dict[str, Callable[[], Any]]:
    """How each subject is started, by name."""
    return {
        "stillframe": lambda: Stillframe.start(ours),
        "snapshot-kernel": lambda: SnapshotKernel.start(peers),
        "ipykernel": lambda: IPyKernel.start(peers),
    }

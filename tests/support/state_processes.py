"""State processes without a supervisor: the protocol, spoken by hand and one message at a time.

Invariants:
  * stop() leaves no process: all die of the lifeline, and are reaped here, by their pids.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from stillframe.engine import protocol
from stillframe.engine.protocol import (
    Adopt,
    Born,
    Broken,
    Capture,
    Captured,
    Done,
    Execute,
    Fork,
    Freeze,
    Import,
    Imported,
    Look,
    Message,
    Restore,
    Restored,
    Settled,
    Streamed,
    Warm,
)  # fmt: skip
from stillframe.model import Limits

_ROOT = (
    "from stillframe.engine import forking; forking.install(); "
    "from stillframe.engine.state_process import main; main()"
)
_PR_SET_CHILD_SUBREAPER = 36
_TIMEOUT_S = 60
SOURCE = Path(__file__).resolve().parents[2] / "src"
M = TypeVar("M", bound=Message)


class Held:
    """One process, by its channel and its pipes."""

    def __init__(self, kernel: StateProcesses, channel: socket.socket, pipes: tuple[int, ...] = ()) -> None:
        self.kernel, self.channel, self.pipes = kernel, channel, pipes
        self.text = ""
        self.pid = 0
        self.unbranchable: list[str] = []
        self.hazards: list[str] = []
        kernel.held.append(self)

    def send(self, message: Message, descriptors: list[int] | None = None) -> None:
        for packet in protocol.packets(message):
            self.channel.sendmsg([packet], protocol.rights(descriptors or []))
            descriptors = []

    def receive(self, kind: type[M]) -> M:
        """The next message of this kind; what was printed before it is in `text`."""
        assembly = protocol.Assembly()
        while True:
            ready = select.select([self.channel, *self.pipes], [], [], _TIMEOUT_S)[0]
            assert ready, f"no {kind.__name__} in time: {self._standing()}"
            if self.channel not in ready:
                self._read_pipes()
                continue
            packet = self.channel.recv(protocol.PACKET_BYTES + 1)
            assert packet, f"the process ended before its {kind.__name__}"
            body = assembly.add(packet)
            if body is None:
                continue
            message: Any = protocol.from_process_decoder.decode(body)
            if isinstance(message, Born):
                self.pid = message.pid
                self.kernel.pids.add(message.pid)
            if isinstance(message, Streamed):
                self.text += message.data.decode()
            assert not isinstance(message, Broken) or kind is Broken, message.report
            if isinstance(message, kind):
                self._read_pipes()
                return message

    def _standing(self) -> str:
        """Where the kernel says that the process is."""
        facts = [Path(f"/proc/{self.pid}/{name}") for name in ("wchan", "syscall", "stat")]
        return " | ".join(fact.read_text() for fact in facts if fact.exists())

    def _read_pipes(self) -> None:
        for pipe in self.pipes:
            # The process itself may be faster.
            with contextlib.suppress(BlockingIOError):
                while found := os.read(pipe, 65536):
                    self.text += found.decode()

    # What a live process is told

    def run(self, code: str) -> Done:
        self.text = ""
        self.send(Execute(code))
        return self.receive(Done)

    def ok(self, code: str) -> str:
        """Run a cell that must succeed; what it printed."""
        done = self.run(code)
        assert done.error is None, "\n".join(done.error[2])
        return self.text

    def freeze(self) -> Held:
        """The frozen copy."""
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.send(Freeze(), [there.fileno()])
        there.close()
        frozen = Held(self.kernel, here)
        frozen.receive(Born)
        settled = self.receive(Settled)
        frozen.hazards, frozen.unbranchable = settled.hazards, settled.unbranchable
        self.receive(Warm)
        return frozen

    def imports(self, modules: list[str], path: list[str]) -> list[str]:
        self.send(Import(modules, path))
        return self.receive(Imported).failed

    def restore(self, store: Path, record: bytes) -> Restored:
        self.send(Restore(str(store), record))
        return self.receive(Restored)

    def adopt(self, store: Path, captured: Captured) -> None:
        self.send(Adopt(str(store), captured.buffers))

    # What a frozen process is told

    def fork(self) -> Held:
        """A live process in its state."""
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        out_read, out_write = os.pipe()
        error_read, error_write = os.pipe()
        self.send(Fork(), [there.fileno(), out_read, out_write, error_read, error_write])
        there.close()
        for end in (out_write, error_write):
            os.close(end)
        for end in (out_read, error_read):
            os.set_blocking(end, False)
        live = Held(self.kernel, here, (out_read, error_read))
        live.receive(Born)
        return live

    def look(self, request: protocol.Request, kind: type[M]) -> M:
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.send(Fork(), [there.fileno()])
        there.close()
        looking = Held(self.kernel, here)
        looking.send(Look(request, 1000))
        found = looking.receive(kind)
        looking.end()
        return found

    def capture(self, store: Path, near: bytes = b"") -> Captured:
        return self.look(Capture(str(store), near), Captured)

    def end(self) -> None:
        """Close what is held of it: a process that waits for a message ends."""
        self.channel.close()
        for pipe in self.pipes:
            os.close(pipe)
        self.pipes = ()
        with contextlib.suppress(ValueError):
            self.kernel.held.remove(self)


class StateProcesses:
    """A root, and what is forked from it."""

    def __init__(self, cwd: Path, environment: dict[str, str] | None = None) -> None:
        self.held: list[Held] = []
        self.pids: set[int] = set()
        self._subreap(True)
        self._lifeline = os.pipe()
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        mark = {protocol.KERNEL_MARK: f"test-{os.getpid()}-{id(self)}"}
        limits = {protocol.LIMITS_VARIABLE: msgspec.json.encode(Limits()).decode(), "PYTHONPATH": str(SOURCE)}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", _ROOT, str(there.fileno()), str(self._lifeline[0])],
            pass_fds=(there.fileno(), self._lifeline[0]), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            env={**os.environ, **mark, **limits, **(environment or {})}, cwd=cwd, start_new_session=True,
        )  # fmt: skip
        there.close()
        self.root = Held(self, here)
        self.root.receive(Born)

    def _subreap(self, is_on: bool) -> None:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(is_on), 0, 0, 0)

    def base(self, modules: list[str], path: list[str]) -> Held:
        """A frozen process that has imported these."""
        live = self.root.fork()
        failed = live.imports(modules, path)
        assert not failed, failed
        frozen = live.freeze()
        live.end()
        return frozen

    def stop(self) -> None:
        for held in list(self.held):
            held.end()
        for end in self._lifeline:
            os.close(end)
        self.process.wait(10)
        for pid in self.pids - {self.process.pid}:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        self._subreap(False)

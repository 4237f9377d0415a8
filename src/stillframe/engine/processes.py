"""All state processes of one kernel: started, forked, frozen, kept ready, reaped.

Invariants:
  * Every state process is a child of this one: the root by exec, all others because they are orphans and
    this process is the subreaper. Here, and only here, they are reaped.
  * At most `ready_processes` wait for a cell, not counting those that are the only way to their states;
    the least recently used end first.
  * Nothing is forked that would take the machine's last memory, processes or descriptors.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator

import msgspec

from stillframe.engine import machine, protocol
from stillframe.engine.process import Process
from stillframe.engine.protocol import (
    Broken,
    Call,
    Captured,
    Done,
    Fork,
    Freeze,
    FromProcess,
    Imported,
    Look,
    Prepare,
    Request,
    Restored,
    Seen,
    Settled,
)
from stillframe.engine.standbys import Standbys
from stillframe.engine.sweep import sweep
from stillframe.engine.tree import State
from stillframe.errors import ResourceLimit
from stillframe.model import Limits

_log = logging.getLogger("stillframe")
_PR_SET_CHILD_SUBREAPER = 36
_ROOT = (
    "from stillframe.engine import forking; forking.install(); "
    "from stillframe.engine.state_process import main; main()"
)
_OWN_DESCRIPTORS = 300
"""Descriptors for connections and the server itself."""
_STRAYS = 1_000
_ROOM_S = 0.25
"""How long the machine's room is taken to be the same: to read it takes as long as half a fork."""
_ROOM_UNASKED_S = 0.05
"""The same, where nobody waits for the answer: so it is mostly known when somebody does."""
_REPLY_S = 0.001
"""What a reply takes on its way out."""
TOO_LONG = "it took longer than"
"""How the end of a look begins that has not come to its own."""
_LOST = "its process ended while a copy of it was being frozen"


class Processes:
    """Starts, forks and ends state processes, and knows which are ready."""

    def __init__(self, limits: Limits, on_change: Callable[[State], None]) -> None:
        self.limits = limits
        self.most_ready = limits.ready_processes
        self.standbys = Standbys(limits.standby_processes, self._fork_unasked)
        self.mark = uuid.uuid4().hex
        self.reserve_bytes = limits.reserved_memory_bytes or machine.memory_reserve()
        self._on_change = on_change
        self._alive: set[Process] = set()
        self._by_pid: dict[int, Process] = {}
        self._strays: OrderedDict[int, tuple[int, float]] = OrderedDict()
        """How and when processes ended that are not known (yet): orphans of user programs, and the not yet
        born."""
        self._ready: OrderedDict[Process, State] = OrderedDict()
        self._to_freeze: dict[State, asyncio.TimerHandle] = {}
        self._freezing: dict[Process, State] = {}
        self._answers: dict[Process, asyncio.Future[FromProcess | None]] = {}
        self._births: dict[Process, asyncio.Future[bool]] = {}
        self._room_read_s = -_ROOM_S
        """When there was room on the machine."""
        self._lifeline: tuple[int, int] | None = None
        """A pipe, (reading end, writing end); nobody else has its writing end."""
        self._descriptors: tuple[int, int] = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.root_arguments: list[str] = []
        """What the root is told besides its descriptors: see state_process.main."""
        self.root: Process | None = None

    # The root

    async def start(self) -> Process:
        """Start the root, and answer when it is born."""
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "this process cannot become a subreaper")
        self._descriptors = machine.raise_descriptor_limit()
        loop = asyncio.get_running_loop()
        # Not loop.add_signal_handler: uvloop keeps SIGCHLD for subprocesses of its own. There are none.
        signal.signal(signal.SIGCHLD, lambda *_: loop.call_soon_threadsafe(self._reap))
        self._lifeline = os.pipe()
        return await self.start_root()

    async def start_root(self) -> Process:
        """Start a root by exec: it has run no user code and never will."""
        assert self._lifeline is not None
        lifeline = self._lifeline[0]
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        errors_read, errors_write = os.pipe()
        environment = {
            **os.environ,
            protocol.KERNEL_MARK: self.mark,
            protocol.LIMITS_VARIABLE: msgspec.json.encode(self.limits).decode(),
        }
        child = subprocess.Popen(
            [sys.executable, "-P", "-c", _ROOT, str(there.fileno()), str(lifeline), *self.root_arguments],
            pass_fds=(there.fileno(), lifeline),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors_write,
            env=environment,
            start_new_session=True,
        )
        # The program's limit is the one that was in force before this process raised its own.
        with contextlib.suppress(OSError):
            resource.prlimit(child.pid, resource.RLIMIT_NOFILE, self._descriptors)
        child.returncode = 0  # it is reaped here, by pid
        there.close()
        os.close(errors_write)
        root = self._adopt(here, None)
        is_born = await self._births[root]
        with open(errors_read, errors="replace") as errors:
            if not is_born:
                raise RuntimeError(f"the first state process did not start:\n{errors.read()}")
        self.root = root
        return root

    async def living_root(self) -> Process:
        """The root. It has run no user code; where a program has killed it, a new one is the same."""
        if self.root is not None and self.root.is_alive:
            return self.root
        return await self.start_root()

    def stop(self) -> None:
        """End every process, and what user programs have left behind."""
        if self._lifeline is not None:
            for end in self._lifeline:  # every state process but the root dies of this
                os.close(end)
            self._lifeline = None
        for process in list(self._alive):
            process.end("the kernel stopped")
        sweep(self.mark)
        with contextlib.suppress(ChildProcessError):
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            while os.waitpid(-1, 0)[0]:
                pass

    # Forking

    @property
    def most(self) -> int:
        """How many processes there may be: by the limits, and by what descriptors allow."""
        _, hard = self._descriptors
        return min(self.limits.processes, hard - _OWN_DESCRIPTORS - 3 * (self.most_ready + self.standbys.most))

    def check_room(self, age_s: float = _ROOM_S) -> None:
        """Raise ResourceLimit where another process would bring trouble. The machine is looked at again where
        that was longer ago than `age_s`."""
        if len(self._alive) >= self.most:
            raise ResourceLimit(
                f"{len(self._alive):,} state processes are the limit here.",
                "Delete states that are not needed, or start the kernel with higher limits.",
            )
        now_s = time.monotonic()
        if now_s - self._room_read_s < age_s:
            return
        if machine.process_room() <= 0:
            raise ResourceLimit("the machine has no room for more processes.", "End some, or delete states.")
        available = machine.available_memory()
        if available < self.reserve_bytes and not self._shrink_ready(0) + self.standbys.shrink(0):
            raise ResourceLimit(
                f"only {available >> 20:,} MiB of memory are available, and {self.reserve_bytes >> 20:,} MiB "
                "are kept in reserve.",
                "Delete states that are not needed.",
            )
        self._room_read_s = now_s

    def fork(self, state: State) -> Process:
        """A live process in `state`, forked from its frozen one. It may be sent to at once."""
        assert state.frozen is not None and state.can_fork
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        out_read, out_write = os.pipe()
        error_read, error_write = os.pipe()
        process = self._adopt(here, (os.dup(out_read), os.dup(error_read)))
        state.frozen.send(Fork(), [there.detach(), out_read, out_write, error_read, error_write])
        return process

    def freeze_soon(self, state: State, tip: Process) -> None:
        """Have `tip`, which has made `state`, fork the frozen process that is `state`.

        A moment later, because the fork would compete with the reply for the machine's cores; or at once,
        when the state is needed.
        """
        state.tip = tip
        self.keep_ready(state, tip)
        loop = asyncio.get_running_loop()
        self._to_freeze[state] = loop.call_later(_REPLY_S, self._freeze, state, tip)

    def _freeze_now(self, state: State) -> None:
        timer = self._to_freeze.get(state)
        if timer is not None and state.tip is not None:
            timer.cancel()
            self._freeze(state, state.tip)

    def _freeze(self, state: State, tip: Process) -> None:
        self._to_freeze.pop(state, None)
        if not tip.is_alive:
            self._settle(state, [_LOST], [])
            return
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        state.frozen = self._adopt(here, None)
        self._freezing[tip] = state
        tip.send(Freeze(), [there.detach()])

    async def freeze_inside(self, state: State, process: Process) -> Process:
        """Have `process`, which stands still in a call of its cell, fork the frozen process that is `state`.
        Returns that, which has ended where it could not be forked."""
        self._freeze(state, process)
        frozen = state.frozen or process
        await state.settled.wait()
        await self.is_born(frozen)
        return frozen

    async def look(self, state: State, request: Request, limit_s: float) -> Seen | Captured | Process:
        """The answer of a fork that looks, or that fork, where it ended without one or took longer."""
        assert state.frozen is not None
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        process = self._adopt(here, None)
        answer = self.expect(process)
        state.frozen.send(Fork(), [there.detach()])
        process.send(Look(request, self.limits.repr_chars))
        why = f"{TOO_LONG} {limit_s:g} s"
        timer = asyncio.get_running_loop().call_later(limit_s, process.end, why)
        try:
            said = await answer
        finally:
            timer.cancel()
            process.end()
        return said if isinstance(said, Seen | Captured) else process

    def expect(self, process: Process) -> asyncio.Future[FromProcess | None]:
        """What `process` answers next, or None when it has ended."""
        future: asyncio.Future[FromProcess | None] = asyncio.get_running_loop().create_future()
        if process.is_alive:
            self._answers[process] = future
        else:
            future.set_result(None)
        return future

    # Ready processes

    def keep_ready(self, state: State, process: Process) -> None:
        """`process` waits in `state` for a cell."""
        state.ready.append(process)
        self._ready[process] = state
        if len(self._ready) > self.most_ready:  # a moment later: ending one takes a core
            asyncio.get_running_loop().call_later(_REPLY_S, self._shrink_ready, self.most_ready)

    def take_ready(self, state: State) -> Process | None:
        """A process that waits in `state`, the tip first: what goes on in it is forked from nothing."""
        self._freeze_now(state)
        for process in sorted(state.ready, key=lambda process: process is not state.tip):
            self._forget_ready(process, state)
            if process.is_alive:
                return process
        return self.standbys.take(state)

    def prepare_spare(self, state: State) -> None:
        """Have a warmed process wait in `state`, if it has none and the machine has room."""
        if state.names and state.can_fork and not state.has_ready and state.kind != "call":
            with contextlib.suppress(ResourceLimit):
                spare = self.standbys.take(state) or self._fork_unasked(state)
                spare.send(Prepare())
                self.keep_ready(state, spare)

    def _fork_unasked(self, state: State) -> Process:
        """A fork that nobody waits for. Raises ResourceLimit where there is no room for it."""
        self.check_room(_ROOM_UNASKED_S)
        return self.fork(state)

    @contextlib.contextmanager
    def using(self, state: State) -> Iterator[None]:
        """Keep what holds `state`, though its last name may go meanwhile."""
        state.users += 1
        try:
            yield
        finally:
            state.users -= 1
            if not state.names and not state.users:
                self.release(state)

    def release(self, state: State) -> None:
        """End the processes that hold `state`. A tip's children end with it."""
        self._end_processes(state, "its state was deleted")
        state.seen.clear()
        self._on_change(state)

    def evict(self, state: State) -> None:
        """End the processes that hold `state`, which can be had again without them."""
        self._end_processes(state, "its state was evicted")
        self._on_change(state)

    def _end_processes(self, state: State, why: str) -> None:
        timer = self._to_freeze.pop(state, None)
        if timer is not None:
            timer.cancel()
        for process in list(state.ready):
            self._forget_ready(process, state)
            process.end(why)
        self.standbys.end(state, why)
        if state.frozen is not None and state.frozen is not self.root:
            state.frozen.retire()
        state.frozen = None
        state.tip = None
        state.settled.set()
        if state.raised is not None:
            self._end_processes(state.raised, why)

    def end_spares(self) -> None:
        """End every process that waits and is not the only way to its state."""
        self._shrink_ready(0)
        self.standbys.end_all()

    def sweep_leftovers(self) -> None:
        """End what is left of the states that were released, and what their programs have left running."""
        root = self.root.pid if self.root is not None else None
        sweep(self.mark, () if root is None else (root,))

    def _shrink_ready(self, most: int) -> int:
        """End the least recently used processes that wait. Returns how many."""
        spare = [
            (process, state) for process, state in self._ready.items() if _can_do_without(process, state)
        ]
        ended = spare[: max(0, len(spare) - most)]
        for process, state in ended:
            self._forget_ready(process, state)
            process.release()
            self._on_change(state)
        return len(ended)

    def _forget_ready(self, process: Process, state: State) -> None:
        self._ready.pop(process, None)
        state.ready.remove(process)
        self.standbys.want(state)

    # What processes say

    def born(self, process: Process) -> None:
        assert process.pid is not None
        self._by_pid[process.pid] = process
        birth = self._births.pop(process, None)
        if birth is not None and not birth.done():
            birth.set_result(True)
        status, reaped_s = self._strays.pop(process.pid, (0, 0.0))
        # One that was reaped before this one was asked for had the same pid earlier.
        if reaped_s > process.made_s and not _exists(process.pid):
            process.reaped(status)

    def said(self, process: Process, message: FromProcess) -> None:
        if isinstance(message, Done | Call | Seen | Captured | Imported | Restored):
            answer = self._answers.pop(process, None)
            if answer is not None and not answer.done():
                answer.set_result(message)
        elif isinstance(message, Broken):
            process.why_ended = process.why_ended or f"it broke: {message.report.strip().splitlines()[-1]}"
            _log.error("state process %s broke:\n%s", process.pid, message.report)
        elif isinstance(message, Settled):
            state = self._freezing.pop(process, None)
            if state is not None:
                self._settle(state, message.hazards, message.unbranchable)

    def ended(self, process: Process) -> None:
        self._alive.discard(process)
        if process.pid is not None:
            self._by_pid.pop(process.pid, None)
        birth = self._births.pop(process, None)
        if birth is not None and not birth.done():
            birth.set_result(False)
        answer = self._answers.pop(process, None)
        if answer is not None and not answer.done():
            answer.set_result(None)
        state = self._freezing.pop(process, None)
        if state is not None:
            self._settle(state, [f"{_LOST}: {process.describe_end()}"], [])
        state = self._ready.pop(process, None)
        if state is not None:
            state.ready.remove(process)
            self._on_change(state)
        self.standbys.ended(process)

    async def settled(self, state: State) -> None:
        """Wait until it is known how `state` can be had."""
        self._freeze_now(state)
        await state.settled.wait()

    async def is_born(self, process: Process) -> bool:
        """Wait until the process exists. False: it never did."""
        birth = self._births.get(process)
        return process.pid is not None if birth is None else await asyncio.shield(birth)

    def _settle(self, state: State, hazards: list[str], unbranchable: list[str]) -> None:
        state.hazards, state.unbranchable = hazards, unbranchable
        state.settled.set()
        self.standbys.want(state)
        self._on_change(state)

    def _adopt(self, channel: socket.socket, pipes: tuple[int, int] | None) -> Process:
        process = Process(self, channel, pipes)
        self._alive.add(process)
        self._births[process] = asyncio.get_running_loop().create_future()
        return process

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                process = self._by_pid.get(pid)
                if process is not None:
                    process.reaped(status)
                else:
                    self._strays[pid] = status, time.monotonic()
                    if len(self._strays) > _STRAYS:
                        self._strays.popitem(last=False)

    # Figures

    def __len__(self) -> int:
        return len(self._alive)

    @property
    def count_ready(self) -> int:
        """How many live processes wait for a cell."""
        return len(self._ready) + len(self.standbys)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _can_do_without(process: Process, state: State) -> bool:
    """Whether a process that waits may end: its state can be had again as it is."""
    if process is not state.tip:
        return True
    return state.settled.is_set() and state.can_begin and not state.unbranchable

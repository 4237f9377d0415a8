"""A state process: it holds a state, or runs the cell that makes the next one.

    supervisor ──exec──► root, frozen ─┐            frozen: waits, and forks when told to. It *is* a state.
                                       │ Fork       live:   runs a cell, then freezes a copy of itself and
                 ┌─────────────────────┘                    goes on as the tip of the new state.
                 ▼                                  look:   answers one question and ends.
               live ── Execute ── Freeze ──► frozen
                 └──── Execute ── Freeze ──► frozen

Invariants:
  * No user code runs in a frozen process.
  * Every process but the root dies with the supervisor, at once and whatever it is doing: it has armed
    the lifeline, a pipe whose writing end only the supervisor has. The root sees the end of its channel,
    ends what the users' programs have left running, and goes last.
  * Every process leads a process group of its own, so that a program that signals its group, or is
    signalled with it, shares that with its own children only.
"""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import gc
import os
import resource
import sys
import traceback
from typing import NoReturn

import msgspec

from stillframe.engine import _fork, effects, forking, hazards, hot_pages, shell, sources, streams
from stillframe.engine.execution import Execution
from stillframe.engine.looking import answer
from stillframe.engine.protocol import (
    CHANNEL_FD,
    FIRST_FD,
    KERNEL_MARK,
    LAST_FD,
    LIFELINE_FD,
    LIMITS_VARIABLE,
    NULL_FD,
    OWN_LIFELINE_FD,
    SPARE_FDS,
    STDERR_READ_FD,
    STDOUT_READ_FD,
    Born,
    Broken,
    Execute,
    Failed,
    Fork,
    Freeze,
    Look,
    Settled,
    Warm,
    packets,
)
from stillframe.engine.state_channel import BROKEN, Channel
from stillframe.engine.streams import STDERR, STDOUT, Outputs
from stillframe.engine.sweep import sweep
from stillframe.model import Limits

_OOM_SCORE = "700"
"""The kernel ends state processes before anything else when memory runs out."""


class StateProcess:
    """One process, through its fork's and its own life."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.channel = Channel()
        self.outputs = Outputs(self.channel, limits.representation_bytes, limits.outputs)
        streams.install(self.outputs)
        frame_limits = (limits.display_max_rows, limits.display_max_columns, limits.display_max_colwidth)
        self.shell = shell.start(self.outputs, frame_limits)
        self.execution = Execution(self.shell, self.outputs)
        self.rest = hazards.Rest()
        self._hot_pages = b""
        self.root_pid = os.getpid()
        self._mark = os.environ[KERNEL_MARK]
        self._has_room = False
        self._muted = {STDOUT, STDERR}
        self._has_set_aside = False
        """Whether what the collector leaves alone was set aside by a freeze of ours, not the program's."""

    def prepare(self) -> None:
        """The root, before it becomes the initial state: what every process needs, once."""
        _fork.unbuffer_stdio()
        os.register_at_fork(after_in_child=self._leave_user_fork)
        hazards.watch_loops()
        sources.install()
        gc.collect = self._collect_all
        self.execution.warm()
        self.execution.warm_failure()
        effects.install()
        _collect()
        if sys.version_info >= (3, 12):
            _fork.immortalize(gc.get_objects())
        gc.freeze()
        self._has_set_aside = True
        self.rest = hazards.before_fork()
        forking.begin()
        self._hot_pages = hot_pages.find(self.execution.warm)
        forking.end()

    def serve(self) -> NoReturn:
        """Do what the supervisor says, for ever. A fork goes on here too, as another process."""
        self.channel.send(Born(os.getpid()))
        while True:
            self._make_room()
            try:
                message, descriptors = self.channel.receive()
            except EOFError:
                if os.getpid() == self.root_pid:
                    sweep(self._mark)
                os._exit(0)
            match message:
                case Fork():
                    self.fork_live(descriptors)
                case Look():
                    self.look(message, descriptors)
                case Execute():
                    self.execute(message)
                case Freeze():
                    self.freeze(descriptors)

    def freeze(self, descriptors: list[int]) -> None:
        """Live: fork the frozen process of the state that the last cell made."""
        self.execution.rest()
        self.rest = hazards.before_fork(descriptors)
        is_programs = not self._has_set_aside and gc.get_freeze_count() > 0
        # A collection in a fork would write to every object's header, and so copy most of the heap.
        gc.freeze()
        self._has_set_aside = not is_programs
        if not self._fork(descriptors, is_live=False):
            self._become(descriptors)
            self._mute()
            self.rest.freeze()
            self.channel.send(Born(os.getpid()))
            return
        if self._has_set_aside:
            gc.unfreeze()
            self._has_set_aside = False
        _fork.populate(self._hot_pages)
        hazards.after_fork(self.rest)
        self.channel.send(Settled(self.rest.hazards, self.rest.unbranchable))
        self._warm_if_idle()

    def fork_live(self, descriptors: list[int]) -> None:
        """Frozen: fork a process that can run a cell."""
        if self._fork(descriptors, is_live=True):
            return
        self._become(descriptors)
        self._unmute(descriptors)
        self.rest.wake()
        self.channel.send(Born(os.getpid()))
        self._warm_if_idle()

    def look(self, message: Look, descriptors: list[int]) -> None:
        """Frozen: fork a process that looks."""
        if self._fork(descriptors, is_live=False):
            return
        self._become(descriptors)
        self.rest.wake()
        self.channel.send(Born(os.getpid()))
        self.channel.send(answer(self.shell, message.request, message.limit))
        os._exit(0)

    def execute(self, message: Execute) -> None:
        """Live: run a cell."""
        self._take_back_room()
        self.channel.send(self.execution.run(message.code))

    def _collect_all(self, generation: int = 2) -> int:
        """gc.collect for the program: it means everything, also what a freeze of ours has set aside."""
        if self._has_set_aside:
            self._has_set_aside = False
            gc.unfreeze()
        return _collect(generation)

    def _fork(self, descriptors: list[int], is_live: bool) -> int:
        """Fork. In the parent the new process's descriptors are closed; where it failed, they say so."""
        forking.begin()
        try:
            pid = _fork.fork_detached(self._hot_pages if is_live else b"")
        except OSError as error:
            pid = -1
            with contextlib.suppress(OSError):
                os.write(descriptors[0], packets(Failed(error.errno or errno.EAGAIN))[0])
        forking.end()
        if pid:
            for descriptor in descriptors:
                os.close(descriptor)
        return pid

    def _become(self, descriptors: list[int]) -> None:
        """In a fork: a channel and a lifeline of its own. (Its process group it has from birth.)"""
        os.dup2(descriptors[0], CHANNEL_FD, inheritable=False)
        os.close(descriptors[0])
        self.channel.leave()
        self.channel.adopt()
        _fork.arm_lifeline(LIFELINE_FD, OWN_LIFELINE_FD)

    def _mute(self) -> None:
        """Frozen: nothing reads its standard streams, so they lead nowhere until a fork wakes."""
        for descriptor, reader in self.outputs.readers.items():
            if _is_same_file(descriptor, reader):  # else the program has put something else there
                os.dup2(NULL_FD, descriptor)
                self._muted.add(descriptor)
            with contextlib.suppress(OSError):
                os.close(reader)
        self.outputs.readers = {}

    def _unmute(self, descriptors: list[int]) -> None:
        """Live: pipes of its own for 1 and 2."""
        _, *pipes = descriptors
        ends = ((STDOUT, STDOUT_READ_FD, pipes[:2]), (STDERR, STDERR_READ_FD, pipes[2:]))
        for descriptor, reader, (reading, writing) in ends:
            if descriptor in self._muted:
                os.dup2(writing, descriptor)
            os.dup2(reading, reader, inheritable=False)
            os.close(reading)
            os.close(writing)
            self.outputs.readers[descriptor] = reader
        self._muted.clear()

    def _warm_if_idle(self) -> None:
        if self.channel.is_idle():
            self.execution.warm()
            self.channel.send(Warm())

    def _make_room(self) -> None:
        """At rest: descriptors can be received even where the program has used up all of its own."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if not self._has_room and soft + SPARE_FDS <= hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft + SPARE_FDS, hard))
            self._has_room = True

    def _take_back_room(self) -> None:
        """A cell runs: its limit is its own."""
        if self._has_room:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft - SPARE_FDS, hard))
            self._has_room = False

    def _leave_user_fork(self) -> None:
        """In a child that the program forked: it is no state process, and has none of our descriptors."""
        if forking.is_ours:
            return
        self.outputs.readers = {}
        for descriptor in range(FIRST_FD, LAST_FD + 1):
            with contextlib.suppress(OSError):
                os.close(descriptor)


_collect = gc.collect


def _is_same_file(descriptor: int, other: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.fstat(other))
    except OSError:  # the program has closed it
        return False


def _start_limits() -> None:
    """Leave room above the soft limit of descriptors, and let the kernel end this before other processes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = max(soft, OWN_LIFELINE_FD + 2 * SPARE_FDS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, hard - SPARE_FDS), hard))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write(_OOM_SCORE)


def _place_descriptors(channel: int, lifeline: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor, place in ((channel, CHANNEL_FD), (lifeline, LIFELINE_FD), (null, NULL_FD)):
        os.dup2(descriptor, place, inheritable=False)
        os.close(descriptor)


def main() -> NoReturn:
    """The root: started by exec. Arguments: the descriptors of its channel and of the lifeline."""
    channel, lifeline = map(int, sys.argv[1:3])
    _start_limits()
    _place_descriptors(channel, lifeline)
    limits = msgspec.json.decode(os.environ.pop(LIMITS_VARIABLE), type=Limits)
    sys.argv = [""]
    sys.path.insert(0, "")
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    faulthandler.enable(file=STDERR)
    root = StateProcess(limits)
    try:
        root.prepare()
        os.dup2(NULL_FD, STDERR)
        root.serve()
    except BaseException:
        # Only a defect of ours, or a program that has destroyed our objects, leads here.
        report = traceback.format_exc()
        os.write(STDERR, report.encode("utf-8", "replace"))  # what the supervisor reads of a root that fails
        root.channel.send(Broken(report))
        os._exit(BROKEN)

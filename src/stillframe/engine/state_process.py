"""A state process: it holds a state, or runs the cell that makes the next one.

    supervisor ──exec──► root, frozen ─┐            frozen: waits, and forks when told to. It *is* a state.
                                       │ Fork       live:   runs a cell, then freezes a copy of itself and
                 ┌─────────────────────┘                    goes on as the tip of the new state.
                 ▼                                  look:   answers one question and ends.
               live ── Execute ── Freeze ──► frozen
                 └──── Execute ── Freeze ──► frozen

Invariants:
  * No Python runs in a frozen process: it waits and forks in C (_fork.c).
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
import importlib
import os
import resource
import socket
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

import msgspec

from stillframe import cells
from stillframe.engine import _fork, effects, forking, hazards, hot_pages, shell, sources, streams
from stillframe.engine.execution import Execution
from stillframe.engine.failing import Failing
from stillframe.engine.looking import answer
from stillframe.engine.places import Place
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
    Adopt,
    Born,
    Broken,
    Capture,
    Done,
    Execute,
    Failed,
    Freeze,
    Import,
    Look,
    Message,
    Prepare,
    Restore,
    Resume,
    Settled,
    Warm,
    packets,
)
from stillframe.engine.resting import Calls
from stillframe.engine.state_channel import BROKEN, Channel
from stillframe.engine.streams import STDERR, STDOUT, Outputs
from stillframe.engine.sweep import sweep
from stillframe.model import Limits

_OOM_SCORE = "700"
"""The kernel ends state processes before anything else when memory runs out."""
_PLACES = (CHANNEL_FD, STDOUT_READ_FD, STDERR_READ_FD, LIFELINE_FD, OWN_LIFELINE_FD, NULL_FD)
_PRACTICE = 20
_NUMBER = 0xFFFFFFFF
"""A number of 32 bits in MessagePack, which _fork.c replaces."""


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
        cells.kernel = self.calls = Calls(self)
        self.failing = Failing(self)
        self.execution.last_raised = self.failing.was_raised
        self.rest = hazards.Rest()
        self.forks = 0
        """Those that the program had made when this process was frozen last, or the one that it was forked from."""
        self._hot_pages = b""
        self.own_modules = frozenset[str]()
        """What the root has imported."""
        self.name_counts: dict[str, int] = {}
        """How many names each module had when it had been imported: what comes after is the program's."""
        self._mark = os.environ[KERNEL_MARK]
        self._has_room = False
        self._has_set_aside = False
        """Whether what the collector leaves alone was set aside by a freeze of ours, not the program's."""

    def prepare(self) -> None:
        """The root, before it becomes the initial state: what every process needs, once."""
        _fork.unbuffer_stdio()
        _fork.place(_PLACES, _beginning(Born(_NUMBER)), _beginning(Failed(_NUMBER)))
        self.outputs.readers = {STDOUT: STDOUT_READ_FD, STDERR: STDERR_READ_FD}
        os.register_at_fork(after_in_child=self._leave_user_fork)
        hazards.watch_loops()
        sources.install()
        gc.collect = self._collect_all
        self.execution.warm()
        self.execution.warm_failure()
        effects.install()
        self._practise()
        self.own_modules = frozenset(sys.modules)
        self.count_names()
        _collect()
        if sys.version_info >= (3, 12):
            _fork.immortalize(gc.get_objects())
        gc.freeze()
        self._has_set_aside = True
        self.rest = hazards.before_fork()

    def _practise(self) -> None:
        """Be told to run a cell, many times: the interpreter adapts code that has run often, which writes to it.
        Better here, once, than in each process."""
        real, self.rest = self.channel, hazards.before_fork()
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel = self.outputs.channel = Channel(there.fileno())
        for _ in range(_PRACTICE):
            here.send(packets(Execute("0"))[0])
            self.wake(is_live=True)
            self._make_room()
            message, _ = self.channel.receive()
            if isinstance(message, Execute):
                self._take_back_room()
                self.execution.warm()
            self.execution.rest()
            self.rest = hazards.before_fork()
            self.rest.descriptors.steps()
        self.channel = self.outputs.channel = real
        here.close()
        there.close()

    def serve(self) -> NoReturn:
        """The root: be the initial state. Each fork of it goes on here too, as another process."""
        rehearsal = hot_pages.Rehearsal()
        is_live = self._fork(rehearsal.channel)
        if is_live is None:
            self._hot_pages = rehearsal.find()
            self.channel.send(Born(os.getpid()))
            is_live = self._rest()
        self.wake(is_live)
        self.obey()

    def obey(self) -> NoReturn:
        """Do what this process is told, to its end."""
        while True:
            self._make_room()
            try:
                message, descriptors = self.channel.receive()
            except EOFError:
                os._exit(0)
            match message:
                case Execute():
                    self.execute(message)
                case Prepare():
                    self._warm_if_idle()
                case Freeze():
                    self.execution.rest()
                    self.freeze(descriptors)
                case Look():
                    self.look(message, self.calls.restored_at() or self.execution.failed_at())
                case Resume():
                    self.resume(message)
                case Import() | Restore() | Adopt():
                    self._store(message)

    def _rest(self) -> bool:
        """The root: be the initial state, to the end. Returns in its forks: whether they are to run cells."""
        self._make_room()
        forking.begin()
        is_live = _fork.rest()
        forking.end()
        if is_live is None:
            sweep(self._mark)
            os._exit(0)
        return is_live

    def freeze(self, descriptors: list[int]) -> bool | None:
        """Live: fork the frozen process of the state that the last cell made, or that rests inside this one.
        Returns as _fork() does."""
        self.count_names()
        self.rest = hazards.before_fork(descriptors)
        is_programs = not self._has_set_aside and gc.get_freeze_count() > 0
        # A collection in a fork would write to every object's header, and so copy most of the heap.
        gc.freeze()
        self._has_set_aside = not is_programs
        self.forks = forking.count
        is_live = self._fork(descriptors[0])
        if is_live is not None:
            self.wake(is_live)
            return is_live
        if self._has_set_aside:
            gc.unfreeze()
            self._has_set_aside = False
        _fork.populate(self._hot_pages)
        hazards.after_fork(self.rest)
        self.channel.send(Settled(self.rest.hazards, self.rest.unbranchable))
        self._warm_if_idle()
        return None

    def _fork(self, channel: int) -> bool | None:
        """None, or in a fork of the frozen process: whether it is to run cells. Where forking failed, the
        channel says so."""
        forking.begin()
        try:
            is_live = _fork.freeze(channel, self.rest.descriptors.steps())
        except OSError as error:
            is_live = None
            with contextlib.suppress(OSError):
                os.write(channel, packets(Failed(error.errno or errno.EAGAIN))[0])
        forking.end()
        if is_live is None:
            os.close(channel)
        return is_live

    def wake(self, is_live: bool) -> None:
        """In a fork of a frozen process, which has its descriptors already."""
        self.channel.renew()
        self.rest.wake()
        if not is_live:
            self.outputs.readers = {}

    def look(self, message: Look, places: Sequence[Place]) -> NoReturn:
        """In a fork that only looks. `places` are where the program stands."""
        try:
            if isinstance(message.request, Capture):
                self.channel.send(self._storing().capture(self, message.request))
            else:
                self.channel.send(answer(self.shell, message.request, message.limit, places))
            os._exit(0)
        except BaseException:  # the cell that it may be inside of must not catch it
            self.break_down()

    def break_down(self) -> NoReturn:
        """A defect of ours, or a program that has destroyed our objects: say so, and end."""
        report = traceback.format_exc()
        os.write(STDERR, report.encode("utf-8", "replace"))  # what the supervisor reads of a root that fails
        self.channel.send(Broken(report))
        os._exit(BROKEN)

    def _store(self, message: Import | Restore | Adopt) -> None:
        """Live, and at rest: what a store is used for."""
        storing = self._storing()
        match message:
            case Import():
                self.channel.send(storing.import_modules(message))
            case Restore():
                self.channel.send(storing.restore(self, message))
            case Adopt():
                storing.adopt(self, message)

    def _storing(self) -> ModuleType:
        """The module, imported here: most processes never need it."""
        return self.load("stillframe.engine.storing")[0]

    def load(self, *names: str) -> list[ModuleType]:
        """Import modules of ours here: what they import is none of the state's."""
        before = frozenset(sys.modules)
        found = [importlib.import_module(name) for name in names]
        self.own_modules |= sys.modules.keys() - before
        return found

    def execute(self, message: Execute) -> None:
        """Live: run a cell."""
        self._take_back_room()
        self.failing.watch(message.is_watched)
        self.calls.begin()
        self.end_cell(self.execution.run(message.code))

    def end_cell(self, done: Done) -> None:
        """Live: a cell has ended, and this is at rest."""
        self.failing.watch(False)
        self.calls.rest()
        self.channel.send(done)

    def count_names(self) -> None:
        """Look at the modules that are new. Costs 0.1 ms where there are any."""
        if len(self.name_counts) != len(sys.modules):
            for name, module in list(sys.modules.items()):
                if name not in self.name_counts:
                    self.name_counts[name] = len(getattr(module, "__dict__", ()))

    def resume(self, message: Resume) -> None:
        """Live, in a restored state that rests inside a call: go on with its cell."""
        self._take_back_room()
        self.calls.begin()
        self.end_cell(self.calls.go_on(message, self.execution))

    def _collect_all(self, generation: int = 2) -> int:
        """gc.collect for the program: it means everything, also what a freeze of ours has set aside."""
        if self._has_set_aside:
            self._has_set_aside = False
            gc.unfreeze()
        return _collect(generation)

    def _warm_if_idle(self) -> None:
        if self.channel.is_idle() and not self.calls.is_asking:
            self.execution.warm()
            self.channel.send(Warm())

    def _make_room(self) -> None:
        """At rest: descriptors can be received even where the program has used up all of its own."""
        if self._has_room:
            return
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft + SPARE_FDS <= hard:
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
        self.outputs.readers = {}
        for descriptor in range(FIRST_FD, LAST_FD + 1):
            with contextlib.suppress(OSError):
                os.close(descriptor)


_collect = gc.collect


def _beginning(message: Message) -> bytes:
    """A packet but for the number that it ends with."""
    return packets(message)[0][:-4]


def _start_limits() -> None:
    """Leave room above the soft limit of descriptors, and let the kernel end this before other processes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = max(soft, OWN_LIFELINE_FD + 2 * SPARE_FDS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, hard - SPARE_FDS), hard))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write(_OOM_SCORE)


def _place_descriptors(channel: int, lifeline: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for reader in (STDOUT_READ_FD, STDERR_READ_FD):
        os.dup2(null, reader, inheritable=False)
    for descriptor, place in ((channel, CHANNEL_FD), (lifeline, LIFELINE_FD), (null, NULL_FD)):
        os.dup2(descriptor, place, inheritable=False)
        os.close(descriptor)


def main() -> NoReturn:
    """The root: started by exec. Arguments: the descriptors of its channel and of the lifeline, and `store` where
    states are captured and restored."""
    channel, lifeline = map(int, sys.argv[1:3])
    if "store" in sys.argv[3:]:  # here once, and not in each process that is forked to capture
        from stillframe.engine import storing

        storing.make_ready()
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
        root.break_down()

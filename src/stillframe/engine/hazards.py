"""What forking breaks in a Python program, and the answer to each.

    random                       reseeded in a child by CPython: not in ours (forking.py)
    open files, pipes, sockets   are one for all forks: reopened, made anew, or left to the tip (descriptors.py)
    asyncio loops                share an epoll descriptor and a wake-up socket: made anew
    idle ThreadPoolExecutors     believe in threads that are gone: told the truth
    OpenMP (libgomp)             waits for threads that are gone: its pool is put away before the fork
    OpenBLAS, Arrow, ...         have pthread_atfork handlers of their own, which run
    any other live thread        no answer: a hazard, and the copy is not forked for running code
    child processes, file locks  cannot be branched: the state's description says so

Invariants:
  * `Rest` is made before the fork, in the process that ran the cell, and holds everything as it was at
    that moment. Every child applies it before anything else: the tip may read on in a file meanwhile.
  * Nothing here runs in a frozen process: what it does to descriptors, _fork.c does.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Collection
from typing import Any

from stillframe.engine._fork import lines_with, numbers_in
from stillframe.engine.descriptors import Descriptors

_HARMLESS_THREADS = frozenset({"TMonitor"})
"""Classes of Python threads whose libraries start them again by themselves."""
_BURIAL_S = 0.05
"""How long a thread may take to end, or a worker to become idle, that has nothing left to do."""
_OMP_PAUSE_HARD = 2

_loops: weakref.WeakSet[Any] = weakref.WeakSet()


class Rest:
    """A process at rest: what its forks need to go on as if they had never been forked."""

    def __init__(self, ours: Collection[int] = ()) -> None:
        self.descriptors = Descriptors(_loop_descriptors().union(ours))
        self.pools: list[Any] = []
        self.threads: list[threading.Thread] = []
        """Those that no fork has."""
        self.hazards: list[str] = []
        self.unbranchable: list[str] = []
        self.is_plain = False
        """Whether nothing in it is broken by a fork."""

    def wake(self) -> None:
        """In a process that is going to run code: put right what the fork broke."""
        threading.main_thread()._native_id = os.getpid()  # type: ignore[attr-defined]
        if self.is_plain:
            return
        self.descriptors.renew()
        for loop in list(_loops):
            _renew_loop(loop)
        for pool in self.pools:
            _renew_pool(pool)


def watch_loops() -> None:
    """Remember every asyncio event loop that is made. They cannot be found without touching every object."""
    from asyncio import selector_events

    loop_class: Any = selector_events.BaseSelectorEventLoop
    original: Callable[..., None] = loop_class.__init__

    def __init__(self: Any, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **options)
        _loops.add(self)

    loop_class.__init__ = __init__


def before_fork(ours: Collection[int] = ()) -> Rest:
    """Look at this process and prepare it. Costs some 0.1 ms, and 1 ms when a module was imported.

    `ours` are descriptors that are not the program's.
    """
    rest = Rest(ours)
    rest.pools, rest.threads, rest.hazards = _python_threads()
    rest.is_plain = not (rest.descriptors.is_any or rest.pools or len(_loops))
    rest.unbranchable = [
        *rest.descriptors.unbranchable,
        *_children(),
        *_locks(rest.descriptors.lockable),
        *_shared_memory(),
    ]
    if len(numbers_in("/proc/self/task")) > 1:
        _openmp.pause()
    return rest


def after_fork(rest: Rest) -> None:
    """In the process that was forked: which threads has no fork handler ended? They are hazards."""
    ours = {thread.native_id for thread in threading.enumerate()} | {os.getpid()}
    deadline_s = time.monotonic() + _BURIAL_S
    while names := _foreign_threads(ours):
        if time.monotonic() > deadline_s:
            counts = {name: names.count(name) for name in names}
            rest.hazards += [f"{count} native thread(s) called {name!r}" for name, count in counts.items()]
            return
        os.sched_yield()


def _foreign_threads(ours: set[int | None]) -> list[str]:
    names = []
    for task in os.listdir("/proc/self/task"):
        if int(task) not in ours:
            with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/comm") as comm:
                name = comm.read().strip()
                if not _library_of(task).startswith(_LIBRARIES_THAT_FORK):
                    names.append(name)
    return sorted(names)


_LIBRARIES_THAT_FORK = ("libtorch_cpu.",)
"""Libraries whose idle threads are no hazard: in a forked child they make them anew (torch's pthreadpool)."""
_STACK_BYTES = 2048


def _library_of(task: str) -> str:
    """The library in which a thread waits: the first one but the C library that its stack leads back to.

    Empty for a thread that does not wait. The stack is this process's own memory, and an idle thread's does
    not change.
    """
    with open(f"/proc/self/task/{task}/syscall") as file:
        fields = file.read().split()
    if len(fields) < 9:
        return ""
    with open("/proc/self/maps") as file:
        lines = [line.split() for line in file]
    ranges = [([int(end, 16) for end in line[0].split("-")], line) for line in lines]
    stack = int(fields[7], 16)
    top = next((span[1] for span, _ in ranges if span[0] <= stack < span[1]), stack)
    words = ctypes.string_at(stack, min(_STACK_BYTES, top - stack) // 8 * 8)
    code = [(span, os.path.basename(line[5])) for span, line in ranges if "x" in line[1] and len(line) > 5]
    for at in range(0, len(words), 8):
        word = int.from_bytes(words[at : at + 8], "little")
        for (start, end), name in code:
            if start <= word < end and not name.startswith(("libc.", "libc-", "libpthread", "ld-", "[")):
                return name
    return ""


def _python_threads() -> tuple[list[Any], list[threading.Thread], list[str]]:
    """Idle thread pools, and the threads that are not such a pool's, as they are and for people."""
    if threading.active_count() == 1:
        return [], [], []
    deadline_s = time.monotonic() + _BURIAL_S
    while True:
        pools: dict[int, Any] = {}
        threads, is_any_finishing = list[threading.Thread](), False
        for thread in threading.enumerate():
            if thread is threading.main_thread() or type(thread).__name__ in _HARMLESS_THREADS:
                continue
            pool = _pool_of(thread)
            if pool is not None and _is_idle(pool):
                pools[id(pool)] = pool
                continue
            threads.append(thread)
            is_any_finishing |= pool is not None and pool._work_queue.empty()
        if not is_any_finishing or time.monotonic() > deadline_s:
            return list(pools.values()), threads, [f"the live thread {thread.name!r}" for thread in threads]
        # A worker hands over its result before it says that it is idle: let it get there.
        time.sleep(0.0005)


def _is_idle(pool: Any) -> bool:
    return bool(pool._work_queue.empty() and pool._idle_semaphore._value >= len(pool._threads))


def _pool_of(thread: threading.Thread) -> Any:
    """The ThreadPoolExecutor whose worker `thread` is, or None."""
    module = sys.modules.get("concurrent.futures.thread")
    if module is None or getattr(thread, "_target", None) is not module._worker:
        return None
    reference, *_ = thread._args  # type: ignore[attr-defined]
    return reference()


def _renew_pool(pool: Any) -> None:
    """An idle pool whose threads are in another process starts new ones when work comes."""
    pool._threads = set()
    pool._idle_semaphore = threading.Semaphore(0)
    pool._work_queue = type(pool._work_queue)()


def _renew_loop(loop: Any) -> None:
    """An event loop with an epoll descriptor and a wake-up socket that no other process has."""
    if loop.is_closed() or loop._selector is None:
        return
    old = loop._selector
    keys = list(old.get_map().values())
    loop._selector = type(old)()
    wakeup = loop._ssock.fileno()
    for key in keys:
        # A descriptor that the program has closed cannot be watched again.
        if key.fd != wakeup:
            with contextlib.suppress(OSError, ValueError):
                loop._selector.register(key.fileobj, key.events, key.data)
    old.close()
    loop._ssock.close()
    loop._csock.close()
    loop._internal_fds -= 1
    loop._make_self_pipe()


def _loop_descriptors() -> set[int]:
    if not len(_loops):
        return set()
    sockets = [loop for loop in _loops if not loop.is_closed() and loop._ssock is not None]
    ends = {end.fileno() for loop in sockets for end in (loop._ssock, loop._csock)}
    return ends | {loop._selector.fileno() for loop in sockets if hasattr(loop._selector, "fileno")}


def _children() -> list[str]:
    children = []
    for task in numbers_in("/proc/self/task"):
        try:
            children += b"".join(lines_with(f"/proc/self/task/{task}/children", b"")).decode().split()
        except OSError:  # the thread has ended
            pass
    return [f"child process {pid} ({_command(pid)})" for pid in children]


def _command(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm") as comm:
            return comm.read().strip()
    except OSError:
        return "ended"


def _locks(lockable: list[int]) -> list[str]:
    """Files on which there is a lock of this process: a database in a transaction, or flock().

    Not from /proc/locks: to read that holds up every process that locks a file, and takes 13 ms.
    """
    held = set()
    for descriptor in lockable:
        try:
            if lines_with(f"/proc/self/fdinfo/{descriptor}", b"lock:"):
                held.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        except OSError:  # closed since
            pass
    return [f"lock on {path!r} (an open transaction, or flock)" for path in sorted(held)]


def _shared_memory() -> list[str]:
    """Writable memory that forks share by their own wish. Costs 0.3 ms and more: it reads the whole map."""
    found = lines_with("/proc/self/maps", b" rw-s ")
    shared = [line.decode(errors="replace").split(maxsplit=5) for line in found]
    names = {fields[5].strip() if len(fields) > 5 else "without a name" for fields in shared}
    return [f"shared memory ({name}): one for all branches" for name in sorted(names)]


class _OpenMP:
    """The libgomp libraries that are loaded. Looked for again when a module was imported since."""

    def __init__(self) -> None:
        self.modules = 0
        self.libraries: dict[str, Any] = {}

    def pause(self) -> None:
        if len(sys.modules) != self.modules:
            self.modules = len(sys.modules)
            with open("/proc/self/maps") as maps:
                paths = {line.split(maxsplit=5)[5].strip() for line in maps if "libgomp" in line}
            for path in paths - self.libraries.keys():
                with contextlib.suppress(OSError):
                    self.libraries[path] = ctypes.CDLL(path)
        for library in self.libraries.values():
            library.omp_pause_resource_all(_OMP_PAUSE_HARD)


_openmp = _OpenMP()

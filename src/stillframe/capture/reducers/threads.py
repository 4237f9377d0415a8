"""Locks, threads, queues and pools.

A lock is captured as it is: free, or held. A reentrant lock is held by a thread, and can be released only by that
thread: who restores the threads finds the held ones in the context of the load. A thread that runs is captured by
who captures its frames (`Pickler.running_threads`); without that it stands in the way.
"""

from __future__ import annotations

import _thread
import sys
import threading

from stillframe.capture import rebuild, rebuild_threads
from stillframe.capture.pickler import CannotReduce, Pickler, reducer, reducer_in
from stillframe.capture.reducers.views import held_by

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@reducer(_thread.LockType)
def _reduce_lock(_pickler: Pickler, lock: Any) -> tuple[Any, ...]:
    return rebuild_threads.lock, (lock.locked(),)


@reducer(_thread.RLock)
def _reduce_rlock(pickler: Pickler, lock: Any) -> tuple[Any, ...]:
    # Nothing else tells who holds it if that is another thread.
    said = dict(word.split("=", 1) for word in repr(lock).split() if "=" in word)
    return rebuild_threads.rlock, (pickler.context, int(said["owner"]), int(said["count"]))


@reducer(_thread._local, subclasses=True)
def _reduce_local(pickler: Pickler, local: Any) -> tuple[Any, ...]:
    arguments: tuple[Any, ...] = ()
    keywords: dict[str, Any] = {}
    if type(local) is not threading.local:
        for held in held_by(local):
            if type(held) is tuple:
                arguments = held
            elif (
                type(held) is dict
                and held
                and all(type(key) is str for key in held)
                and held is not vars(local)
            ):
                keywords = held
    dicts = pickler.local_dicts(local) if pickler.local_dicts else {threading.get_ident(): vars(local)}
    made = (pickler.context, type(local), arguments, keywords)
    here = threading.main_thread().ident  # it loads what is captured
    return rebuild_threads.local, made, (here, pickler.context, dicts), None, None, rebuild_threads.set_local


@reducer(threading.Thread, subclasses=True)
def _reduce_thread(pickler: Pickler, thread: threading.Thread) -> Any:
    image = pickler.running_threads.get(id(thread))
    if image is not None:
        return image
    if thread is threading.main_thread():
        return threading.main_thread, ()
    if thread.is_alive() or id(thread) in pickler.state.seen.get("threads that ran", ()):
        raise CannotReduce(thread, "it runs", "Wait for it (`join`) before the capture.")
    attributes = {
        key: value for key, value in vars(thread).items() if key not in rebuild_threads.THREAD_MADE_ANEW
    }
    made = (type(thread), threading.Thread)
    return rebuild.bare, made, attributes, None, None, rebuild_threads.set_thread


@reducer(getattr(_thread, "_ThreadHandle", None))
def _reduce_handle(pickler: Pickler, handle: Any) -> Any:
    image = pickler.running_threads.get(id(handle))
    if image is not None:
        return image
    if handle.ident and not handle.is_done():
        raise CannotReduce(handle, "its thread runs", "Wait for it (`join`) before the capture.")
    return rebuild_threads.handle, (handle.is_done(),)


@reducer_in("_queue", "SimpleQueue", subclasses=True)
def _reduce_simple_queue(_pickler: Pickler, queue: Any) -> tuple[Any, ...]:
    items = held_by(queue)
    if sys.version_info < (3, 13):
        # A list whose first places were taken out already.
        items = next((held for held in items if type(held) is list), [])
        items = items[len(items) - queue.qsize() :]
    return (
        rebuild_threads.simple_queue,
        (type(queue),),
        list(items),
        None,
        None,
        rebuild_threads.set_simple_queue,
    )


@reducer_in("concurrent.futures.thread", "ThreadPoolExecutor", subclasses=True)
def _reduce_pool(pickler: Pickler, pool: Any) -> tuple[Any, ...]:
    attributes = dict(vars(pool))
    workers = attributes.get("_threads", set())
    if not all(id(worker) in pickler.running_threads for worker in workers):
        # Without its threads: it starts new ones when there is work. So there may be none now.
        if pool._work_queue.qsize() or pool._idle_semaphore._value < len(workers):
            raise CannotReduce(
                pool, "it has work that is not done", "Wait for its futures before the capture."
            )
        attributes["_threads"] = set()
        attributes["_idle_semaphore"] = threading.Semaphore(0)
        pickler.state.keep.append(attributes)
    return rebuild.bare, (type(pool), object), attributes, None, None, rebuild_threads.set_pool


@reducer_in("subprocess", "Popen", subclasses=True)
def _reduce_process(_pickler: Pickler, process: Any) -> tuple[Any, ...]:
    if process.returncode is None:
        raise CannotReduce(
            process, f"it is a child process that runs (pid {process.pid})", "Wait for it before the capture."
        )
    return rebuild.bare, (type(process), object), vars(process), None, None, rebuild_threads.set_plain

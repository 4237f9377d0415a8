"""What pickles call to make locks, threads, queues and pools again.

Invariants:
  * No thread is started, but for an empty one where CPython wants proof that a thread has ended.
  * A held reentrant lock comes back free, and is noted in the context of the load: only its thread can take it.
"""

from __future__ import annotations

import _thread
import sys
import threading

from stillframe.capture.rebuild import Context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

THREAD_MADE_ANEW = frozenset({"_invoke_excepthook", "_stderr"})


def lock(is_held: bool) -> Any:
    """A lock."""
    made = _thread.allocate_lock()
    if is_held:
        made.acquire()
    return made


def rlock(context: Context, owner: int, count: int) -> Any:
    """A reentrant lock. `context.rlocks` says which thread holds it, and how often."""
    made = _thread.RLock()
    if owner and count:
        context.rlocks.append((made, owner, count))
    return made


def local(context: Context, cls: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Thread-local data, empty."""
    return cls.__new__(cls, *arguments, **keywords)


def set_local(made: Any, state: tuple[int, Context, dict[int, dict[str, Any]]]) -> None:
    """What a thread has put into thread-local data. Other threads' shares wait in `context.facts["locals"]`."""
    here, context, dicts = state
    for ident, attributes in dicts.items():
        if ident == here:
            namespace = vars(made)
            namespace.clear()
            namespace.update(attributes)
        else:
            context.facts.setdefault("locals", []).append((made, ident, attributes))


def set_thread(made: threading.Thread, attributes: dict[str, Any]) -> None:
    """A thread that has not begun, or has ended."""
    vars(made).update(attributes)
    vars(made)["_invoke_excepthook"] = threading._make_invoke_excepthook()  # type: ignore[attr-defined]
    vars(made)["_stderr"] = sys.stderr
    threading._dangling.add(made)  # type: ignore[attr-defined]


def handle(is_done: bool) -> Any:
    """The handle of a thread that has not begun, or has ended."""
    made = _thread._ThreadHandle()  # type: ignore[attr-defined]
    if is_done:
        _thread.start_joinable_thread(_nothing, handle=made)  # type: ignore[attr-defined]
        made.join()
    return made


def main_handle() -> Any:
    """The handle of the main thread, on which others may wait."""
    return vars(threading.main_thread())["_handle"]


def _nothing() -> None:
    return None


def simple_queue(cls: Any) -> Any:
    """An empty queue."""
    import _queue

    return _queue.SimpleQueue.__new__(cls)


def set_simple_queue(made: Any, items: list[Any]) -> None:
    """What waits in a queue."""
    import _queue

    for item in items:
        _queue.SimpleQueue.put(made, item)


def set_pool(made: Any, attributes: dict[str, Any]) -> None:
    """A pool of threads. At the end of the process it is shut down, as the interpreter does with all of them."""
    vars(made).update(attributes)
    from concurrent.futures import thread

    queues: Any = thread._threads_queues
    for worker in attributes.get("_threads", ()):
        queues[worker] = made._work_queue


def set_plain(made: Any, attributes: dict[str, Any]) -> None:
    """The attributes of an object."""
    vars(made).update(attributes)

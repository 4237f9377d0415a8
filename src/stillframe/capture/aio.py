"""asyncio: loops, tasks and futures, also while one of the tasks is running.

Only one task of a loop runs at a time, and all others are suspended coroutines, so a loop is captured like any
other object: by its attributes, its ready queue and its timers. The task that runs is part of its thread's
continuation; between the loop and its coroutine stands one native function, the task's step.

asyncio exists twice, in C and in Python. What is captured from the one in C comes back as the one in Python,
which has the same attributes in reach: a program with a captured task or future is resumed in a process in
which there is no `_asyncio` (`Header.facts["asyncio"]`).

Invariants:
  * Nothing of asyncio is imported for a program that has not imported it.
  * Loops that watch descriptors of the program's own (servers, connections) are refused by name.
"""

from __future__ import annotations

import asyncio
import asyncio.selector_events
import gc
import selectors
import sys
import types
from collections.abc import Iterable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from stillframe.capture import rebuild_aio
from stillframe.capture.pickler import BASES, REDUCERS, CannotReduce, Pickler, load_reducers
from stillframe.capture.threads import NotNow
from stillframe.frames.inner import Inner, Steps
from stillframe.frames.natives import NATIVES
from stillframe.frames.steps import add_step

if TYPE_CHECKING:
    from stillframe.capture.threads import ThreadImage

_C: Any = sys.modules.get("_asyncio")
_PY_FUTURE, _PY_TASK = asyncio.futures._PyFuture, asyncio.tasks._PyTask  # type: ignore[attr-defined]
_FUTURES: tuple[type, ...] = (_PY_FUTURE,) if _C is None else (_PY_FUTURE, _C.Future)
_TASKS: tuple[type, ...] = (_PY_TASK,) if _C is None else (_PY_TASK, _C.Task)
_CHANGING = frozenset(
    vars(cls)[name].__code__
    for cls in (asyncio.BaseEventLoop, asyncio.selector_events.BaseSelectorEventLoop, asyncio.SelectorEventLoop)
    for name in ("__init__", "close")
)
"""Where there is half a loop."""
_OF_THE_PROCESS = frozenset(
    {"_selector", "_ssock", "_csock", "_internal_fds", "_thread_id", "_clock_resolution"}
)
"""What a loop has that is made anew with it."""
_CLOSE = "Close it before the capture."


def _task_leads_to(thing: Any, args: list[Any], kwargs: dict[str, Any], inner: Inner) -> Steps:
    """A method of a task in C, or its step: it sends to the task's coroutine."""
    task: Any = thing if isinstance(thing, _TASKS) else thing.__self__
    return [("task_step", task)] if inner.generator is task.get_coro() else None


def _future(pickler: Pickler, future: Any) -> tuple[Any, ...]:
    _note(pickler)
    state = _attributes(future)
    finished = future._state == "FINISHED"
    state |= {
        "_state": future._state,
        "_loop": future._loop,
        "_callbacks": list(future._callbacks or ()),
        "_exception": future._exception if finished else None,
        "_result": future._result if finished and future._exception is None else None,
        "_cancel_message": future._cancel_message,
        "_source_traceback": None,
        "_asyncio_future_blocking": future._asyncio_future_blocking,
        "_Future__log_traceback": future._log_traceback,
    }
    pickler.state.keep.append(state)
    return rebuild_aio.future, (_class_of(future),), state, None, None, rebuild_aio.set_attributes


def _attributes(future: Any) -> dict[str, Any]:
    """What the program or a subclass has set on a future; those in C have a namespace, and no `__dict__`."""
    if hasattr(future, "__dict__"):
        return dict(vars(future))
    missing = object()
    for held in gc.get_referents(future):
        if type(held) is dict and all(
            getattr(future, str(key), missing) is value for key, value in held.items()
        ):
            return dict(held)
    return {}


def _task(pickler: Pickler, task: Any) -> tuple[Any, ...]:
    *_, state, _, _, _ = _future(pickler, task)
    state |= {
        "_coro": task.get_coro(),
        "_fut_waiter": task._fut_waiter,
        "_must_cancel": task._must_cancel,
        "_name": task.get_name(),
        "_num_cancels_requested": task.cancelling(),
        "_context": _context_of(task),
        "_log_destroy_pending": task._log_destroy_pending,
    }
    return rebuild_aio.future, (_class_of(task),), state, None, None, rebuild_aio.set_task


def _class_of(future: Any) -> Any:
    """What it comes back as."""
    cls = type(future)
    if _C is not None and cls in (_C.Future, _C.Task):
        return rebuild_aio.FUTURE if cls is _C.Future else rebuild_aio.TASK
    return cls


def _context_of(task: Any) -> Any:
    if hasattr(task, "get_context"):
        return task.get_context()
    if isinstance(task, _PY_TASK):
        return task._context
    # 3.11 does not say; among what a task refers to, its own context comes before those of its callbacks.
    return next((held for held in gc.get_referents(task) if type(held) is Context), None)


def _note(pickler: Pickler) -> None:
    pickler.state.seen["asyncio"] = True


def _step(pickler: Pickler, wrapper: Any) -> tuple[Any, ...]:
    _note(pickler)
    return rebuild_aio.step, (wrapper.__self__,)


def _builtin(pickler: Pickler, function: Any) -> Any:
    if isinstance(function.__self__, _TASKS) and "wakeup" in function.__name__.lower():
        _note(pickler)
        return rebuild_aio.wakeup, (function.__self__,)
    return _PLAIN_BUILTIN(pickler, function)


def _awaited_future(pickler: Pickler, iterator: Any) -> tuple[Any, ...]:
    _note(pickler)
    future = next((held for held in gc.get_referents(iterator) if isinstance(held, _FUTURES)), None)
    return rebuild_aio.AwaitedFuture, (future,)


def _timer(pickler: Pickler, timer: Any) -> tuple[Any, ...]:
    slots = [
        name for cls in type(timer).__mro__ for name in getattr(cls, "__slots__", ()) if name != "__weakref__"
    ]
    state = {name: getattr(timer, name) for name in slots if hasattr(timer, name)}
    state["_source_traceback"] = None
    pickler.state.keep.append(state)
    made = (pickler.context, type(timer), pickler.now.monotonic_s)
    return rebuild_aio.handle, made, state, None, None, rebuild_aio.set_attributes


def _loop(pickler: Pickler, loop: Any) -> tuple[Any, ...]:
    _note(pickler)
    is_known = issubclass(type(loop), asyncio.selector_events.BaseSelectorEventLoop)
    if not is_known or type(loop._selector) is not selectors.EpollSelector:
        raise CannotReduce(
            loop, "it is a loop of another kind than asyncio's own on Linux", "Use asyncio's own loop."
        )
    for key in list((loop._selector.get_map() or {}).values()):
        if loop._ssock is None or key.fd != loop._ssock.fileno():
            what = (
                getattr(key.data[0] or key.data[1], "_callback", key.data)
                if isinstance(key.data, tuple)
                else key.data
            )
            raise CannotReduce(loop, f"it watches descriptor {key.fd} ({_described(what)})", _CLOSE)
    state = {key: value for key, value in vars(loop).items() if key not in _OF_THE_PROCESS}
    selectors_seen = pickler.state.seen.setdefault("selectors", {})
    inner: Any = loop._selector
    selectors_seen[id(inner)] = selectors_seen[id(inner._selector)] = loop
    pickler.state.keep.append(state)
    # The step of a task in C is entered again, as a step of frames; that of one in Python is a frame like any other.
    current = None if _C is not None else asyncio.tasks._current_tasks.get(loop)  # type: ignore[attr-defined]
    image = (loop._thread_id, state, current)
    made = (pickler.context, type(loop))
    pickler.state.keep.append(image)
    return rebuild_aio.loop, made, image, None, None, rebuild_aio.set_loop


def _described(callback: Any) -> str:
    owner = getattr(callback, "__self__", None)
    return type(owner).__name__ if owner is not None else getattr(callback, "__qualname__", repr(callback))


def _selector(pickler: Pickler, selector: Any) -> Any:
    loop = pickler.state.seen.get("selectors", {}).get(id(selector))
    if loop is None:
        raise CannotReduce(selector, "it watches descriptors in the kernel", _CLOSE)
    return rebuild_aio.selector_of, (loop, type(selector) is selectors.EpollSelector)


def find_running_loops(pickler: Pickler, records: list[Any]) -> None:
    """Note the selectors of the loops that run in these frames: a frame may hold one without its loop."""
    run_forever = asyncio.base_events.BaseEventLoop.run_forever.__code__
    for record in records:
        if record.function.__code__ is run_forever and hasattr(record.fast[0], "_selector"):
            loop = record.fast[0]
            seen = pickler.state.seen.setdefault("selectors", {})
            seen[id(loop._selector)] = seen[id(getattr(loop._selector, "_selector", None))] = loop


def check_loops(images: Iterable[ThreadImage]) -> None:
    """Raise NotNow while a thread, other than the asking one, makes or closes a loop."""
    for image in images:
        codes = {record.function.__code__ for record in image.continuation.records}
        if not image.is_asker and not _CHANGING.isdisjoint(codes):
            reason = NotNow("it makes or closes an event loop")
            reason.ident = image.ident
            raise reason


class _FakeLoop:
    """Takes the one callback that a new task asks for."""

    def call_soon(self, callback: Any, **_: Any) -> None:
        self.callback = callback

    def get_debug(self) -> bool:
        return False


async def _nothing() -> None:
    pass


def _step_type() -> type | None:
    """The type of the first callback of a task in C: it has no other name."""
    if _C is None:
        return None
    loop, coroutine = _FakeLoop(), _nothing()
    task = _C.Task(coroutine, loop=loop)
    kind = type(loop.callback)
    task._log_destroy_pending = False
    coroutine.close()
    asyncio.tasks._unregister_task(task)
    return kind


def register() -> None:
    """Have the pickler and the frames know asyncio. Once is enough."""
    if _registered:
        return
    _registered.append(True)
    add_step("task_step", enter=rebuild_aio.enter_task, leave=rebuild_aio.leave_task)
    REDUCERS[type(sys.get_asyncgen_hooks())] = lambda _, hooks: (rebuild_aio.generator_hooks, tuple(hooks))
    REDUCERS[asyncio.TimerHandle] = REDUCERS[asyncio.Handle] = _timer
    REDUCERS[selectors.EpollSelector] = REDUCERS[type(_epoll())] = _selector
    BASES[:0] = [
        (asyncio.BaseEventLoop, _loop),
        *((cls, _task) for cls in _TASKS),
        *((cls, _future) for cls in _FUTURES),
    ]
    if _C is None:
        return
    step = _step_type()
    assert step is not None
    REDUCERS[step] = _step
    NATIVES[step] = NATIVES[_C.Task] = _task_leads_to
    REDUCERS[types.BuiltinFunctionType] = _builtin
    future = _C.Future(loop=_FakeLoop())
    REDUCERS[type(future.__await__())] = _awaited_future


def _epoll() -> Any:
    import select

    with select.epoll() as epoll:
        return epoll


_registered: list[bool] = []
load_reducers()
_PLAIN_BUILTIN: Any = REDUCERS[types.BuiltinFunctionType]

"""What pickles call to make loops, tasks and futures again, of the asyncio that is written in Python.

Invariants:
  * The names of these functions are part of the format.
  * Timers keep their distance from each other, and from the moment of the capture.
"""

from __future__ import annotations

import importlib
import sys
import threading
import time
from typing import Any

from stillframe.capture.rebuild import Context
from stillframe.frames.landing import RAISED, RETURNED, YIELDED, Outcome

FUTURE, TASK = "Future", "Task"


def future(cls: Any) -> Any:
    """A future or task, empty."""
    asyncio: Any = importlib.import_module("asyncio")
    names = {FUTURE: asyncio.futures._PyFuture, TASK: asyncio.tasks._PyTask}
    cls = names[cls] if type(cls) is str else cls
    return cls.__new__(cls)


def set_attributes(made: Any, state: dict[str, Any]) -> None:
    """Its attributes."""
    for name, value in state.items():
        object.__setattr__(made, name, value)


def set_task(made: Any, state: dict[str, Any]) -> None:
    """The attributes of a task, which asyncio.all_tasks() knows from now on."""
    import asyncio

    set_attributes(made, state)
    if state["_state"] == "PENDING":
        asyncio.tasks._register_task(made)


def step(task: Any) -> Any:
    """What a task asks its loop to call."""
    return task._Task__step


def wakeup(task: Any) -> Any:
    """What a task asks the future that it waits for to call."""
    return task._Task__wakeup


class AwaitedFuture:
    """What `await future` goes on with: the future has been given out, and will be asked when it is done."""

    def __init__(self, future: Any) -> None:
        self.future = future

    def __iter__(self) -> AwaitedFuture:
        return self

    __await__ = __iter__

    def __next__(self) -> Any:
        if not self.future.done():
            raise RuntimeError("await wasn't used with future")
        raise StopIteration(self.future.result())

    def send(self, value: Any) -> Any:
        """As next()."""
        return self.__next__()

    def throw(self, error: Any, *_: Any) -> Any:
        """Raise it here."""
        raise error

    def close(self) -> None:
        """Nothing is to be done."""


def handle(context: Context, cls: Any, monotonic_s: float) -> Any:
    """A callback that a loop is to call, at once or at a time."""
    made = cls.__new__(cls)
    context.last.append((_shift, (context, made, monotonic_s)))
    return made


def _shift(context: Context, made: Any, monotonic_s: float) -> None:
    if hasattr(made, "_when"):
        made._when += delay(context, monotonic_s)


def delay(context: Context, monotonic_s: float) -> float:
    """How much later the monotonic clock is than at the capture: the same for all of a load."""
    if "delay_s" not in context.facts:
        context.facts["delay_s"] = time.monotonic() - monotonic_s
    found: float = context.facts["delay_s"]
    return found


def loop(context: Context, cls: Any) -> Any:
    """A loop with a selector and a wake-up pipe of its own."""
    made = cls()
    context.facts.setdefault("loops", []).append(made)
    return made


def set_loop(made: Any, image: tuple[int | None, dict[str, Any], Any]) -> None:
    """The loop's state, and the task that it runs. Where it runs, its thread says so when it goes on."""
    thread_id, state, current = image
    vars(made).update(state)
    made._thread_id = thread_id
    if current is not None:
        sys.modules["asyncio"].tasks._current_tasks[made] = current


def selector_of(made: Any, is_outer: bool) -> Any:
    """The selector of a loop, or the epoll object in it."""
    return made._selector if is_outer else made._selector._selector


def generator_hooks(firstiter: Any, finalizer: Any) -> Any:
    """What sys.get_asyncgen_hooks() returns, which nothing else can make."""
    before = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(firstiter, finalizer)
    made = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(*before)
    return made


def take_loops(context: Context, ident: int) -> None:
    """Have the loops that ran in the thread `ident` run in this one."""
    for made in context.facts.get("loops", ()):
        if made._thread_id == ident and made.is_running():
            made._thread_id = threading.get_ident()
            sys.modules["asyncio"].events._set_running_loop(made)
            sys.set_asyncgen_hooks(
                firstiter=made._asyncgen_firstiter_hook, finalizer=made._asyncgen_finalizer_hook
            )


def enter_task(task: Any) -> None:
    """What the step of a task does before it sends to its coroutine."""
    tasks = sys.modules["asyncio"].tasks
    if tasks._current_tasks.get(task._loop) is not task:
        tasks._enter_task(task._loop, task)


class _Came:
    """In the place of a coroutine, for one send(): it gives what the coroutine gave."""

    def __init__(self, task: Any, outcome: Outcome) -> None:
        self.task, self.outcome = task, outcome
        self.coroutine, self.must_cancel = task._coro, task._must_cancel
        task._coro, task._must_cancel = self, False

    def send(self, _: Any) -> Any:
        """What came of the coroutine."""
        self.task._coro, self.task._must_cancel = self.coroutine, self.must_cancel
        kind, value = self.outcome
        if kind == YIELDED:
            return value
        raise value if kind == RAISED else StopIteration(value)


def leave_task(outcome: Outcome, task: Any) -> Outcome:
    """What the step of a task does with what its coroutine gives: asyncio's own code does it."""
    sys.modules["asyncio"].tasks._leave_task(task._loop, task)
    _Came(task, outcome)
    try:
        task._Task__step()
    except BaseException as error:  # noqa: BLE001  (what the step raises, its loop gets)
        return RAISED, error
    return RETURNED, None

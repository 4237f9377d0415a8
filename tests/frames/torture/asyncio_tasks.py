"""An asyncio program: gather, queues, events, locks, timers, task groups, cancellation; captured plainly inside."""

import asyncio
import contextlib
import contextvars

from snap import snap

events = []
variable = contextvars.ContextVar("variable", default="unset")


async def sleeper(name, times):
    for turn in range(times):
        await asyncio.sleep(0.001)
        events.append((name, turn))
    return name


async def producer(queue):
    for number in range(3):
        await queue.put(snap(number))
    await queue.put(None)


async def consumer(queue):
    seen = []
    while (item := await queue.get()) is not None:
        seen.append(item)
    return seen


async def ticking(n):
    for i in range(n):
        await asyncio.sleep(0)
        yield snap(i)


async def with_context(value):
    variable.set(value)
    await asyncio.sleep(0)
    return snap(variable.get())


async def cancelled():
    try:
        await asyncio.sleep(100)
    except asyncio.CancelledError:
        events.append(("cancelled", snap("cleaning up")))
        raise
    finally:
        await asyncio.sleep(0)
        events.append("cleaned up")


@contextlib.asynccontextmanager
async def managed(name):
    await asyncio.sleep(0)
    try:
        yield snap(name)
    finally:
        await asyncio.sleep(0)
        snap("leaving")


async def locked(lock, name):
    async with lock:
        await asyncio.sleep(0)
        return snap(name)


async def main():
    events.append(await asyncio.gather(sleeper("a", 1), with_context("one"), with_context("two")))
    queue = asyncio.Queue(maxsize=1)
    events.append(await asyncio.gather(producer(queue), consumer(queue)))
    events.append([i async for i in ticking(2)])
    task = asyncio.create_task(cancelled(), name="to be cancelled")
    await asyncio.sleep(0)
    snap("with a task that sleeps")
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    events.append((task.cancelled(), task.get_name()))
    async with managed("m") as name:
        events.append(name)
    lock = asyncio.Lock()
    events.append(await asyncio.gather(*(locked(lock, name) for name in "xy")))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(with_context(n)) for n in range(2)]
    events.append([task.result() for task in tasks])
    try:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(snap(100))
    except TimeoutError:
        events.append(snap("timed out"))
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(failing())
            group.create_task(cancelled())
    except* ValueError as caught:
        events.append([str(error) for error in caught.exceptions])
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, snap("by a callback"))
    snap("with a callback waiting")
    events.append(await future)
    asyncio.get_running_loop().call_later(0.001, events.append, "timer")
    snap("with a timer waiting")
    await asyncio.sleep(0.02)
    event = asyncio.Event()
    waiting = asyncio.create_task(event.wait())
    await asyncio.sleep(0)
    snap("with a task that waits for an event")
    event.set()
    events.append(await waiting)
    events.append((variable.get(), len(asyncio.all_tasks())))
    return snap("done")


async def failing():
    await asyncio.sleep(0)
    raise ValueError(snap("in a task"))


events.append(asyncio.run(main()))
snap("after the loop has closed")

print("\n".join(map(repr, events)))

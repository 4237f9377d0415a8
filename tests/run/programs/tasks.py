"""An asyncio program: tasks, queue, lock, event, timers, an asynchronous generator, a timeout, contexts."""

import asyncio
import contextvars
import hashlib
import sys

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 200
label = contextvars.ContextVar("label")


def work(number):
    value = number
    for step in range(1500):
        value = (value * 31 + step) % 1_000_003
    return value


async def numbers():
    for number in range(COUNT):
        if number % 10 == 0:
            await asyncio.sleep(0.001)
        yield number


async def produce(jobs):
    async for number in numbers():
        await jobs.put(number)
    for _ in range(2):
        await jobs.put(None)


async def consume(name, jobs, lock, results):
    label.set(name)
    while (number := await jobs.get()) is not None:
        value = work(number)
        async with lock:
            results.append((number, value))
        await asyncio.sleep(0)
        assert label.get() == name


async def impatient():
    given_up = 0
    for _ in range(5):
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            given_up += 1
    return given_up


async def main():
    jobs, lock, results = asyncio.Queue(maxsize=5), asyncio.Lock(), []
    async with asyncio.TaskGroup() as group:
        group.create_task(produce(jobs))
        waiting = group.create_task(impatient())
        for name in "ab":
            group.create_task(consume(name, jobs, lock, results))
    results.sort()
    return len(results), waiting.result(), hashlib.sha256(repr(results).encode()).hexdigest()


print("begin")
print(*asyncio.run(main()))

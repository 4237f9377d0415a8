"""In a task of a running loop, with others asleep, waiting for a queue, an event and a lock."""

import asyncio
import os

import stillframe


async def worker(name, queue, done):
    while (item := await queue.get()) is not None:
        await asyncio.sleep(0.001)
        done.append((name, item))


async def waiter(event):
    await event.wait()
    return "woken"


async def main():
    queue, event, done = asyncio.Queue(), asyncio.Event(), []
    tasks = [asyncio.create_task(worker("w", queue, done)), asyncio.create_task(waiter(event))]
    await queue.put(1)
    await asyncio.sleep(0.01)
    print(done)
    stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
    await queue.put(2)
    await queue.put(None)
    event.set()
    return [*await asyncio.gather(*tasks), done]


print(asyncio.run(main()))

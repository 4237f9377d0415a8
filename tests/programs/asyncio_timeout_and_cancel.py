"""With a timeout running and a task to be cancelled."""

import asyncio
import os

import stillframe


async def sleeper():
    try:
        await asyncio.sleep(1000)
    except asyncio.CancelledError:
        print("cancelled")
        raise


async def main():
    task = asyncio.create_task(sleeper())
    await asyncio.sleep(0)
    try:
        async with asyncio.timeout(0.05):
            stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
            await asyncio.sleep(1000)
    except TimeoutError:
        print("timed out")
    task.cancel()
    print(await asyncio.gather(task, return_exceptions=True))


asyncio.run(main())

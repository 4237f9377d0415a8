"""In an asynchronous generator, under async for, in an async with."""

import asyncio
import contextlib
import os

import stillframe


@contextlib.asynccontextmanager
async def managed():
    print("enter")
    try:
        yield "managed"
    finally:
        await asyncio.sleep(0)
        print("exit")


async def numbers():
    for n in range(3):
        await asyncio.sleep(0)
        if n == 1:
            stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        yield n


async def main():
    async with managed() as name:
        return name, [n async for n in numbers()]


print(asyncio.run(main()))

"""Asynchronous generators driven by hand: asend, athrow, aclose, async for, comprehensions, in every state."""

import inspect
import types

from snap import snap

events = []


@types.coroutine
def pause(value):
    return (yield value)


def run(awaitable):
    """Drive an awaitable: what it yielded to the loop, and what came of it."""
    iterator = awaitable.__await__()
    seen = []
    try:
        while True:
            seen.append(snap(next(iterator)))
    except StopIteration as stop:
        return seen, stop.value
    except StopAsyncIteration:
        return seen, "StopAsyncIteration"


async def ticking(n):
    try:
        for i in range(n):
            await pause(("tick", snap(i)))
            got = yield snap(i)
            if got is not None:
                events.append(("got", got))
    except ValueError as error:
        await pause("handling")
        yield snap(("caught", str(error)))
    finally:
        await pause(snap("finally"))
        events.append("finished")


a = ticking(2)
events.append(run(a.__anext__()))
events.append(run(a.asend(snap("sent"))))
snap("with a suspended asynchronous generator alive")
events.append(run(a.__anext__()))
events.append(run(a.__anext__()))

a = ticking(3)
events.append(run(a.__anext__()))
events.append(run(a.athrow(ValueError(snap("thrown")))))
events.append(run(a.aclose()))

a = ticking(1)
events.append(run(a.aclose()))
a = ticking(3)
run(a.__anext__())
events.append(run(a.aclose()))


async def doubled(source):
    async for item in source:
        yield snap(item * 2)


async def consuming():
    seen = [item async for item in doubled(ticking(2))]
    seen.append({item: snap(item) async for item in ticking(1)})
    seen.append(sorted({item async for item in ticking(2) if snap(item) > 0}))
    generator = (snap(item + 1) async for item in ticking(2))
    async for item in generator:
        seen.append(item)
    else:
        seen.append(snap("else"))
    unfinished = ticking(3)
    async for item in unfinished:
        seen.append(("breaking", item))
        break
    await unfinished.aclose()
    return seen


events.append(run(consuming()))


async def nested():
    return [[snap((i, j)) async for j in ticking(2)] async for i in ticking(1)]


events.append(run(nested()))


async def raising():
    yield snap(1)
    raise KeyError(snap("in an asynchronous generator"))


async def catching():
    try:
        async for item in raising():
            events.append(item)
    except KeyError as error:
        return snap(repr(error))


events.append(run(catching()))


class Manager:
    async def __aenter__(self):
        return snap("entered")

    async def __aexit__(self, *details):
        await pause(snap("leaving"))


async def with_manager():
    async with Manager() as value:
        yield value
        yield snap("inside")


async def over_manager():
    return [item async for item in with_manager()]


events.append(run(over_manager()))


async def half_done():
    source = ticking(3)
    first = await source.__anext__()
    await pause(snap("with it half done"))
    second = await anext(source)
    rest = [item async for item in source]
    third = await anext(source, snap("default"))
    return first, second, rest, third


events.append(run(half_done()))
suspended = half_done()
events.append(suspended.send(None))
snap("suspended inside an asynchronous generator")
events.append(suspended.cr_await is not None)
while inspect.getcoroutinestate(suspended) != "CORO_CLOSED":
    try:
        events.append(suspended.send(None))
    except StopIteration as stop:
        events.append(stop.value)


class Hand:
    """An asynchronous iterator whose __anext__ is not a coroutine function."""

    def __init__(self):
        self.n = 0

    def __aiter__(self):
        snap("__aiter__")
        return self

    def __anext__(self):
        self.n += 1
        if self.n > 2:
            raise StopAsyncIteration(snap("over"))
        return pause_and(self.n)


async def pause_and(value):
    await pause(snap("pausing"))
    return value


async def over_hand():
    return [item async for item in Hand()]


events.append(run(over_hand()))

print("\n".join(map(repr, events)))

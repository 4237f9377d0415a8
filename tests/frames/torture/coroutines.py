"""Coroutines driven by hand: await on coroutines, __await__ objects and generators; throw, close, async with/for."""

import inspect
import types

from snap import snap

events = []


@types.coroutine
def pause(value):
    return (yield value)


class Awaitable:
    def __init__(self, value):
        self.value = value

    def __await__(self):
        got = yield snap(("awaiting", self.value))
        return snap((self.value, got))


def run(coroutine, *sends):
    """Drive a coroutine by hand: what it yielded, and what it returned."""
    seen = []
    sends = [None, *sends]
    try:
        while True:
            seen.append(coroutine.send(sends.pop(0) if sends else snap("more")))
    except StopIteration as stop:
        return seen, stop.value


async def leaf(n):
    snap("leaf")
    got = await pause(snap(n))
    return snap((n, got))


async def middle(n):
    first = await leaf(n)
    second = await leaf(n + 1)
    return [first, second, snap("middle")]


async def top():
    return [await middle(1), await Awaitable(snap(5)), (await leaf(7))[0] + snap(1)]


events.append(run(top(), "a", "b", "c"))


class Manager:
    def __init__(self, name, swallow=False):
        self.name, self.swallow = name, swallow

    async def __aenter__(self):
        await pause(("enter", self.name))
        return snap(self)

    async def __aexit__(self, kind, error, traceback):
        events.append(("exit", self.name, repr(error)))
        await pause(("exit", snap(self.name)))
        return snap(self.swallow)


async def with_managers():
    async with Manager("a") as a, Manager(snap("b"), swallow=True):
        await leaf(1)
        events.append(a.name)
        raise ValueError(snap("inside"))
    events.append("swallowed")
    async with Manager("c"):
        return snap("returned from inside")


events.append(run(with_managers()))


class Counter:
    def __init__(self, n):
        self.n = n

    def __aiter__(self):
        return snap(self)

    async def __anext__(self):
        if self.n == 0:
            raise StopAsyncIteration
        self.n -= 1
        await pause(("next", snap(self.n)))
        return snap(self.n)


async def looping():
    seen = []
    async for i in Counter(2):
        seen.append(snap(i))
    else:
        seen.append("else")
    async for i in Counter(3):
        if i == 1:
            break
        continue
    seen.extend([i async for i in Counter(2)])
    seen.append({i: await leaf(i) async for i in Counter(1)})
    seen.append([await leaf(i) for i in [snap(1)]])
    seen.append([j async for i in Counter(1) async for j in Counter(2) if snap(j)])
    return seen


events.append(run(looping()))


async def catching():
    try:
        await leaf(1)
    except KeyError as error:
        events.append(("caught", repr(error)))
        await leaf(2)
        return snap("recovered")
    finally:
        await leaf(3)


c = catching()
events.append(c.send(None))
events.append((inspect.getcoroutinestate(c), c.cr_await is not None))
events.append(c.throw(KeyError(snap("thrown"))))
events.append(c.send("x"))
try:
    c.send("y")
except StopIteration as stop:
    events.append(stop.value)
events.append(inspect.getcoroutinestate(c))


async def closing():
    try:
        await leaf(1)
    finally:
        events.append(snap("closed"))


c = closing()
c.send(None)
c.close()
unstarted = leaf(0)
events.append(inspect.getcoroutinestate(unstarted))
snap("with an unstarted coroutine alive")
unstarted.close()
waiting = middle(10)
events.append(waiting.send(None))
snap("with a suspended coroutine alive")
events.append([waiting.send("w1"), inspect.getcoroutinestate(waiting)])
try:
    waiting.send("w2")
except StopIteration as stop:
    events.append(stop.value)
try:
    waiting.send(None)
except RuntimeError as error:
    events.append(str(error))


async def failing():
    await leaf(1)
    raise OSError(snap("in a coroutine"))


async def outer_of_failing():
    try:
        await failing()
    except OSError as error:
        depth = 0
        traceback = error.__traceback__
        while traceback:
            depth, traceback = depth + 1, traceback.tb_next
        return snap((repr(error), depth))


events.append(run(outer_of_failing()))


async def expression():
    return snap(1) + await leaf(2)[0] if False else (await leaf(3), snap(4), [await leaf(5)])


events.append(run(expression()))


async def deep(n):
    return snap(n) if n == 0 else [n, *([await deep(n - 1)])]


events.append(run(deep(3)))
events.append(run(leaf(snap(9)).__await__()) if False else run(leaf(9)))


class Wrapper:
    def __init__(self, coroutine):
        self.coroutine = coroutine

    def __await__(self):
        snap("wrapped")
        return (yield from self.coroutine.__await__())


async def through_wrapper():
    return snap(await Wrapper(leaf(11)))


events.append(run(through_wrapper()))

print("\n".join(map(repr, events)))

"""Generators: next, send, throw, close, for; running, suspended, exhausted, unstarted; return values."""

import inspect
import types

from snap import snap

events = []


def counting(n):
    try:
        while n:
            got = yield snap(n)
            events.append(("got", got))
            n -= 1
    finally:
        snap("cleaning up")
    return snap("returned")


g = counting(2)
events.append(inspect.getgeneratorstate(g))
events.append(next(g))
events.append(inspect.getgeneratorstate(g))
events.append(g.send(snap("sent")))
try:
    next(g)
except StopIteration as stop:
    events.append(("stopped", stop.value))
events.append((next(g, snap("default")), inspect.getgeneratorstate(g)))


def catching():
    while True:
        try:
            events.append(("received", (yield snap("ready"))))
        except ValueError as error:
            events.append(("caught", str(error), snap(1)))
            yield snap("after the error")
        except GeneratorExit:
            snap("closing")
            raise
        else:
            snap("no error")


g = catching()
events.append(g.send(None))
events.append(g.throw(ValueError("thrown in")))
events.append(next(g))
events.append(g.send(snap(5)))
events.append(g.close())
events.append(inspect.getgeneratorstate(g))
unstarted = counting(1)
unstarted.close()
events.append(inspect.getgeneratorstate(unstarted))
unstarted = counting(1)
try:
    unstarted.throw(KeyError(snap("into an unstarted one")))
except KeyError as error:
    events.append(repr(error))


def running():
    """Looks at itself while it runs."""
    events.append((me.gi_running, inspect.getgeneratorstate(me), snap(1)))
    try:
        next(me)
    except ValueError as error:
        events.append((str(error), snap(2)))
    yield snap(3)
    events.append((me.gi_running, me.gi_frame.f_lineno > 0, me.gi_yieldfrom))


me = running()
events.append(next(me))
events.append((me.gi_running, next(me, "done")))


def refusing_to_stop():
    try:
        yield snap(1)
    except GeneratorExit:
        yield snap("still here")


g = refusing_to_stop()
next(g)
try:
    g.close()
except RuntimeError as error:
    events.append(str(error))


def raising():
    yield snap(1)
    snap("about to fail")
    raise StopIteration("turned into a RuntimeError")


g = raising()
next(g)
try:
    next(g)
except RuntimeError as error:
    events.append((str(error), repr(error.__cause__)))

suspended = counting(3)
events.append(next(suspended))
several = [counting(n) for n in (1, 2)]
events.append([next(g) for g in several])
exhausted = (x for x in [])
events.append(list(exhausted))
snap("with four generators in other states alive")
events.append([next(g, "end") for g in (suspended, *several, exhausted)])
suspended.close()
del several
snap("after two were dropped")


def infinite():
    n = 0
    while True:
        n += 1
        jump = yield snap(n)
        if jump is not None:
            n = jump


g = infinite()
events.append([next(g), g.send(10), next(g)])
for value in infinite():
    if value == 2:
        events.append(snap("breaking"))
        break
events.append([a + snap(b) for a, b in zip(infinite(), [1, 2])])


def expression():
    x = (yield snap(1)) + (yield snap(2)) * snap(3)
    return [x, (yield), snap((yield x))]


g = expression()
events.append([next(g), g.send(10), g.send(5), g.send(snap("s")), next(g, 0)])


@types.coroutine
def generator_coroutine():
    got = yield snap("in a generator coroutine")
    return snap(got)


async def awaiting():
    return await generator_coroutine()


c = awaiting()
events.append(c.send(None))
try:
    c.send(9)
except StopIteration as stop:
    events.append(stop.value)


class Tree:
    def __init__(self, value, *children):
        self.value, self.children = value, children

    def __iter__(self):
        yield snap(self.value)
        for child in self.children:
            for value in child:
                yield value


events.append([v for v in Tree(1, Tree(2, Tree(3)), Tree(4))])
holder = {"g": infinite()}
events.append([next(holder["g"]), holder["g"].gi_frame.f_locals["n"], snap(holder)["g"] is holder["g"]])


def with_finally_and_return():
    try:
        yield snap(1)
        return snap("in try")
    finally:
        events.append(snap("finally"))


g = with_finally_and_return()
next(g)
try:
    next(g)
except StopIteration as stop:
    events.append(stop.value)

print("\n".join(map(repr, events)))

"""The exception being handled: sys.exc_info across calls, generators, nested handlers, finally and with."""

import sys
import traceback

from snap import snap

events = []


def current():
    kind, error, tb = sys.exc_info()
    snap("looking")
    again = sys.exc_info()
    return (kind and kind.__name__, repr(error), tb is not None, again[1] is error, sys.exception() is error)


events.append(current())
try:
    raise ValueError(snap(1))
except ValueError:
    events.append(current())
    try:
        raise KeyError(snap(2))
    except KeyError:
        events.append(current())
    events.append(current())
events.append(current())


def in_finally():
    try:
        raise OSError(snap("in flight"))
    finally:
        events.append(current())


try:
    in_finally()
except OSError:
    events.append(current())
try:
    events.append("no error")
finally:
    events.append(current())


class Exit:
    def __enter__(self):
        return snap(self)

    def __exit__(self, *details):
        events.append(("exit", details[0].__name__, current()))
        return True


with Exit():
    raise TypeError(snap("in a with"))
events.append(current())


def generator():
    events.append(("starting", current()))
    try:
        raise LookupError(snap("inside the generator"))
    except LookupError:
        events.append(("handling", current()))
        yield snap(1)
        events.append(("still handling", current()))
        yield 2
    events.append(("done handling", current()))
    yield snap(3)


g = generator()
events.append(next(g))
events.append(("outside", current()))
try:
    raise ArithmeticError(snap("outside"))
except ArithmeticError:
    events.append(next(g))
    events.append(("outside again", current()))
    events.append(next(g))
events.append(("after", current()))
events.append(next(g, "end"))


def other_in_a_handler():
    yield current()
    yield current()


try:
    raise ValueError("around a generator")
except ValueError:
    seen = [item for item in other_in_a_handler()]
    events.append(seen)
half = other_in_a_handler()
next(half)
try:
    raise EOFError("a generator started outside")
except EOFError:
    events.append(next(half))


def calls_in_handlers(n):
    try:
        raise ValueError(n)
    except ValueError as error:
        if n:
            inner = calls_in_handlers(n - 1)
        else:
            inner = snap([])
        return [(n, repr(sys.exception()), repr(error.__context__)), *inner]


events.append(calls_in_handlers(3))


def delegating():
    try:
        raise ValueError("delegating")
    except ValueError:
        yield from other_in_a_handler()
        yield current()


events.append([item for item in delegating()])
coroutine_states = []


async def coroutine():
    try:
        raise ValueError("in a coroutine")
    except ValueError:
        coroutine_states.append(current())
        await other()
        coroutine_states.append(current())


async def other():
    coroutine_states.append(current())
    try:
        raise KeyError("in the awaited")
    except KeyError:
        coroutine_states.append(current())


try:
    coroutine().send(None)
except StopIteration:
    events.append(coroutine_states)


def bare_raise():
    raise


try:
    raise ValueError("raised again from a function")
except ValueError:
    try:
        snap("before")
        bare_raise()
    except ValueError as error:
        events.append((str(error), len(traceback.extract_tb(error.__traceback__)), current()))
try:
    bare_raise()
except RuntimeError as error:
    events.append(str(error))


class Property:
    @property
    def value(self):
        return current()

    def __getitem__(self, key):
        return current()

    def __del__(self):
        events.append(("finalizer", current()))


thing = Property()
try:
    raise ValueError("around a property")
except ValueError:
    events.append([thing.value, thing[0]])
    del thing
try:
    try:
        raise ValueError("first")
    except ValueError:
        raise KeyError(snap("second"))
except KeyError as error:
    events.append((repr(error.__context__), current()))
for number in range(2):
    try:
        raise ValueError(number)
    except ValueError:
        events.append(current()[1])
        continue
    finally:
        events.append(current())
try:
    raise ExceptionGroup("group", [ValueError("in a group")])
except* ValueError:
    events.append(current())


def return_from_handler():
    try:
        raise ValueError("left by return")
    except ValueError:
        return snap(sys.exception())


events.append((repr(return_from_handler()), current()))

print("\n".join(map(repr, events)))

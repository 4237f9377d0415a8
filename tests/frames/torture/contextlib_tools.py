"""contextlib: contextmanager, ExitStack, suppress, closing, redirect_stdout, nullcontext, decorators."""

import contextlib
import io

from snap import snap

events = []


@contextlib.contextmanager
def managed(name, swallow=False):
    events.append(("enter", snap(name)))
    try:
        yield snap(name)
    except ValueError as error:
        events.append(("error", str(error)))
        snap("handling")
        if not swallow:
            raise
    else:
        snap("no error")
    finally:
        events.append(("exit", snap(name)))


with managed("a") as a, managed("b"):
    events.append(snap(a))
with managed("swallowing", swallow=True):
    raise ValueError(snap("swallowed"))
try:
    with managed("passing"):
        raise ValueError(snap("passes"))
except ValueError as error:
    events.append(str(error))
try:
    with managed("other"):
        raise KeyError(snap("not handled there"))
except KeyError as error:
    events.append(repr(error))


@managed("decorating")
def decorated(n):
    return snap(n)


events.append([decorated(1), decorated(2)])


class Closing:
    def __init__(self, name):
        self.name = name

    def close(self):
        events.append(("closed", snap(self.name)))


with contextlib.closing(Closing("by closing")) as c:
    events.append(snap(c.name))
with contextlib.suppress(ZeroDivisionError, KeyError):
    1 / snap(0)
with contextlib.nullcontext(snap(5)) as value:
    events.append(value)
out = io.StringIO()
with contextlib.redirect_stdout(out):
    print("captured", snap("text"))
events.append(out.getvalue())

with contextlib.ExitStack() as stack:
    names = [stack.enter_context(managed(f"stacked {i}")) for i in range(2)]
    stack.callback(lambda *args: events.append(("callback", snap(args))), 1, 2)
    stack.push(lambda *details: snap(details[0] is None))
    snap("in the stack")
    events.append(names)
with contextlib.ExitStack() as stack:
    stack.enter_context(managed("outer", swallow=True))
    stack.callback(snap, "plain callback")
    raise ValueError(snap("through the stack"))


def moved():
    with contextlib.ExitStack() as stack:
        stack.callback(events.append, ("moved callback", snap(1)))
        return stack.pop_all()


kept = moved()
snap("with a kept stack")
kept.close()


class Decorator(contextlib.ContextDecorator):
    def __enter__(self):
        snap("entering")
        return self

    def __exit__(self, *details):
        events.append(("decorator exit", details[0] is None))
        return snap(False)


@Decorator()
def function():
    return snap("decorated by a class")


events.append(function())


@contextlib.contextmanager
def nested():
    with managed("inner of nested") as name:
        with contextlib.suppress(LookupError):
            yield [snap(name)]
        snap("after the suppress")


with nested() as names:
    events.append(names)
    raise LookupError(snap("into the generator"))
try:
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: 1 / snap(0))
        raise OSError(snap("first"))
except ZeroDivisionError as error:
    events.append((str(error), repr(error.__context__)))


@contextlib.contextmanager
def never_yields():
    if snap(False):
        yield


try:
    with never_yields():
        pass
except RuntimeError as error:
    events.append(str(error))


@contextlib.asynccontextmanager
async def asynchronous(name):
    events.append(("async enter", snap(name)))
    try:
        yield snap(name)
    finally:
        events.append(("async exit", snap(name)))


async def using():
    async with asynchronous("one") as one, contextlib.AsyncExitStack() as stack:
        two = await stack.enter_async_context(asynchronous("two"))
        stack.callback(lambda: events.append(snap("callback")))
        return snap([one, two])


try:
    using().send(None)
except StopIteration as stop:
    events.append(stop.value)

print("\n".join(map(repr, events)))

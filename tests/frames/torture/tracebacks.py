"""Tracebacks as they are printed: lines, names and marks of every frame, across all that can be in between."""

import os
import sys
import traceback

from snap import snap

events = []


def text(error):
    """The traceback as printed, without this file's directory."""
    lines = "".join(traceback.format_exception(error))
    return lines.replace(os.path.dirname(os.path.abspath(__file__)) + os.sep, "").splitlines()


def stack():
    """The stack as traceback.extract_stack sees it."""
    return [(frame.name, frame.lineno, frame.line) for frame in traceback.extract_stack()[:-1]]


def fail(value):
    return snap(value) / 0


def caller(value):
    return [1, fail(value) + 2, 3]


def multi_line(value):
    return (
        snap(1)
        + caller(
            snap(value),
        )
        + snap(3)
    )


class Thing:
    def __init__(self, value):
        self.value = fail(value)

    def __getattr__(self, name):
        return multi_line(name == "x" and 5)

    @property
    def size(self):
        return caller(6)


def generator():
    yield snap(1)
    yield fail(snap(2))


def delegating():
    yield from generator()


def decorated(function):
    def wrapper(*args):
        snap("in the wrapper")
        return function(*args)

    return wrapper


@decorated
def inside(value):
    with open(os.devnull):
        return (lambda: fail(value))()


def recursive(n):
    if n == 0:
        return fail(9)
    return recursive(n - 1)


def in_handler():
    try:
        fail(10)
    except ZeroDivisionError as error:
        snap("handling")
        raise ValueError("wrapped") from error


def in_finally():
    try:
        fail(11)
    finally:
        snap("finally")


def evaluated():
    return eval("fail(12) + 1")


def executed():
    exec(compile("x = 1\ny = fail(13)\n", "<text>", "exec"))


def in_class_body():
    class Body:
        value = fail(14)


def in_comprehension():
    return [fail(i) for i in range(1)]


ways = [
    lambda: fail(1),
    lambda: caller(2),
    lambda: multi_line(3),
    lambda: Thing(4),
    lambda: Thing.__new__(Thing).x,
    lambda: Thing.__new__(Thing).size,
    lambda: [item for item in delegating()],
    lambda: inside(8),
    lambda: recursive(3),
    in_handler,
    in_finally,
    evaluated,
    executed,
    in_class_body,
    in_comprehension,
]
for way in ways:
    try:
        way()
    except (ZeroDivisionError, ValueError) as error:
        events.append(text(error))
        kept = error
        snap("with the exception alive")
        events.append(text(kept) == events[-1])


def where():
    snap("above")
    return stack()


def by_property():
    class Asking:
        @property
        def here(self):
            return where()

    return Asking().here


def by_generator():
    yield where()


events.append(where())
events.append(by_property())
events.append(next(by_generator()))
events.append([where() for _ in range(1)])
frame = sys._getframe()
events.append((snap(frame.f_lineno), frame.f_lineno, frame.f_code.co_name))


def lines_passed():
    first = sys._getframe().f_lineno
    snap(1)
    second = sys._getframe().f_lineno
    return second - first, snap(
        2
    ), sys._getframe().f_lineno - first


events.append(lines_passed())
try:
    x = 1
    snap(x)
    raise RuntimeError("on a later line")
except RuntimeError as error:
    events.append(text(error))
traceback_kept = kept.__traceback__
events.append([(f.f_code.co_name, line) for f, line in traceback.walk_tb(snap(traceback_kept))])
events.append(sorted(traceback_kept.tb_next.tb_frame.f_locals))

print("\n".join("\n".join(e) if isinstance(e, list) and e and type(e[0]) is str else repr(e) for e in events))

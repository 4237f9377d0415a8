"""Instructions that let go of what they work on before they are through, and interruptions between instructions."""

import signal
from collections import defaultdict

from snap import snap

events = []


class Text(str):
    def __format__(self, spec):
        return snap(f"<{str.__str__(self)}|{spec}>")


class Shown:
    def __str__(self):
        return Text(snap("shown"))

    def __repr__(self):
        return Text("repr" * 2)


events.append(f"{Shown()!s}")
events.append(f"{Shown()!s:>3}")
events.append(f"{Shown()!r:{3 + len(events)}}")
events.append(f"{Text('x')} {Text('y'):z}")


class Verdict:
    __bool__ = lambda self: snap(True)  # noqa: E731


class Judged:
    def __lt__(self, other):
        return [snap(None), Verdict()][1]


def compare():
    found = []
    if Judged() < Judged():
        found.append("if")
    found.append("and" if Judged() < Judged() and snap(1) else "or")
    while not Judged() < Judged():
        found.append("never")
    return found


events.append(compare())


class Made:
    def __init__(self, *args, **named):
        snap(len(args))
        self.args, self.named = args, named


class Named(Made):
    def __new__(cls, *args, **named):
        snap(len(args))
        return super().__new__(cls)


def letters(count):
    return "".join(["abcdefgh"[index] for index in range(count)])


def spread(flag):
    first = Made(*(letters(2) if flag else "xy"))
    second = Made(*(letters(3) if flag else (flag, flag)), e=snap(1))
    third = (Named if flag else Made)(*(letters(4) if flag else "wxyz"), e=2)
    fourth = Named(*([*letters(5)] if flag else (1, letters(1))))
    return [(made.args, made.named) for made in (first, second, third, fourth)]


events.append(spread(True))
events.append(spread(False))


class Counting(defaultdict):
    pass


parts = Counting(lambda: snap([]))
parts["a"].append(1)
try:
    parts[1:2].append(3)
    parts[1:2].append(4)
except TypeError:
    pass  # slices are no keys before 3.12
events.append(len(parts))
events.append(sorted(map(str, parts.values())))


class Handler:
    def __init__(self):
        self.calls = 0

    def __call__(self, *_):
        self.calls += 1
        snap(self.calls)

    def method(self, number, frame=None):
        frame = None  # noqa: F841
        self()


def interrupted(how):
    handler = Handler()
    old = signal.signal(signal.SIGALRM, how(handler))
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    while not handler.calls:
        pass
    signal.signal(signal.SIGALRM, old)
    return handler.calls


events.append(interrupted(lambda handler: handler))
events.append(interrupted(lambda handler: handler.method))
events.append(interrupted(lambda handler: lambda *_: handler()))

print("\n".join(map(repr, events)))

"""sys._getframe chains, inspect.stack, f_locals, f_back, f_lineno: frames as objects, kept and looked at later."""

import inspect
import sys

from snap import snap

events = []


def chain(frame):
    found = []
    while frame is not None:
        found.append((frame.f_code.co_name, frame.f_lineno))
        frame = frame.f_back
    return found


def here():
    snap("looking")
    return chain(sys._getframe(1))


def outer():
    return middle()


def middle():
    x = "local of middle"
    return inner(), x


def inner():
    found = here()
    return found


class Thing:
    def __init__(self):
        self.seen = here()

    @property
    def frames(self):
        return here()

    def __add__(self, other):
        return here()

    def __enter__(self):
        return here()

    def __exit__(self, *details):
        events.append(here())

    def __iter__(self):
        yield here()


events.append(here())
events.append(outer())
events.append(Thing().seen)
events.append(Thing().frames)
events.append(Thing() + 1)
with Thing() as frames:
    events.append(frames)
events.append([item for item in Thing()][0])
events.append((lambda: here())())
events.append([here() for _ in range(1)])


class Body:
    seen = here()


events.append(Body.seen)
events.append(eval("here()"))


def names():
    snap("stack")
    return [(frame.function, frame.lineno, frame.index) for frame in inspect.stack()[1:]]


events.append(names())


def keeps_its_frame():
    variable = snap("kept")
    return sys._getframe()


frame = keeps_its_frame()
events.append((frame.f_locals["variable"], frame.f_code.co_name, frame.f_back is None))
snap("with the frame of a function that returned")
events.append((frame.f_locals["variable"], frame.f_code.co_name, frame.f_globals is globals()))


def caller_of_frame():
    me = sys._getframe()
    snap("with its own frame object")
    changed = "later"
    return me is sys._getframe(), me.f_locals["changed"], me.f_back is sys._getframe(1), me.f_lineno


events.append(caller_of_frame())


def uses_callers_frame():
    frame = sys._getframe(1)
    snap("with the caller's frame object")
    return frame.f_locals["secret"], frame.f_code.co_name, frame is sys._getframe(1)


def caller_with_secret():
    secret = [1]
    found = uses_callers_frame()
    secret.append(snap(2))
    return found[0] is secret, found[1:]


events.append(caller_with_secret())


def generator():
    frame = sys._getframe()
    yield snap(chain(frame))
    yield (frame.f_back is not None, frame is sys._getframe(), chain(frame)[1][0])


g = generator()
events.append(next(g))
events.append((g.gi_frame.f_lineno, g.gi_frame.f_back))
events.append(next(g))
events.append(snap(inspect.currentframe()) is inspect.currentframe())
module_frame = inspect.currentframe()
snap("with the module's frame")
events.append(
    (module_frame is inspect.currentframe(), module_frame.f_lineno, module_frame.f_locals is globals())
)


def error_frames():
    try:
        inner_error()
    except ValueError as error:
        traceback = error.__traceback__
        snap("with a traceback's frames")
        own = traceback.tb_frame is sys._getframe()
        return own, traceback.tb_next.tb_frame.f_locals["local"], traceback.tb_next.tb_lineno


def inner_error():
    local = "in the frame that failed"
    raise ValueError(snap(local))


events.append(error_frames())


def arguments(a, *args, k=1, **kwargs):
    info = inspect.getargvalues(sys._getframe())
    snap(info.args)
    return info.args, info.varargs, info.keywords, {n: info.locals[n] for n in ("a", "args", "k", "kwargs")}


events.append(arguments(1, 2, k=3, z=4))
events.append(str(inspect.signature(snap(arguments))))
events.append(inspect.getframeinfo(sys._getframe()).lineno)


def has_caller(depth):
    return sys._getframe(depth).f_code.co_name


def through():
    return [has_caller(snap(0)), has_caller(snap(1)), has_caller(snap(2))]


events.append(through())

print("\n".join(map(repr, events)))

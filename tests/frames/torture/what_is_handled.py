"""How long an exception lives that is being handled: until its handler is over, and no longer."""

import traceback
import weakref
import zlib

from snap import snap

events = []


class Held:
    pass


class Failure(Exception):
    pass


def handle():
    try:
        failure = Failure("handled")
        failure.held = Held()
        raise failure
    except Failure as caught:
        held = weakref.ref(caught.held)
        del failure
        snap("handling")
    return held() is None


def handle_in_a_generator():
    try:
        raise Failure("in a generator")
    except Failure as caught:
        caught.held = Held()
        held = weakref.ref(caught.held)
        yield snap("handling in a generator")
    yield held() is None


def fail_with(local):
    state = zlib.compressobj()
    raise Failure(local, state is not None)


def handle_what_holds_what_cannot_be_captured():
    try:
        fail_with("local")
    except Failure as caught:
        failed = caught.__traceback__.tb_next
        snap("the frame that failed holds native state")
        lines = traceback.format_exception(caught)
        return caught.args, failed.tb_lineno, [line.split(", line ")[-1] for line in lines]


events.append(handle())
events.append(handle_what_holds_what_cannot_be_captured())
for found in handle_in_a_generator():
    events.append(found)
try:
    raise Failure("outer")
except Failure as failure:
    failure.held = Held()
    outer = weakref.ref(failure.held)
    events.append(handle())
    snap("handling in the module")
    for found in handle_in_a_generator():
        events.append(found)
events.append(outer() is None)
events.append(snap("behind"))

print("\n".join(map(repr, events)))

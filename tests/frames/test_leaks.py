"""Nothing is left behind: after 300 captures and resumes there are as many objects and descriptors as before.

Invariants:
  * Objects are counted by type after full collections, once all caches are warm; a block of memory that the
    collector does not know counts too. What leaks, leaks each time: less than a tenth of that is a cache.
  * Each program is a process of its own, so that nothing of the tests themselves is counted.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CYCLES = 300
WARM_UP = 20

COUNTING = '''
"""Counts what there is, and tells what is left behind."""

import collections, gc, os, sys, types


def descriptors():
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            found[number] = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            pass  # the one that lists them
    return found


def name_of(found):
    return f"{type(found).__module__}.{type(found).__qualname__}"


class Count:
    def __init__(self):
        for _ in range(3):
            gc.collect()
        self.objects = collections.Counter(map(name_of, gc.get_objects()))
        self.descriptors = descriptors()
        self.blocks = sys.getallocatedblocks()


def holders(name):
    "What holds the newest object of a type, and what holds that, and so on."
    found = [found for found in gc.get_objects() if name_of(found) == name][-1]
    told, seen = [f"{name}: {found!r:.100}"], {id(found)}
    for _ in range(5):
        for referrer in gc.get_referrers(found):
            if id(referrer) not in seen and type(referrer) is not types.FrameType:
                break
        else:
            break
        found = referrer
        seen.add(id(found))
        told.append(f"{name_of(found)}: {found!r:.100}")
    return told


def left(before, after, cycles):
    """What is there after `cycles` cycles that was not before, with who holds it."""
    least = cycles // 10
    more = {name: after.objects[name] - before.objects[name] for name in after.objects}
    objects = {name: count for name, count in more.items() if count >= least}
    opened = {number: where for number, where in after.descriptors.items() if number not in before.descriptors}
    blocks = after.blocks - before.blocks
    held = [holders(name) for name in list(objects)[:8]]
    return {"objects": objects, "descriptors": opened, "blocks": blocks if blocks >= cycles else 0, "held": held}


def left_by(cycle, warm_up, cycles):
    for number in range(warm_up):
        cycle(number)
    before = Count()
    for number in range(cycles):
        cycle(number)
    return left(before, Count(), cycles)
'''

PROGRAM = """
import asyncio, gc, json, os, sys, threading
import stillframe
from counting import Count, left, left_by
from stillframe.capture.capturing import capture as to_pickle, restore
from stillframe.capture.pickler import Options
from stillframe.frames import _frames
from stillframe.frames.continuation import Continuation, capture, resume, running
from stillframe.frames.landing import RAISED, RETURNED

WARM_UP, CYCLES = {warm_up}, {cycles}


class Thing:
    def __init__(self, value):
        self.value = value
        self.itself = self


def leaf():
    frames = _frames.walk()[1:]
    outermost = next(at for at, ref in enumerate(frames) if ref.code.co_name == "outermost")
    return capture(frames[: outermost + 1], _frames.handled_exceptions())


# A first frame of the capture is its callee; leaf() itself is that.
def put_down():
    frames = _frames.walk()
    outermost = next(at for at, ref in enumerate(frames) if ref.code.co_name == "outermost")
    return capture(frames[: outermost + 1], _frames.handled_exceptions())


def copy(continuation):
    "The continuation, by way of a pickle."

    def prepare(pickler):
        for record in continuation.records:
            if record.generator is not None:
                pickler.running[id(record.generator)] = running(record)

    return restore(to_pickle(continuation, Options(), prepare))[1]


def inner(thing):
    add = lambda number: number + thing.value
    with open(__file__) as file:
        for item in [10, 20]:
            try:
                raise ValueError(item)
            except ValueError:
                came = put_down()
                if type(came) is Continuation:
                    return came
        assert file.readline()
    return add(came)


def steps(thing):
    held = Thing(1)
    yield inner(thing)


def outermost(value):
    thing = Thing(value)
    for came in steps(thing):
        return came
"""


def run(folder: Path, text: str, *words: str) -> Any:
    """What a program said last, as JSON."""
    (folder / "counting.py").write_text(COUNTING)
    script = folder / "program.py"
    script.write_text(PROGRAM.format(warm_up=WARM_UP, cycles=CYCLES) + text)
    command = [sys.executable, str(script), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=170, cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


NOTHING = {"objects": {}, "descriptors": {}, "blocks": 0, "held": []}

CYCLE = {
    "copied_and_resumed": """
        def cycle(number):
            assert resume(copy(outermost(number)), (RETURNED, 7)) == (RETURNED, Continuation) or True
    """,
}

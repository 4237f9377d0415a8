"""Nothing is left behind: after 300 captures and resumes there are as many objects and descriptors as before.

Invariants:
  * Objects are counted by type after full collections, once all caches are warm; blocks of memory, which
    the collector may not know, by their number. What leaks, leaks each time: a tenth of that is some cache.
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
WARM_UP = 100

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


def collected():
    for _ in range(3):
        gc.collect()
    # CPython's cache of attributes keeps the names that were looked up, and finds them by their addresses: each name
    # that pickle cuts from a qualified one takes another of its 4,096 places.
    sys._clear_type_cache()


def objects():
    collected()
    return collections.Counter(map(name_of, gc.get_objects()))


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


def left_by(cycle, warm_up, cycles):
    """What is there after `cycles` cycles that was not before, with who holds it."""
    for number in range(warm_up):
        cycle(number)
    before, opened, blocks = objects(), descriptors(), []
    for third in range(3):
        for number in range(cycles // 3):
            cycle(number)
        collected()
        blocks.append(sys.getallocatedblocks())
    after = objects()
    more = {name: after[name] - before[name] for name in after}
    left = {name: count for name, count in more.items() if count >= cycles // 10}
    return {
        "objects": left,
        "descriptors": {number: where for number, where in descriptors().items() if number not in opened},
        # Lists of free objects fill up once; what leaks, leaks each time.
        "blocks": max(0, min(late - early for early, late in zip(blocks, blocks[1:]))) // (cycles // 3),
        "held": [holders(name) for name in list(left)[:8]],
    }
'''

PROGRAM = '''
import asyncio, json, os, socket, sys, threading
import stillframe
import counting
from counting import left_by
from stillframe.capture import rebuild, rebuild_frames
from stillframe.capture.capturing import Contents, capture as to_pickle, restore
from stillframe.capture.pickler import Options, Standin
from stillframe.frames import _frames
from stillframe.frames.continuation import Continuation, capture, resume, running
from stillframe.frames.landing import RAISED, RETURNED

WARM_UP, CYCLES = {warm_up}, {cycles}


def put_down():
    """The rest of the program from this very call on, up to `outermost`, as a pickle; what it is resumed with is
    what the call returns then."""
    frames = _frames.walk()
    outermost = next(at for at, ref in enumerate(frames) if ref.code.co_name == "outermost")
    continuation = capture(frames[: outermost + 1], _frames.handled_exceptions())

    def prepare(pickler):
        for record in continuation.records:
            if record.generator is not None:
                pickler.running[id(record.generator)] = running(record)
            if record.frame_object is not None:
                standin = Standin(rebuild_frames.frame_object, record.function)
                pickler.running[id(record.frame_object)] = standin

    return to_pickle(continuation, Options(), prepare)


def go_on(contents, *outcome):
    return resume(restore(contents)[1], outcome)


class Thing:
    def __init__(self, value):
        self.value = value
        self.itself = self


def inner(thing):
    add = lambda number: number + thing.value
    with open(__file__) as file:
        for item in [10, 20]:
            try:
                raise ValueError(item)
            except ValueError:
                came = put_down()
                if type(came) is Contents:
                    return came
        assert file.readline()
    return add(came)


def steps(thing):
    held = Thing(thing)
    yield inner(thing)


def outermost(value):
    for came in steps(Thing(value)):
        return came
'''

CYCLE_OF = {
    "copied_and_resumed": """
def cycle(number):
    status, again = go_on(outermost(number), RETURNED, 7)
    assert status == RETURNED
    assert go_on(again, RETURNED, 7) == (RETURNED, 7 + number)
""",
    "resumed_without_a_copy": """
def cycle(number):
    def leaf():
        return capture(_frames.walk()[:2], _frames.handled_exceptions())

    def caller():
        return [number, leaf(), number]

    [_, continuation, _] = caller()
    assert resume(continuation, (RETURNED, 7)) == (RETURNED, [number, 7, number])
""",
    "resumed_with_an_exception": """
def cycle(number):
    status, error = go_on(outermost(number), RAISED, KeyError(number))
    assert status == RAISED and error.args == (number,), (status, error)
""",
    "captured_and_dropped": """
def cycle(number):
    restore(outermost(number))
""",
    "captured_by_a_copy_of_itself": """
def outermost(count):
    while True:
        came = put_down()
        if type(came) is Contents:
            return came
        count += came

contents = outermost(0)

def cycle(number):
    global contents
    status, contents = go_on(contents, RETURNED, 1)
    assert status == RETURNED
""",
    "suspended_generators": """
def numbers(thing):
    with open(__file__) as file:
        while True:
            yield thing.value

async def one(thing):
    return thing.value

async def many(thing):
    yield await one(thing)
    yield 2

def cycle(number):
    made = numbers(Thing(number))
    next(made)
    again = stillframe.loads(stillframe.dumps(made))
    assert next(again) == number
    made.close()
    again.close()
    coroutine = one(Thing(number))
    assert finished(stillframe.loads(stillframe.dumps(coroutine))) == number
    coroutine.close()
    stillframe.loads(stillframe.dumps(many(Thing(number))))

def finished(coroutine):
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
""",
    "objects_of_every_kind": """
class Local(Thing):
    def method(self):
        return super().__init__

def cycle(number):
    value = [Local(number), Local, threading.Lock(), iter([1, 2]), map(str, [1]), {{number: Thing}}, range(number)]
    stillframe.loads(stillframe.dumps(value))
""",
    "refused": """
def cycle(number):
    with socket.socket() as refused:
        try:
            stillframe.dumps([Thing(refused)])
        except stillframe.CannotCapture:
            return
    raise AssertionError
""",
    "snapshot": """
def cycle(number):
    stillframe.snapshot("program.snapshot")
""",
    "snapshot_with_a_thread": """
lock = threading.Lock()
lock.acquire()
threading.Thread(target=lock.acquire, daemon=True).start()

def cycle(number):
    stillframe.snapshot("program.snapshot")
""",
}


def run(folder: Path, text: str, *words: str) -> Any:
    """What a program said last, as JSON."""
    (folder / "counting.py").write_text(COUNTING)
    script = folder / "program.py"
    script.write_text(text)
    command = [sys.executable, str(script), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=170, cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def filled(program: str) -> str:
    program = program.replace("{{", "{").replace("}}", "}")
    return program.replace("{warm_up}", str(WARM_UP)).replace("{cycles}", str(CYCLES))


@pytest.mark.parametrize("kind", CYCLE_OF)
def test_300_cycles_leave_nothing_behind(kind: str, tmp_path: Path) -> None:
    program = filled(PROGRAM + CYCLE_OF[kind])
    program += "\nprint(json.dumps(left_by(cycle, WARM_UP, CYCLES)))\n"
    assert run(tmp_path, program) == NOTHING


NOTHING = {"objects": {}, "descriptors": {}, "blocks": 0, "held": []}


GENERATIONS = """
import json, os, sys
import stillframe
import counting


def main():
    before, sizes = None, []
    for generation in range(WARM_UP + CYCLES):
        if not stillframe.snapshot(path):
            os._exit(0)
        if generation in (WARM_UP + 1, WARM_UP + CYCLES - 1):
            sizes.append(os.path.getsize(path))
        if generation in (WARM_UP, WARM_UP + CYCLES - 1):
            found = counting.objects(), counting.descriptors(), len(sys.path), len(sys.modules)
            if before is None:
                before = found
                del found
    more = {name: count - before[0][name] for name, count in found[0].items()}
    print(json.dumps({
        "objects": {name: count for name, count in more.items() if count >= CYCLES // 10},
        "descriptors": len(found[1]) - len(before[1]),
        "others": [late - early for early, late in zip(before[2:], found[2:])],
        "pages": (sizes[1] - sizes[0]) // 4096,
    }))


WARM_UP, CYCLES, path = 5, {cycles}, os.path.abspath("program.snapshot")
main()
"""

RESUMES = """
import os, runpy, sys
from stillframe.capture import runner

for _ in range(int(sys.argv[2])):
    child = os.fork()
    if child == 0:
        break
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        sys.exit(code)
else:
    sys.exit(0)
sys.argv = ["still", sys.argv[1]]
del sys.modules[runner.__name__]  # it is about to run as a program
runpy.run_module(runner.__name__, run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
def test_a_program_resumed_300_times_in_a_row_grows_by_nothing(tmp_path: Path) -> None:
    """Each resumed program captures itself and ends; each is resumed in a fork of a process that has done nothing."""
    (tmp_path / "counting.py").write_text(COUNTING)
    (tmp_path / "program.py").write_text(GENERATIONS.replace("{cycles}", str(CYCLES)))
    (tmp_path / "resumes.py").write_text(RESUMES)
    for command in (["program.py"], ["resumes.py", "program.snapshot", str(5 + CYCLES)]):
        done = subprocess.run(
            [sys.executable, *command], capture_output=True, text=True, check=False, timeout=170, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"objects": {}, "descriptors": 0, "others": [0, 0], "pages": 0}


CLASSES = """
made = [type("Made", (Thing,), {{}}) for _ in range(CYCLES)]
for cls in made:
    stillframe.dumps(cls)
del made, cls
counting.collected()
stillframe.dumps(type("Last", (Thing,), {{}}))
print(json.dumps(len(rebuild._TOKENS)))
"""


def test_a_class_that_is_gone_leaves_no_token(tmp_path: Path) -> None:
    assert run(tmp_path, filled(PROGRAM + CLASSES)) < CYCLES // 3

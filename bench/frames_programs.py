"""The programs that bench.frames measures: two that answer requests, and small ones that are run once.

A program that answers reads one JSON list a line, a function's name and its arguments, and writes what the
function returns. Collections of garbage are off in both while they measure: they fall on whoever happens to
allocate, and stillframe itself works without them.
"""

from __future__ import annotations

ANSWERS = """
def times(name, count):
    return [globals()[name]() for _ in range(count)]

if __name__ == "__main__":
    import gc, json, sys
    gc.collect()
    gc.disable()
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        answer = globals()[name](*arguments)
        gc.collect()
        print(json.dumps(answer), flush=True)
"""

FRAMES = """
import sys
from time import perf_counter

def is_left(came):
    return type(came) is tuple
""" + "".join(
    f"""
def f{number}(a, items):
    b, mine = a + 1, [a]
    came = {"leaf()" if number == 8 else f"f{number + 1}(b, items)"}
    return came if is_left(came) else came + a + b + len(mine)
"""
    for number in range(1, 9)
)
"""Eight frames with locals. `leaf()` gives the continuation as a tuple, and a number when the frames go on."""
FRAMES_COME_TO = sum(2 * number + 2 for number in range(1, 9))

DATA = """
from time import perf_counter

class Point:
    def __init__(self, x, y, name):
        self.x, self.y, self.name = x, y, name

class Leaf:
    __slots__ = ("key", "parent", "weight")
    def __init__(self, key, parent, weight):
        self.key, self.parent, self.weight = key, parent, weight

def made(what):
    if what == "scalars":
        return {
            "ints": list(range(1000, 101000)),
            "floats": [number * 0.5 for number in range(100000)],
            "texts": [f"text {number}" for number in range(50000)],
            "rows": [{"a": number, "b": number / 3} for number in range(25000)],
            "table": {number * 7: number for number in range(25000)},
        }
    points = [Point(number, number * 0.5, f"name {number}") for number in range(OBJECTS // 2)]
    return [points, [Leaf(number, point, number / 7) for number, point in enumerate(points)]]

kept = {}

def taken(module, what):
    if what not in kept:
        kept[what] = made(what)
    start = perf_counter()
    data = dumps_of[module](kept[what])
    dumped = perf_counter()
    value = loads_of[module](data)
    loaded = perf_counter()
    assert len(value) == len(kept[what])
    return [dumped - start, loaded - dumped, len(data)]
""".replace("OBJECTS", "38400")

OURS = FRAMES + DATA + """
import gc, os, pickle, sys
import stillframe
from stillframe.frames import _frames
from stillframe.frames.continuation import capture, resume
from stillframe.frames.landing import RETURNED

dumps_of = {"pickle": lambda value: pickle.dumps(value, 5), "stillframe": stillframe.dumps}
loads_of = {"pickle": pickle.loads, "stillframe": stillframe.loads}
depth = 8

def leaf():
    start = perf_counter()
    continuation = capture(_frames.walk()[: depth + 1], _frames.handled_exceptions())
    return continuation, perf_counter() - start

def eight():
    continuation, captured = f1(1, [])
    start = perf_counter()
    data = stillframe.dumps(continuation)
    saved = perf_counter()
    again = stillframe.loads(data)
    loaded = perf_counter()
    status, value = resume(again, (RETURNED, 0))
    return [captured, saved - start, loaded - saved, perf_counter() - loaded, status, value]

def sunk(count):
    if count == 1:
        return leaf()
    came = sunk(count - 1)
    return came if is_left(came) else came + 1

def deep(count):
    global depth
    depth = count
    sys.setrecursionlimit(10 * count)
    try:
        continuation, captured = sunk(count)
        start = perf_counter()
        data = stillframe.dumps(continuation)
        saved = perf_counter()
        again = stillframe.loads(data)
        loaded = perf_counter()
        status, value = resume(again, (RETURNED, 0))
        assert status == RETURNED and value == count - 1, value
        return [captured, saved - start, loaded - saved, perf_counter() - loaded]
    finally:
        depth = 8

def counted():
    for _ in range(3):
        gc.collect()
    return len(gc.get_objects()), len(os.listdir("/proc/self/fd"))

def cycles(count):
    for _ in range(50):
        eight()
    objects, descriptors = counted()
    for _ in range(count):
        eight()
    more_objects, more_descriptors = counted()
    return [more_objects - objects, more_descriptors - descriptors]
""" + ANSWERS  # fmt: skip

PEERS = DATA + """
import cloudpickle, dill

dumps_of = {"cloudpickle": cloudpickle.dumps, "dill": lambda value: dill.dumps(value, 5)}
loads_of = {"cloudpickle": cloudpickle.loads, "dill": dill.loads}
""" + ANSWERS  # fmt: skip

PYTELEPORT = FRAMES + """
import _thread, marshal
from pyteleport.morph import assemble_entry_point, morph_stack
from pyteleport.snapshot import snapshot
from pyteleport.storage import in_code_transmission_engine

def leaf():
    start = perf_counter()
    frames = snapshot(reference_frame=sys._getframe(1), skip=0)
    return frames, perf_counter() - start

def begin():
    sys.came = f1(1, [])
    sys.done.release()

def eight():
    # It takes all frames of its thread: here a new one. It also takes all globals: so these two are elsewhere.
    sys.done = _thread.allocate_lock()
    sys.done.acquire()
    _thread.start_new_thread(begin, ())
    sys.done.acquire()
    frames, captured = sys.came
    start = perf_counter()
    storage, engine = {}, in_code_transmission_engine
    first = morph_stack(frames[:8], tos=0)
    entry = assemble_entry_point(tos=first, object_storage=storage, object_storage_protocol=engine)
    data = marshal.dumps(entry)
    saved = perf_counter()
    again = marshal.loads(data)
    loaded = perf_counter()
    value = eval(again)
    return [captured, saved - start, loaded - saved, perf_counter() - loaded, 0, value]
""" + ANSWERS  # fmt: skip
"""Its pickle is loaded where the code runs that it makes."""

SNAPSHOTS = """
import json, sys
from time import perf_counter
import stillframe

def work(path, times):
    took = []
    for _ in range(times):
        start = perf_counter()
        if stillframe.snapshot(path):
            return
        took.append(perf_counter() - start)
    print(json.dumps(took))

if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]))
"""

DUMPS = """
import json, sys
from time import perf_counter
from pyteleport import dump

def work(path, times):
    took = []
    for _ in range(times):
        start = perf_counter()
        if dump(path, return_=1):
            return
        took.append(perf_counter() - start)
    print(json.dumps(took))

if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]))
"""

TELEPORTS = """
import time
start = time.time()
import stillframe
took = [time.time() - start]
for number in range(2):
    start = time.time()
    stillframe.teleport()
    took.append(time.time() - start)
print(took)
"""

PYTELEPORTS = """
import os, sys, time
start = time.time()
from pyteleport import tp_dummy
took = [time.time() - start]
# The environment that it would make itself, and a place for what it leaves behind.
environment = {"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": os.environ["TMPDIR"]}
for number in range(2):
    start = time.time()
    tp_dummy(env=environment)
    took.append(time.time() - start)
print(took)
"""

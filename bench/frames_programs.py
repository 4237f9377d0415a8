"""The programs that bench.frames measures: two that answer requests, and small ones that are run once.

A program that answers reads one JSON list a line, a function's name and its arguments, and writes what the
function returns. Collections of garbage are off in both while they measure: they fall on whoever happens to
allocate, and stillframe itself works without them.
"""

from __future__ import annotations

ANSWERS = """
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
import time
from time import perf_counter

class Left(Exception):
    pass

def is_left(came):
    return type(came) is tuple

def f1(a, items):
    b = a + 1
    came = f2(b, items)
    return came if is_left(came) else came + a + b + len(items)
""" + "".join(
    f"""
def f{number}(a, items):
    b, mine = a + 1, [a]
    came = {"leaf()" if number == 8 else f"f{number + 1}(b, items)"}
    return came if is_left(came) else came + a + b + len(mine)
"""
    for number in range(2, 9)
)
"""Eight frames with locals; `leaf()` has the continuation leave as a tuple, and returns a number when it goes on."""
FRAMES = FRAMES.replace("class Left(Exception):\n    pass\n\n", "")
FRAMES_COME_TO = 1 + sum(2 * number + 2 for number in range(1, 9)) - 1

DATA = """
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
""".replace("OBJECTS", "44000")

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

PEERS = FRAMES + DATA + """
import _thread, marshal, os, queue, sys
import cloudpickle, dill
from pyteleport.morph import assemble_entry_point, morph_stack
from pyteleport.snapshot import snapshot
from pyteleport.storage import in_code_transmission_engine

dumps_of = {"cloudpickle": cloudpickle.dumps, "dill": lambda value: dill.dumps(value, 5)}
loads_of = {"cloudpickle": cloudpickle.loads, "dill": dill.loads}

def leaf():
    start = perf_counter()
    frames = snapshot(reference_frame=sys._getframe(1), skip=0)
    return frames, perf_counter() - start

def in_a_thread(answers):
    # pyteleport takes all frames of its thread.
    answers.put(f1(1, []))

def eight():
    global answers
    answers = queue.SimpleQueue()
    _thread.start_new_thread(begin, ())
    frames, captured = answers.get()
    start = perf_counter()
    storage = {}
    engine = in_code_transmission_engine
    entry = assemble_entry_point(
        tos=morph_stack(frames[:8], tos=0), object_storage=storage, object_storage_protocol=engine
    )
    data = marshal.dumps(entry)
    saved = perf_counter()
    again = marshal.loads(data)
    loaded = perf_counter()
    value = eval(again)
    return [captured, saved - start, loaded - saved, perf_counter() - loaded, 0, value]

def begin():
    answers.put(f1(1, []))
""" + ANSWERS  # fmt: skip

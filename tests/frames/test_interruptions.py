"""What runs at no instruction's wish is refused as that, however it is written, and nothing that is gone is looked at.

A finalizer, a callback, a handler runs while the instruction of the frame before has let go of its operands, or has
ended. Each case makes it run there, in a process that overwrites freed memory.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from frames.differential import OVERWRITING, environment
from stillframe.frames.code import code_map
from stillframe.frames.instructions import breaker_landing

PROGRAM = """
import functools, gc, io, signal, sys, time, weakref
import stillframe

told = []


def put_down(*_):
    try:
        stillframe.snapshot("program.snapshot")
        told.append("captured")
    except stillframe.NativeCallInTheWay as error:
        told.append(error.native)


class Thing:
    pass


def say_nothing(*_):
    pass

"""

CASES = {
    "a finalizer by another name": """
class Dying:
    def leave(self):
        put_down()
    __del__ = leave
functools.partial(say_nothing)(str(1.5), Dying())
""",
    "a weak reference's callback with any arguments": """
told_by = []
def watched():
    thing = Thing()
    told_by.append(weakref.ref(thing, lambda *_: put_down()))
    return thing
functools.partial(say_nothing)(str(1.5), watched())
""",
    "the end of a file": """
class Raw(io.RawIOBase):
    def close(self):
        if not self.closed:
            put_down()
        super().close()
functools.partial(say_nothing)(str(1.5), Raw())
""",
    "a handler with any arguments, between two instructions": """
signal.signal(signal.SIGALRM, lambda *_: (told.append("a call"), put_down()))
signal.setitimer(signal.ITIMER_REAL, 0.01)
while not told:
    pass
del told[0]
""",
    "a handler, while a call waits": """
signal.signal(signal.SIGALRM, put_down)
signal.setitimer(signal.ITIMER_REAL, 0.01)
time.sleep(0.2)
""",
    "a trace function with any arguments": """
def traced():
    return str(1.5)
def trace(*arguments):
    arguments = None
    sys.settrace(None)
    put_down()
sys.settrace(trace)
traced()
""",
    "a callback of the garbage collector that is an object": """
class Callback:
    def __call__(self, *_):
        gc.callbacks.clear()
        put_down()
gc.callbacks.append(functools.partial(Callback()))
gc.collect()
""",
}
NATIVE = {
    "a finalizer by another name": "a finalizer (__del__)",
    "a weak reference's callback with any arguments": "a weak reference's callback",
    "the end of a file": "the end of a file that nobody uses any more",
    "a handler with any arguments, between two instructions": "captured",
    "a handler, while a call waits": "time.sleep, interrupted by a signal,",
    "a trace function with any arguments": "a trace function",
    "a callback of the garbage collector that is an object": "the garbage collector",
}


def run(tmp_path: Path, program: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "program.py").write_text(program)
    return subprocess.run(
        [sys.executable, "program.py"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
        env=environment(**OVERWRITING),
    )


@pytest.mark.parametrize("case", NATIVE)
def test_what_interrupts_is_refused_as_that(case: str, tmp_path: Path) -> None:
    done = run(tmp_path, PROGRAM + CASES[case] + "\nprint(told[0])\n")
    assert (done.stdout, done.stderr, done.returncode) == (f"{NATIVE[case]}\n", "", 0)


UNPACKED = {
    "print(*Items())": "print, or the unpacking of Items for it,",
    "print(*items())": "print, or the unpacking of generator for it,",
    "print(0, *Items())": "LIST_EXTEND of Items",
    "print(**Mapping())": "DICT_MERGE of Mapping",
    "dict([*map(sorted, [])], **Mapping())": "DICT_MERGE of Mapping",
    "[one] = Items()": "UNPACK_SEQUENCE of Items",
    "one, *more = items()": "UNPACK_EX of generator",
}

ITEMS = """
class Items:
    def __iter__(self):
        put_down()
        return iter(["one"])
def items():
    put_down()
    yield "one"
class Mapping:
    def keys(self):
        put_down()
        return []
    def __getitem__(self, key):
        raise KeyError(key)
"""


@pytest.mark.parametrize("statement", UNPACKED)
def test_what_is_unpacked_is_named(statement: str, tmp_path: Path) -> None:
    done = run(tmp_path, PROGRAM + ITEMS + f"{statement}\nsys.stderr.write(told[0])\n")
    assert (done.stderr, done.returncode) == (UNPACKED[statement], 0)


HOT = """
def loop(stop):
    number = 0
    while number < stop:
        number += 1
"""


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="3.11 alone makes one of a comparison and a jump")
def test_a_comparison_is_over_only_where_it_is_one_with_its_jump() -> None:
    namespace: dict[str, Any] = {}
    exec(HOT, namespace)
    code = code_map(namespace["loop"].__code__)
    last = max(unit for unit, found in code.instructions.items() if found.name == "COMPARE_OP")
    assert breaker_landing(code, last) is None
    for _ in range(20):
        namespace["loop"](100)
    assert breaker_landing(code, last) is not None

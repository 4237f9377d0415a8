"""What it costs to keep states on disk, beside a plain write of the same bytes, dill and Kishu.

All through the doors that a user has: an embedded kernel with a store. A capture is timed from the reply to the
cell until the state says that it is stored, so the way of the news is in it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import stillframe
from bench.notebook import CELLS
from bench.results import Taken
from bench.store_peers import ARRAY_BYTES, ARRAYS
from stillframe.model import INITIAL

OURS = "stillframe"
POLL_S = 0.002
OBJECTS = 1_000_000
MAKE_ARRAYS = f"""
import numpy as np
rng = np.random.default_rng(0)
for number in range({ARRAYS}):
    globals()[f"a{{number}}"] = rng.random({ARRAY_BYTES // 8})
"""
MAKE_OBJECTS = f"""
class Point:
    def __init__(self, x, y):
        self.x, self.y = x, y
points = [Point(n, str(n)) for n in range({OBJECTS // 2})]
table = {{n: [n, n * 0.5] for n in range({OBJECTS // 2})}}
"""
CHANGES = {
    "scattered": f"import random\nfor n in random.Random(1).sample(range({OBJECTS // 2}), {OBJECTS // 200}):\n"
    "    points[n].x = -n\n    table[n][1] = n * 2.5",
    "together": f"for n in range(1_000, 1_000 + {OBJECTS // 200}):\n    points[n].x = -n\n    table[n][1] = n * 2.5",
}


def stored_bytes(folder: Path) -> int:
    """The size of all files of a store."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def wait_until_stored(kernel: stillframe.Kernel, name: str) -> float:
    """Seconds until the state is stored."""
    began_s = time.perf_counter()
    while not (node := kernel.tree().named(name)).stored:
        if node.obstacles:
            raise AssertionError(f"{name} cannot be captured: {node.obstacles}")
        time.sleep(POLL_S)
    return time.perf_counter() - began_s


def raw_write(folder: Path, count: int) -> float:
    """A plain write of the arrays' bytes, with sync."""
    data = memoryview(os.urandom(1 << 20) * (ARRAY_BYTES >> 20))
    path = folder / "raw"
    began_s = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        for _ in range(count):
            left = data
            while left:
                left = left[file.write(left) :]
        os.fsync(file.fileno())
    took_s = time.perf_counter() - began_s
    path.unlink()
    return took_s


def measure_arrays(folder: Path, taken: Taken, rounds: int) -> None:
    """In each round, 1 GB in 20 arrays: first, again unchanged, one changed, restored after a restart."""
    for number in range(rounds):
        taken.add("raw write", OURS, raw_write(folder, ARRAYS))
        store = folder / f"arrays{number}"
        with stillframe.Kernel(store=store) as kernel:
            kernel.execute(MAKE_ARRAYS, name="arrays").raise_for_error()
            taken.add("first", OURS, wait_until_stored(kernel, "arrays"))
            taken.numbers["arrays"] = size = stored_bytes(store)
            kernel.execute("y = 1", "arrays", name="again").raise_for_error()
            taken.add("again", OURS, wait_until_stored(kernel, "again"))
            again = stored_bytes(store)
            kernel.execute("a7[5] = -1", "again", name="changed").raise_for_error()
            taken.add("one changed", OURS, wait_until_stored(kernel, "changed"))
            taken.numbers["again"], taken.numbers["one changed"] = again - size, stored_bytes(store) - again
            expected = kernel.execute("float(sum(globals()[f'a{n}'][5] for n in range(20)))", "changed").text
        with stillframe.Kernel(store=store) as kernel:
            # The clean process with numpy imported is made once, for the first state that needs it.
            kernel.execute("0", "arrays").raise_for_error()
            for name in ("again", "changed"):
                began_s = time.perf_counter()
                text = kernel.execute("float(sum(globals()[f'a{n}'][5] for n in range(20)))", name).text
                taken.add("restore", OURS, time.perf_counter() - began_s)
                assert name != "changed" or text == expected, (text, expected)
        shutil.rmtree(store)


def measure_objects(folder: Path, taken: Taken) -> None:
    """A million small objects, of which one in a hundred changes."""
    for change, cell in CHANGES.items():
        store = folder / f"objects {change}"
        with stillframe.Kernel(store=store) as kernel:
            kernel.execute(MAKE_OBJECTS, name="objects").raise_for_error()
            wait_until_stored(kernel, "objects")
            whole = stored_bytes(store)
            kernel.execute(cell, "objects", name="changed").raise_for_error()
            taken.add(f"objects {change}", OURS, wait_until_stored(kernel, "changed"))
            taken.numbers[f"objects {change}"] = stored_bytes(store) - whole
            taken.numbers["objects"] = whole


def measure_notebook(folder: Path, taken: Taken) -> None:
    """The notebook of 23 cells, a state for each, all stored."""
    store = folder / "notebook"
    with stillframe.Kernel(store=store) as kernel:
        state = INITIAL
        for number, cell in enumerate(CELLS):
            name = f"cell {number}"
            began_s = time.perf_counter()
            kernel.execute(cell, state, name=name).raise_for_error()
            replied_s = time.perf_counter() - began_s
            stored_s = wait_until_stored(kernel, name)
            taken.add("cell", OURS, replied_s)
            taken.add("cell, stored", OURS, replied_s + stored_s)
            state = name
        taken.numbers["notebook"] = stored_bytes(store)
    with stillframe.Kernel() as kernel:
        state = INITIAL
        for number, cell in enumerate(CELLS):
            began_s = time.perf_counter()
            kernel.execute(cell, state, name=f"cell {number}").raise_for_error()
            taken.add("cell, without a store", OURS, time.perf_counter() - began_s)
            state = f"cell {number}"


def measure_peers(python: str, folder: Path, taken: Taken) -> None:
    """dill and Kishu, in an interpreter that has them, each with a home of its own."""
    for peer in ("dill", "kishu"):
        for measure, figure in _of_peer(python, peer, folder).items():
            if measure == "stored_bytes":
                taken.numbers[peer] = figure
            else:
                for seconds in figure if isinstance(figure, list) else [figure]:
                    taken.add(measure, peer, seconds)


def _of_peer(python: str, peer: str, folder: Path) -> dict[str, Any]:
    place = folder / peer
    place.mkdir()
    done = subprocess.run(
        [python, "-m", "bench.store_peers", peer, str(place)],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(place)},
        cwd=Path(__file__).parent.parent,
    )
    return dict(json.loads(done.stdout))

"""The oracle: lineages of cells, run in order by plain exec in a fresh process each. No stillframe here.

As a program it reads {"warm": [modules], "cwd": path, "lineages": [[cell, ...], ...]} as JSON, and prints a
JSON list: for each lineage what each cell printed, or the error that ended it. Each lineage has a forked
child of an interpreter that has done nothing but import the modules of `warm`.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import json
import os
import subprocess
import sys
import traceback
import types
from collections.abc import Collection
from pathlib import Path

if __package__:
    from support.deepcopy_engine import in_child
else:  # run as a program
    from deepcopy_engine import in_child


def play(cells: list[str]) -> list[str]:
    """Run the cells in a new __main__; what each printed."""
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    texts = []
    for number, cell in enumerate(cells):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            try:
                exec(compile(cell, f"<cell {number}>", "exec"), main.__dict__)
            except BaseException:  # noqa: BLE001 - a cell may raise anything
                return [*texts, f"cell {number} raised:\n{traceback.format_exc()}"]
        texts.append(printed.getvalue())
    return texts


def replay(
    lineages: list[list[str]], *, cwd: Path, warm: Collection[str] = (), timeout_s: float = 170
) -> list[list[str] | None]:
    """Run this module as a program; for each lineage the texts of its cells."""
    task = {"warm": list(warm), "cwd": str(cwd), "lineages": lineages}
    found = subprocess.run(
        [sys.executable, __file__], input=json.dumps(task), capture_output=True, text=True,
        timeout=timeout_s, check=True, cwd=cwd,
    )  # fmt: skip
    return json.loads(found.stdout)


if __name__ == "__main__":
    task = json.load(sys.stdin)
    os.chdir(task["cwd"])
    for name in task["warm"]:
        importlib.import_module(name)
    # What was imported need not be walked by every child's collections.
    gc.freeze()
    json.dump([in_child(play, cells) for cells in task["lineages"]], sys.stdout)

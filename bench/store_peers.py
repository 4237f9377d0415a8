"""What dill and Kishu take to keep the same states: run by the interpreter that has them, prints JSON.

    python -m bench.store_peers dill FOLDER        one dump_module and load_module of 1 GB in 20 arrays
    python -m bench.store_peers kishu FOLDER       the notebook of 23 cells, each cell stored as Kishu does

Times are seconds, by the names of the same measures of ours; sizes bytes of files.
"""

from __future__ import annotations

import json
import os
import sys
import time
import types
from pathlib import Path
from typing import Any

from bench.notebook import CELLS

ARRAYS, ARRAY_BYTES = 20, (1 << 30) // 20


def arrays() -> dict[str, Any]:
    """1 GB in 20 arrays."""
    import numpy as np

    rng = np.random.default_rng(0)
    return {f"a{number}": rng.random(ARRAY_BYTES // 8) for number in range(ARRAYS)}


def measure_dill(folder: Path) -> dict[str, float]:
    """One session of dill, written and synced, and read again."""
    import dill

    module = types.ModuleType("session")
    vars(module).update(arrays())
    sys.modules["session"] = module
    path = folder / "session.dill"
    began_s = time.perf_counter()
    dill.dump_module(str(path), module=module)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    dumped_s = time.perf_counter() - began_s
    began_s = time.perf_counter()
    dill.load_module(str(path), module=module)
    return {
        "first": dumped_s,
        "restore": time.perf_counter() - began_s,
        "stored_bytes": float(path.stat().st_size),
    }


def measure_kishu(folder: Path) -> dict[str, Any]:
    """The notebook, cell by cell, in an IPython shell with Kishu's hooks."""
    os.environ["ENV_KISHU_TEST_MODE"] = "true"
    import nbformat
    from IPython.core.interactiveshell import InteractiveShell
    from kishu.jupyterint import KishuForJupyter
    from kishu.notebook_id import NotebookId
    from nbformat.v4 import new_code_cell, new_notebook

    notebook = folder / "notebook.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in CELLS]), notebook)
    shell = InteractiveShell.instance()
    kishu = KishuForJupyter(NotebookId("bench", notebook, "kernel"), ip=shell)
    kishu.install_kishu_hooks()
    times_s = []
    for cell in CELLS:
        began_s = time.perf_counter()
        result = shell.run_cell(cell, store_history=True, silent=False)
        times_s.append(time.perf_counter() - began_s)
        result.raise_error()
    files = [path for path in Path(kishu.database_path()).parent.rglob("*") if path.is_file()]
    return {"cell, stored": times_s, "stored_bytes": sum(path.stat().st_size for path in files)}


def main() -> None:
    """Measure one peer."""
    peer, folder = sys.argv[1], Path(sys.argv[2])
    # What Kishu and its cells print goes elsewhere: the result alone is read.
    result_to = os.dup(1)
    os.dup2(2, 1)
    result = measure_dill(folder) if peer == "dill" else measure_kishu(folder)
    with os.fdopen(result_to, "w") as file:
        json.dump(result, file)


if __name__ == "__main__":
    main()

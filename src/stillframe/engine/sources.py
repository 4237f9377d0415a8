"""inspect.getsource() for classes that were defined in a cell.

For functions it works, because code objects name the cell as their file. A class has no code object; the
standard library asks its module for a file, and a notebook's `__main__` has none.
"""

from __future__ import annotations

import ast
import inspect
import linecache
from types import FunctionType
from typing import Any

_getfile = inspect.getfile


def install() -> None:
    """Have inspect find the cell of a class."""
    inspect.getfile = _find


def _find(object: Any) -> str:
    try:
        return _getfile(object)
    except (OSError, TypeError):
        if inspect.isclass(object) and object.__module__ == "__main__":
            cell = _cell_of(object)
            if cell is not None:
                return cell
        raise


def _cell_of(cls: type) -> str | None:
    """The name of the newest cell that can have defined the class."""
    for value in vars(cls).values():
        if isinstance(value, FunctionType) and value.__qualname__.startswith(cls.__qualname__ + "."):
            return value.__code__.co_filename
    name = cls.__qualname__.rpartition(".")[2]
    cells = [file for file in linecache.cache if file.startswith("<ipython-input-") or "ipykernel" in file]
    for file in reversed(cells):
        try:
            nodes = ast.walk(ast.parse("".join(linecache.getlines(file))))
        except SyntaxError:  # a cell with magics
            continue
        if any(isinstance(node, ast.ClassDef) and node.name == name for node in nodes):
            return file
    return None

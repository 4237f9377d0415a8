"""What pickles of states call to find what each state process has: its shell, its streams, its `__main__`.

Invariants:
  * Nothing here is made: a landmark that is not there ends the load, before a variable refers to anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from stillframe.errors import CannotRestore

Find = Callable[[str], Any]
Fill = Callable[[Any, int, int], bool]

_loads: list[tuple[Find, Fill]] = []


@contextmanager
def loading(find: Find, fill: Fill) -> Iterator[None]:
    """While a state is loaded: `find` gives the landmark of a name, or raises LookupError; `fill` gives memory that
    was just allocated (address, size in bytes) the contents of a buffer without reading it, or says False."""
    _loads.append((find, fill))
    try:
        yield
    finally:
        _loads.pop()


def is_filled(data: Any, address: int, size_bytes: int) -> bool:
    """Whether the memory has the contents of the buffer now; otherwise they must be copied."""
    return bool(_loads) and _loads[-1][1](data, address, size_bytes)


def landmark(name: str) -> Any:
    """What the process has under this name."""
    if not _loads:
        raise CannotRestore(
            "this is the state of a kernel, not a program.", "Restore it in a kernel: still import FILE"
        )
    try:
        return _loads[-1][0](name)
    except LookupError:
        raise CannotRestore(
            f"the state refers to {name}, which this kernel does not have.",
            "Restore it with the versions of stillframe and IPython that captured it.",
        ) from None


def namespace_of(module: Any) -> dict[str, Any]:
    """The namespace of a module."""
    found: dict[str, Any] = vars(module)
    return found

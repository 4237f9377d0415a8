"""What a program has put into modules that travel by reference: names of its own, functions in the place of others.

Libraries change themselves, too: they keep caches, and load parts when these are first used. So not everything that
is new is the program's: modules, and functions and classes of libraries, are not; and a name that was there from the
beginning is, if it has code or an object of a class of the program's now.

Invariants:
  * A namespace keeps the order in which names were added: what a module had at first is told by their number.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from itertools import islice
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from stillframe.capture.modules import is_by_value_name, travels_by_value

Additions = list[tuple[str, str, Any]]
"""Module, name and value."""
_DATA = (bool, int, float, complex, str, bytes, type(None), list, dict, set, tuple, frozenset)


def additions(counts: Mapping[str, int]) -> Additions:
    """Those in the modules of `counts`, which says how many names each had when it had been imported.

    Cost: some 10 µs a module.
    """
    found = []
    verdicts: dict[Any, bool] = {}
    for name, module in list(sys.modules.items()):
        count = counts.get(name)
        if count is None or type(module) is not ModuleType or travels_by_value(name, module):
            continue
        namespace = vars(module)
        for key, value in _suspects(namespace, count, verdicts):
            if not (key.startswith("__") and key.endswith("__")):
                found.append((name, key, value))
    return found


def _suspects(namespace: dict[str, Any], count: int, verdicts: dict[Any, bool]) -> Iterator[tuple[str, Any]]:
    for key, value in list(islice(namespace.items(), count)):
        if _is_users(value, verdicts):
            yield key, value
    for key, value in list(islice(namespace.items(), count, None)):
        if type(value) in _DATA or _is_users(value, verdicts):
            yield key, value


def _is_users(value: Any, verdicts: dict[Any, bool]) -> bool:
    """Whether it is code of the program's, or an instance of a class of its."""
    cls = type(value)
    if cls is ModuleType or cls is BuiltinFunctionType:
        return False
    home = value.__module__ if cls is FunctionType or cls is type else cls.__module__
    verdict = verdicts.get(home) if type(home) is str else False
    if verdict is None:
        verdict = verdicts[home] = home in sys.modules and is_by_value_name(home)
    return verdict


def add_again(additions: Additions) -> None:
    """Put them where they were."""
    for module, key, value in additions:
        vars(importlib.import_module(module))[key] = value

"""What a program has left with the interpreter: calls to make at the end, finders of modules.

Invariant: what imported modules leave there when they are imported again is not left there twice.
"""

from __future__ import annotations

import atexit
import sys
import types

from stillframe.frames import _frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

Call: TypeAlias = "tuple[Any, tuple[Any, ...], dict[str, Any] | None]"


def calls_at_exit(outermost: Any) -> list[Call]:
    """What `atexit` has been told to call. If `outermost`, the function of the outermost frame, is one of them,
    the program is ending: what was registered behind it has been called already, and is left out."""
    calls = [call for call in _frames.atexit_callbacks() if not _is_ours(call[0])]
    for index, (function, _, _) in enumerate(calls):
        if _plain(function) is outermost:
            return calls[:index]
    return calls


def _plain(function: Any) -> Any:
    return function.__func__ if type(function) is types.MethodType else function


def _is_ours(function: Any) -> bool:
    return str(getattr(_plain(function), "__module__", "")).partition(".")[0] == "stillframe"


def register_at_exit(calls: list[Call]) -> None:
    """Have `atexit` make these calls too, but for those that are known here already."""
    known = [function for function, _, _ in _frames.atexit_callbacks()]
    for function, args, kwargs in calls:
        is_method = type(function) is types.MethodType
        if not any(function is one or (is_method and function == one) for one in known):
            atexit.register(function, *args, **kwargs or {})


def own_finders() -> list[tuple[int, Any]]:
    """The finders in `sys.meta_path` that are the program's own, with their places."""
    from stillframe.capture.modules import is_by_value_name  # what only resumes does without

    return [
        (place, finder)
        for place, finder in enumerate(sys.meta_path)
        if is_by_value_name(finder.__module__ if isinstance(finder, type) else type(finder).__module__)
    ]


def add_finders(finders: list[tuple[int, Any]]) -> None:
    """Put them back into their places."""
    for place, finder in finders:
        sys.meta_path.insert(place, finder)

"""A Python kernel whose states are values: name them, branch them, run in any of them.

    import stillframe

    with stillframe.Kernel() as kernel:
        kernel.execute("x = 1", name="one")
        kernel.execute("x += 1; x", "one", name="two").text    # '2'
        kernel.value("one", "x")                               # 1, still

Importing this package loads nothing else: each name below is imported when it is first used.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stillframe.capture.calls import Resumed, resume
    from stillframe.capture.calls import take_snapshot as snapshot
    from stillframe.client import Client, connect
    from stillframe.errors import (
        BadRequest,
        LookTimedOut,
        NameTaken,
        NotJSON,
        ResourceLimit,
        ServerUnreachable,
        StateNotFound,
        StateUnreachable,
        StillframeError,
        Unauthorized,
        UnsupportedPlatform,
        VariableNotFound,
    )
    from stillframe.kernel import Kernel
    from stillframe.model import (
        Completion,
        ExecutionError,
        Inspection,
        Limits,
        Memory,
        Node,
        Running,
        Value,
        Variable,
    )
    from stillframe.results import Execution, ExecutionFailed, State, Tree

__version__ = "0.1.0"

_HOMES = {
    "capture.calls": ("Resumed", "resume"),
    "client": ("Client", "connect"),
    "errors": (
        "BadRequest",
        "LookTimedOut",
        "NameTaken",
        "NotJSON",
        "ResourceLimit",
        "ServerUnreachable",
        "StateNotFound",
        "StateUnreachable",
        "StillframeError",
        "Unauthorized",
        "UnsupportedPlatform",
        "VariableNotFound",
    ),
    "kernel": ("Kernel",),
    "model": (
        "Completion",
        "ExecutionError",
        "Inspection",
        "Limits",
        "Memory",
        "Node",
        "Running",
        "Value",
        "Variable",
    ),
    "results": ("Execution", "ExecutionFailed", "State", "Tree"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}
_OTHER_NAMES = {"snapshot": ("capture.calls", "take_snapshot")}

__all__ = [
    "BadRequest",
    "Client",
    "Completion",
    "Execution",
    "ExecutionError",
    "ExecutionFailed",
    "Inspection",
    "Kernel",
    "Limits",
    "LookTimedOut",
    "Memory",
    "NameTaken",
    "Node",
    "NotJSON",
    "ResourceLimit",
    "Resumed",
    "Running",
    "ServerUnreachable",
    "State",
    "StateNotFound",
    "StateUnreachable",
    "StillframeError",
    "Tree",
    "Unauthorized",
    "UnsupportedPlatform",
    "Value",
    "Variable",
    "VariableNotFound",
    "__version__",
    "connect",
    "resume",
    "snapshot",
]


def _require_platform() -> None:
    """Raise UnsupportedPlatform unless this is Linux and a CPython that stillframe knows."""
    version = sys.version_info[:2]
    if sys.platform == "linux" and sys.implementation.name == "cpython" and (3, 11) <= version <= (3, 14):
        return
    from stillframe.errors import UnsupportedPlatform

    here = f"{sys.implementation.name} {version[0]}.{version[1]} on {sys.platform}"
    raise UnsupportedPlatform(
        f"stillframe runs on Linux, on CPython 3.11 to 3.14; this is {here}.",
        "On another system, run it in a Linux container or virtual machine.",
    )


_require_platform()


def __getattr__(name: str) -> Any:
    home, inner = _OTHER_NAMES.get(name, (_HOME_OF.get(name), name))
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), inner)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

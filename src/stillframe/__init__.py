"""A Python kernel whose states are values: name them, branch them, run in any of them.

    import stillframe

    with stillframe.Kernel() as kernel:
        kernel.execute("x = 1", name="one")
        kernel.execute("x += 1; x", "one", name="two").text    # '2'
        kernel.value("one", "x")                               # 1, still

and programs that can be put down in the middle of a call, and picked up elsewhere:

    if not stillframe.snapshot("job.snapshot"):
        print("still here; `still resume job.snapshot` goes on from this line")

Importing this package loads nothing else: each name below is imported when it is first used.
"""

from __future__ import annotations

import importlib
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from stillframe.capture.calls import Resumed, resume
    from stillframe.capture.calls import take_snapshot as snapshot
    from stillframe.capture.exclusions import exclude
    from stillframe.capture.explain import explain
    from stillframe.capture.pickler import register_reducer
    from stillframe.capture.values import dumps, loads
    from stillframe.cells import choose, reject
    from stillframe.client import Client, connect
    from stillframe.errors import (
        BadRequest,
        CannotCapture,
        CannotRestore,
        CorruptBlob,
        CorruptSnapshot,
        IncompatibleSnapshot,
        LookTimedOut,
        MissingBlob,
        NameTaken,
        NativeCallInTheWay,
        NoStore,
        NotInCell,
        NotJSON,
        Obstacle,
        ResourceLimit,
        RestsInCall,
        ServerUnreachable,
        SnapshotRefused,
        StateNotFound,
        StateUnreachable,
        StillframeError,
        StoreDamaged,
        StoreError,
        StoreFull,
        StoreInUse,
        StoreReadOnly,
        StoreTooNew,
        TeleportFailed,
        Unauthorized,
        UnsupportedPlatform,
        UntrustedSnapshot,
        VariableNotFound,
    )
    from stillframe.frames.diversions import use_stand_ins
    from stillframe.kernel import Kernel
    from stillframe.model import (
        Archived,
        Completion,
        Evaluated,
        ExecutionError,
        Frame,
        Inspection,
        Keys,
        Limits,
        Memory,
        Moved,
        Node,
        Pruned,
        Running,
        TrustedKey,
        Value,
        Variable,
        Where,
    )
    from stillframe.results import Execution, ExecutionFailed, State, Tree

__version__ = "0.1.0"

_HOMES = {
    "capture.calls": ("Resumed", "resume"),
    "capture.exclusions": ("exclude",),
    "capture.explain": ("explain",),
    "capture.pickler": ("register_reducer",),
    "capture.values": ("dumps", "loads"),
    "cells": ("choose", "reject"),
    "client": ("Client", "connect"),
    "errors": (
        "BadRequest",
        "CannotCapture",
        "CannotRestore",
        "CorruptBlob",
        "CorruptSnapshot",
        "IncompatibleSnapshot",
        "LookTimedOut",
        "MissingBlob",
        "NameTaken",
        "NativeCallInTheWay",
        "NoStore",
        "NotInCell",
        "NotJSON",
        "Obstacle",
        "ResourceLimit",
        "RestsInCall",
        "ServerUnreachable",
        "SnapshotRefused",
        "StateNotFound",
        "StateUnreachable",
        "StillframeError",
        "StoreDamaged",
        "StoreError",
        "StoreFull",
        "StoreInUse",
        "StoreReadOnly",
        "StoreTooNew",
        "TeleportFailed",
        "Unauthorized",
        "UnsupportedPlatform",
        "UntrustedSnapshot",
        "VariableNotFound",
    ),
    "frames.diversions": ("use_stand_ins",),
    "kernel": ("Kernel",),
    "model": (
        "Archived",
        "Completion",
        "Evaluated",
        "ExecutionError",
        "Frame",
        "Inspection",
        "Keys",
        "Limits",
        "Memory",
        "Moved",
        "Node",
        "Pruned",
        "Running",
        "TrustedKey",
        "Value",
        "Variable",
        "Where",
    ),
    "results": ("Execution", "ExecutionFailed", "State", "Tree"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}
_OTHER_NAMES = {"snapshot": ("capture.calls", "take_snapshot")}

__all__ = [
    "Archived",
    "BadRequest",
    "CannotCapture",
    "CannotRestore",
    "Client",
    "Completion",
    "CorruptBlob",
    "CorruptSnapshot",
    "Evaluated",
    "Execution",
    "ExecutionError",
    "ExecutionFailed",
    "Frame",
    "IncompatibleSnapshot",
    "Inspection",
    "Kernel",
    "Keys",
    "Limits",
    "LookTimedOut",
    "Memory",
    "MissingBlob",
    "Moved",
    "NameTaken",
    "NativeCallInTheWay",
    "NoStore",
    "Node",
    "NotInCell",
    "NotJSON",
    "Obstacle",
    "Pruned",
    "ResourceLimit",
    "RestsInCall",
    "Resumed",
    "Running",
    "ServerUnreachable",
    "SnapshotRefused",
    "State",
    "StateNotFound",
    "StateUnreachable",
    "StillframeError",
    "StoreDamaged",
    "StoreError",
    "StoreFull",
    "StoreInUse",
    "StoreReadOnly",
    "StoreTooNew",
    "TeleportFailed",
    "Tree",
    "TrustedKey",
    "Unauthorized",
    "UnsupportedPlatform",
    "UntrustedSnapshot",
    "Value",
    "Variable",
    "VariableNotFound",
    "Where",
    "__version__",
    "choose",
    "connect",
    "dumps",
    "exclude",
    "explain",
    "loads",
    "register_reducer",
    "reject",
    "resume",
    "snapshot",
    "teleport",
    "use_stand_ins",
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
    if name == "teleport":
        return importlib.import_module(f"{__name__}.teleport")  # a module that can be called
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), inner)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

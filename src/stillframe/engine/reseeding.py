"""Keeps `random` from reseeding itself in our forks, so that the same cell gives the same numbers.

CPython's `random` registers its reseeding with os.register_at_fork when it is imported, and such a
registration cannot be taken back. So it is imported here, before any user code, with a guard around what
it registers. In a fork that the user's program makes it is reseeded as anywhere else.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

is_forking_ours = False
"""Set while a state process forks a state process."""

_register = os.register_at_fork


def _register_guarded(*, after_in_child: Callable[[], Any]) -> None:
    def guarded() -> None:
        if not is_forking_ours:
            after_in_child()

    _register(after_in_child=guarded)


os.register_at_fork = _register_guarded  # type: ignore[assignment]
try:
    # One that is there already (a .pth file, sitecustomize) gets a new, guarded generator.
    importlib.reload(sys.modules["random"]) if "random" in sys.modules else importlib.import_module("random")
finally:
    os.register_at_fork = _register

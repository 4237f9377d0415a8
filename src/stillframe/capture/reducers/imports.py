"""An import in progress: the lock of its module belongs to the thread that imports it."""

from __future__ import annotations

import importlib

from stillframe.capture import rebuild, rebuild_imports
from stillframe.capture.pickler import Pickler, reducer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MODULE_LOCK: type = importlib._bootstrap._ModuleLock  # type: ignore[attr-defined]


@reducer(_MODULE_LOCK)
def _reduce_module_lock(pickler: Pickler, lock: Any) -> tuple[Any, ...]:
    state = (pickler.context, dict(vars(lock)))
    pickler.state.keep.append(state)
    return rebuild.bare, (_MODULE_LOCK, object), state, None, None, rebuild_imports.set_module_lock

"""What pickles call to go on with an import in progress."""

from __future__ import annotations

import importlib
import threading
import weakref

from stillframe.capture.rebuild import Context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def set_module_lock(made: Any, state: tuple[Context, dict[str, Any]]) -> None:
    """The lock of a module that is being imported. `context.facts["module locks"]` says by which thread."""
    context, attributes = state
    vars(made).update(attributes)
    locks = importlib._bootstrap._module_locks  # type: ignore[attr-defined]
    locks.setdefault(made.name, weakref.ref(made))
    if made.owner is not None:
        context.facts.setdefault("module locks", []).append((made, made.owner))
        # Its thread takes it before it goes on. Until then it is the loading one's, which may need the module itself.
        made.owner = threading.get_ident()

"""Teleport: the running program goes on in another interpreter, on this machine or elsewhere.

The package itself can be called: `stillframe.teleport(...)` is `departure.teleport(...)`. A submodule and a
function of one name cannot both be an attribute of `stillframe`, so the module is the function.

Importing it loads nothing else: the far side and the relay import single modules of it, in bare interpreters.
"""

from __future__ import annotations

import gc
import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _CallableModule(types.ModuleType):
    def __call__(self, *arguments: Any, **options: Any) -> Any:
        is_enabled = gc.isenabled()
        gc.disable()  # nothing that an import makes is garbage
        try:
            from stillframe.teleport.departure import teleport
        finally:
            if is_enabled:
                gc.enable()
        return teleport(*arguments, **options)


sys.modules[__name__].__class__ = _CallableModule

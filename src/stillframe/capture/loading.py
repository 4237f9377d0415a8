"""Loading: objects from a pickle with its buffers. The half of `capturing` that a process needs into which they come.

Invariant: it is on the way of every teleport, and imports nothing that only a capture needs.
"""

from __future__ import annotations

import _pickle  # where `pickle` has it from, which is slow to import
import gc
import importlib
import io
import sys
from collections.abc import Iterable, Sequence

from stillframe.capture import rebuild

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple
else:
    from stillframe.light import NamedTuple


class Contents(NamedTuple):
    """A capture: the pickle, and the large buffers that it refers to."""

    pickle: Any
    buffers: Sequence[Any]


def restore(contents: Contents) -> tuple[rebuild.Context, Any]:
    """Load what `capture` captured: the context of the load, and the root."""
    unpickler = Unpickler(io.BytesIO(contents.pickle), buffers=contents.buffers)
    with gc_paused():
        return _load_with_modules(unpickler)


class Unpickler(_pickle.Unpickler):
    """Loads what `Pickler` dumped. Loading runs what the pickle says: only from sources that are trusted."""

    def __init__(self, file: Any, *, buffers: Iterable[Any] | None = None) -> None:
        super().__init__(file, buffers=buffers)

    def find_class(self, module: str, name: str, /) -> Any:
        """What a pickle means by a name. asyncio's accelerator may not be there (`aio`)."""
        if module == "_asyncio" and sys.modules.get(module, self) is None:
            module = next(
                home
                for home in ("asyncio.events", "asyncio.futures", "asyncio.tasks")
                if hasattr(importlib.import_module(home), name)
            )
        return super().find_class(module, name)


MORE, ROOT, CALL, END = range(4)
"""What a part of the pickle after the prelude is: something for the memo, the root, something to call, the end."""


def _load_with_modules(unpickler: Unpickler) -> tuple[rebuild.Context, Any]:
    """Load what `modules.dump_with_modules` dumped. The modules of a whole program go into `sys.modules`."""
    paths = unpickler.load()
    if paths is not None:
        sys.path[:] = [*paths, *(path for path in sys.path if path not in paths)]
    context, modules, is_whole, _ = unpickler.load()
    context.modules = modules
    if is_whole:
        sys.modules.update(modules)
    root = None
    while True:
        kind, value = unpickler.load()
        if kind == END:
            break
        if kind == ROOT:
            root = value[1]
        elif kind == CALL:
            value[0](*value[1:])
    context.finish()
    return context, root


class gc_paused:
    """Without collections: they would look again and again at all that was made so far."""

    def __enter__(self) -> None:
        self._was_enabled = gc.isenabled()
        gc.disable()

    def __exit__(self, *_raised: object) -> None:
        if self._was_enabled:
            gc.enable()

"""Namespaces of objects that a frame holds: `cache = instance.__dict__`.

Pickle gives an object a copy of its namespace. Where a frame has both, what it writes into the one must be
seen in the other, as `functools.cached_property` relies on.
"""

from __future__ import annotations

import copyreg

from stillframe.capture import rebuild_objects
from stillframe.capture.pickler import Pickler
from stillframe.frames.resumption import FrameRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NEW: Any = vars(copyreg)["__newobj__"]
_DICT_OF = object.__getattribute__
_REDUCES = ("__reduce__", "__reduce_ex__")


def note(pickler: Pickler, record: FrameRecord) -> None:
    """Have the pickler know the objects of which the frame holds the namespace too."""
    dicts = [value for value in record.fast if type(value) is dict]
    if not dicts:
        return
    for owner in record.fast:
        if not getattr(type(owner), "__dictoffset__", 0) or isinstance(owner, type):
            continue
        if any(getattr(type(owner), name) is not getattr(object, name) for name in _REDUCES):
            continue
        if any(_DICT_OF(owner, "__dict__") is namespace for namespace in dicts):
            _share(pickler, owner)


def _share(pickler: Pickler, owner: Any) -> None:
    shared = pickler.state.seen.setdefault("shared namespaces", {})
    cls = type(owner)
    if cls not in {type(known) for known in shared.values()}:
        plain = pickler.plans[cls]

        def reduce(pickler: Pickler, thing: Any) -> Any:
            if id(thing) in shared:
                namespace = _DICT_OF(thing, "__dict__")
                return _NEW, (type(thing),), namespace, None, None, rebuild_objects.set_namespace
            return NotImplemented if plain is None else plain(pickler, thing)

        pickler.plans[cls] = reduce
    shared[id(owner)] = owner

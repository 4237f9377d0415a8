"""Views of containers, and iterators that plain pickle would cut off from what they iterate over."""

from __future__ import annotations

import gc
import itertools
import sys
import types
from collections import OrderedDict

from stillframe.capture import rebuild_builtins
from stillframe.capture.pickler import CannotReduce, Pickler, reducer
from stillframe.capture.reducers.classes import WITHOUT_NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_VIEWS = {
    type(getattr(cls(), name)()): name for cls in (dict, OrderedDict) for name in ("keys", "values", "items")
}
_DICT_ITERATORS = {
    type(turn(getattr({}, name)())): (name, turn is reversed)
    for name in ("keys", "values", "items")
    for turn in (iter, reversed)
}
_ORDERED_ITERATOR: type = type(iter(OrderedDict()))


def held_by(obj: Any) -> list[Any]:
    """What a built-in object holds, in the order of its struct. Types on the heap, as in 3.12, also name their type."""
    return [held for held in gc.get_referents(obj) if held is not type(obj)]


def _under(obj: Any) -> Any:
    """The container behind a view, a proxy or an iterator; None if an iterator has let go of it."""
    held = held_by(obj)
    return held[0] if held else None


@reducer(*_VIEWS)
def _reduce_view(_pickler: Pickler, view: Any) -> tuple[Any, ...]:
    mapping = _under(view)
    cls = OrderedDict if isinstance(mapping, OrderedDict) else dict
    return rebuild_builtins.view, (cls, _VIEWS[type(view)], mapping)


@reducer(types.MappingProxyType)
def _reduce_proxy(_pickler: Pickler, proxy: Any) -> tuple[Any, ...]:
    mapping = _under(proxy)
    if type(mapping) is dict:
        for name in ("__dict__", "__weakref__", "__module__", "__new__"):
            cls = getattr(mapping.get(name), "__objclass__", None) or getattr(
                mapping.get(name), "__self__", None
            )
            if isinstance(cls, type) and _under(cls.__dict__) is mapping:
                return rebuild_builtins.class_dict, (cls,)
    return types.MappingProxyType, (mapping,)


@reducer(*_DICT_ITERATORS)
def _reduce_dict_iterator(_pickler: Pickler, iterator: Any) -> tuple[Any, ...]:
    name, is_reversed = _DICT_ITERATORS[type(iterator)]
    mapping = _under(iterator)
    if not isinstance(mapping, dict):
        return rebuild_builtins.dict_iterator, (name, is_reversed, {}, 0, True)
    remaining = iterator.__length_hint__()
    is_valid = True
    if not remaining and len(mapping):
        try:
            # This works on a copy of the iterator, and fails if the dict has grown or shrunk under it.
            iterator.__reduce__()
        except RuntimeError:
            is_valid = False
    if mapping is sys.modules and is_valid:
        # In another process that dict is another, and grows while the program is made there.
        keys = list(reversed(mapping) if is_reversed else mapping)[len(mapping) - remaining :]
        left = {key: None if name == "keys" else mapping[key] for key in (reversed(keys) if is_reversed else keys)}
        return rebuild_builtins.dict_iterator, (name, is_reversed, left, 0, True)
    return rebuild_builtins.dict_iterator, (name, is_reversed, mapping, len(mapping) - remaining, is_valid)


@reducer(_ORDERED_ITERATOR)
def _reduce_ordered_iterator(_pickler: Pickler, iterator: Any) -> Any:
    mapping = _under(iterator)
    remaining = iterator.__reduce__()[1][0]
    if not isinstance(mapping, OrderedDict) or not remaining:
        return iter, (remaining,)
    for kind in ("keys", "values", "items"):
        for is_reversed in (False, True):
            whole = list(getattr(OrderedDict, kind)(mapping))
            if _is_tail(whole[::-1] if is_reversed else whole, remaining, kind):
                consumed = len(whole) - len(remaining)
                return rebuild_builtins.ordered_iterator, (kind, is_reversed, mapping, consumed)
    return iter, (remaining,)


def _is_tail(whole: list[Any], remaining: list[Any], kind: str) -> bool:
    tail = whole[len(whole) - len(remaining) :]
    if kind == "items":
        return all(
            type(b) is tuple and len(b) == 2 and a[0] is b[0] and a[1] is b[1]
            for a, b in zip(tail, remaining, strict=True)
        )
    return all(a is b for a, b in zip(tail, remaining, strict=True))


_ITERTOOLS = {
    cls
    for cls in (*vars(itertools).values(), type(itertools.tee("")[0]))
    if isinstance(cls, type) and "__reduce__" in cls.__dict__
}


@reducer(*_ITERTOOLS)
def _reduce_itertool(_pickler: Pickler, iterator: Any) -> tuple[Any, ...]:
    make, arguments, *state = rebuild_builtins.quietly(iterator.__reduce__)
    if not state or state[0] is None:
        return rebuild_builtins.itertool, (make, *arguments)
    return rebuild_builtins.itertool, (make, *arguments), state[0], None, None, rebuild_builtins.set_itertool


@reducer(itertools.pairwise)
def _reduce_pairwise(_pickler: Pickler, iterator: Any) -> tuple[Any, ...]:
    held = held_by(iterator)
    if sys.version_info >= (3, 13):
        held = held[:-1]  # a tuple that it keeps to use it again, also at its end
    if not held:
        return rebuild_builtins.pairwise, (None, ())
    return rebuild_builtins.pairwise, (held[0], tuple(held[1:2]))


@reducer(getattr(itertools, "batched", None))
def _reduce_batched(_pickler: Pickler, iterator: Any) -> tuple[Any, ...]:
    import ctypes

    held = held_by(iterator)
    source = held[0] if held else iter(())
    # Its size stands behind the iterator in its struct, and nothing tells it; in 3.13 a flag follows.
    at = id(iterator) + object.__basicsize__ + ctypes.sizeof(ctypes.c_void_p)
    size = ctypes.c_ssize_t.from_address(at).value
    strict = (
        sys.version_info >= (3, 13) and ctypes.c_bool.from_address(at + ctypes.sizeof(ctypes.c_ssize_t)).value
    )
    return rebuild_builtins.batched, (source, size, strict)


@reducer(memoryview)
def _reduce_memoryview(_pickler: Pickler, view: memoryview) -> tuple[Any, ...]:
    try:
        base = view.obj
    except ValueError:
        return rebuild_builtins.released_view, ()
    if base is None or view.ndim == 0:
        return rebuild_builtins.memory, (bytes(view), view.format, view.shape, None, view.readonly)
    whole = memoryview(base)
    if whole.nbytes == view.nbytes and view.c_contiguous and whole.c_contiguous:
        return rebuild_builtins.memory, (base, view.format, view.shape, None, view.readonly)
    offset = _address(view) - _address(whole)
    if view.ndim != 1 or not whole.c_contiguous:
        raise CannotReduce(
            view, "it is a part, in several dimensions, of something else", "Make a copy of it."
        )
    assert view.strides is not None
    part = (offset, view.strides[0], len(view), view.itemsize)
    return rebuild_builtins.memory, (base, view.format, view.shape, part, view.readonly)


@reducer(type(iter(memoryview(b""))))
def _reduce_memory_iterator(_pickler: Pickler, iterator: Any) -> tuple[Any, ...]:
    import ctypes

    held = held_by(iterator)
    # Where it is stands first in its struct, and nothing tells it.
    index = ctypes.c_ssize_t.from_address(id(iterator) + object.__basicsize__).value
    return rebuild_builtins.memory_iterator, (held[0] if held else None, index)


WITHOUT_NAME[type(iter(memoryview(b"")))] = rebuild_builtins.memory_iterator


@reducer(super)
def _reduce_super(_pickler: Pickler, made: Any) -> tuple[Any, ...]:
    cls, owner = (vars(super)[name].__get__(made) for name in ("__thisclass__", "__self__"))
    return super, (cls,) if owner is None else (cls, owner)


def _address(view: memoryview) -> int:
    import ctypes

    class Buffer(ctypes.Structure):
        _fields_ = (
            ("buf", ctypes.c_void_p),
            ("obj", ctypes.py_object),
            ("rest", ctypes.c_byte * 256),
        )

    # Functions of our own: what ctypes.pythonapi has belongs to the program.
    pointer, api = ctypes.POINTER(Buffer), ctypes.pythonapi
    get = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, pointer, ctypes.c_int)(("PyObject_GetBuffer", api))
    release = ctypes.PYFUNCTYPE(None, pointer)(("PyBuffer_Release", api))
    made = Buffer()
    get(view, made, 0x18)
    address: int = made.buf or 0
    release(made)
    return address

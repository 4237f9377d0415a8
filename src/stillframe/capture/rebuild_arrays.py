"""What pickles call to make arrays, frames and tensors again.

Invariants:
  * What shared memory shares it again; a large buffer is used where it lies, not copied.
  * None of these packages is imported before one of its objects is made.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from stillframe.capture.rebuild_files import sample
from stillframe.capture.rebuild_states import is_filled
from stillframe.errors import CannotRestore


def view(
    base: Any, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: Any, is_writeable: bool
) -> Any:
    """A part of the memory of another array, or of a bytearray and its like."""
    numpy: Any = import_module("numpy")
    under = base
    if not isinstance(base, numpy.ndarray):
        base = numpy.frombuffer(base, numpy.uint8)
    lowest = offset + sum(min(0, (size - 1) * stride) for size, stride in zip(shape, strides, strict=True))
    if dtype.hasobject or lowest < 0:
        made = _strided_objects(numpy, base, offset, shape, strides, dtype)
    else:
        made = numpy.ndarray(shape, dtype, _memory(numpy, base), _start(numpy, base) + offset, strides)
    if not is_writeable and made.flags.writeable:
        made.flags.writeable = False
    _set_base(made, under)
    return made


_BASE_AT = object.__basicsize__ + 32
"""In the struct of an array, after data, ndim, dimensions and strides, in all versions of numpy's ABI."""


def _set_base(made: Any, base: Any) -> None:
    """Let the array hold `base`, in whose memory it lies, and not what it was made with on the way. Where its struct
    is not as we think, that stays: nothing but `made.base` would tell."""
    import ctypes

    before = made.base
    field = ctypes.c_size_t.from_address(id(made) + _BASE_AT)
    if before is base or field.value != id(before):
        return
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(base))
    field.value = id(base)
    ctypes.pythonapi.Py_DecRef(ctypes.py_object(before))


def owner(data: Any, dtype: Any, shape: tuple[int, ...], order: str, is_writeable: bool) -> Any:
    """An array with memory of its own, which has the contents of a buffer: mapped over it, or else copied."""
    numpy: Any = import_module("numpy")
    if isinstance(data, bytes):
        made = numpy.ndarray(shape, dtype, data, order=order).copy(order)
    else:
        made = numpy.empty(shape, dtype, order)
        if not is_filled(data, made.__array_interface__["data"][0], made.nbytes):
            made.reshape(-1, order=order, copy=False).view("u1")[:] = numpy.frombuffer(data, "u1")
    if not is_writeable:
        made.flags.writeable = False
    return made


def alone(data: Any, dtype: Any, shape: tuple[int, ...], order: str, is_writeable: bool) -> Any:
    """A view of an array that nobody else knows: of as much of it as is seen."""
    return owner(data, dtype, shape, order, is_writeable).view()


def strided(base: Any, shape: tuple[int, ...], strides: tuple[int, ...], is_writeable: bool) -> Any:
    """What `as_strided` makes."""
    numpy: Any = import_module("numpy")
    return numpy.lib.stride_tricks.as_strided(base, shape, strides, writeable=is_writeable)


def masked(cls: Any, base: Any) -> Any:
    """An array with a mask, over another one."""
    return base.view(cls)


def set_masked(made: Any, attributes: dict[str, Any]) -> None:
    """Its mask, and the rest."""
    vars(made).update(attributes)


def _memory(numpy: Any, base: Any) -> Any:
    """The memory from the first to the last byte of `base`, as an array that keeps it alive."""
    if base.flags.c_contiguous:
        return base
    low, high = numpy.lib.array_utils.byte_bounds(base)
    holder = _Memory(base, low, high - low)
    return numpy.asarray(holder)


def _start(numpy: Any, base: Any) -> int:
    if base.flags.c_contiguous:
        return 0
    low, _high = numpy.lib.array_utils.byte_bounds(base)
    return int(base.__array_interface__["data"][0] - low)


class _Memory:
    """Some memory of an array, for numpy to look at as bytes."""

    def __init__(self, base: Any, address: int, size_bytes: int) -> None:
        self.base = base
        self.__array_interface__ = {
            "data": (address, not base.flags.writeable),
            "shape": (size_bytes,),
            "typestr": "|u1",
            "version": 3,
        }


def _strided_objects(numpy: Any, base: Any, offset: int, shape: Any, strides: Any, dtype: Any) -> Any:
    """A view of objects: numpy lets only itself point to them."""
    items, rest = divmod(offset, base.itemsize)
    flat = base.reshape(-1, copy=False) if base.flags.c_contiguous else base.T.reshape(-1, copy=False)
    assert not rest or dtype != base.dtype, "an object begins where one begins"
    start = flat[items:]
    if dtype != base.dtype:
        start = flat.view(dtype)[offset // dtype.itemsize :]
    return numpy.lib.stride_tricks.as_strided(start, shape, strides)


def file_facts(path: str, size_bytes: int, *, is_written: bool) -> tuple[str, int, str]:
    """Path, size and a digest of a file that is mapped; of one that is written, only of its end."""
    with open(path, "rb", buffering=0) as file:
        size_bytes = min(size_bytes, os.fstat(file.fileno()).st_size)
        return os.path.realpath(path), size_bytes, sample(file.fileno(), size_bytes, [], is_tail=is_written)


def memmap(
    facts: tuple[str, int, str], dtype: Any, mode: str, offset: int, shape: tuple[int, ...], order: str
) -> Any:
    """An array in a file."""
    path, size_bytes, expected = facts
    numpy: Any = import_module("numpy")
    try:
        with open(path, "rb", buffering=0) as file:
            found = sample(file.fileno(), size_bytes, [], is_tail=mode != "r")
            if os.fstat(file.fileno()).st_size < size_bytes or found != expected:
                raise CannotRestore(f"cannot map {path} again: it has changed.", "Put it back as it was.")
        return numpy.memmap(path, dtype, mode, offset, shape, order)
    except OSError as error:
        raise CannotRestore(
            f"cannot map {path} again: {error.strerror}.", "Put it back as it was."
        ) from error


# --- pandas


def block_references() -> Any:
    """Who shares the memory of a block: each block tells it when it is made."""
    return import_module("pandas._libs.internals").BlockValuesRefs()


def block(cls: Any, values: Any, indexer: Any, ndim: int, references: Any) -> Any:
    """A block of a frame."""
    placement = import_module("pandas._libs.internals").BlockPlacement(indexer)
    return cls(values, placement=placement, ndim=ndim, refs=references)


def series_manager(cls: Any, block: Any, axis: Any) -> Any:
    """What is in a series."""
    return cls(block, axis, verify_integrity=False)


def set_index_references(index: Any, references: Any) -> None:
    """An index that shares its memory with the block of a frame."""
    index._references = references
    references.add_index_reference(index)


# --- torch


def bytes_of(storage: Any) -> Any:
    """The memory of a storage, as an array of bytes."""
    torch: Any = import_module("torch")
    return torch.empty(0, dtype=torch.uint8).set_(storage).numpy()


def storage(data: Any) -> Any:
    """Memory for tensors: that of the buffer, if it may be written to."""
    torch: Any = import_module("torch")
    view = memoryview(data)
    if not view.nbytes:
        return torch.UntypedStorage(0)
    if view.readonly:
        view = memoryview(bytearray(view))
    return torch.frombuffer(view, dtype=torch.uint8).untyped_storage()


def typed_storage(memory: Any, dtype: Any) -> Any:
    """The older kind of storage."""
    torch: Any = import_module("torch")
    return torch.storage.TypedStorage(wrap_storage=memory, dtype=dtype, _internal=True)


def tensor(
    cls: Any,
    memory: Any,
    dtype: Any,
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    needs_gradient: bool,
    is_conjugate: bool,
    is_negative: bool,
) -> Any:
    """A tensor or parameter."""
    torch: Any = import_module("torch")
    made = torch.empty(0, dtype=dtype).set_(memory, offset, size, stride)
    if is_conjugate:
        made = made.conj()
    if is_negative:
        made = torch._neg_view(made)
    if cls is torch.nn.Parameter:
        return torch.nn.Parameter(made, needs_gradient)
    made.requires_grad_(needs_gradient)
    return made


def set_tensor(made: Any, state: tuple[Any, dict[str, Any] | None]) -> None:
    """The gradient of a tensor, and what the program has attached to it."""
    gradient, attributes = state
    if gradient is not None:
        made.grad = gradient
    if attributes:
        vars(made).update(attributes)


def generator(state: Any) -> Any:
    """A generator of random numbers."""
    made = import_module("torch").Generator()
    made.set_state(state)
    return made

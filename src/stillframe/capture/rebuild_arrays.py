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
from stillframe.errors import CannotRestore


def view(
    base: Any, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: Any, is_writeable: bool
) -> Any:
    """A part of the memory of another array, or of a bytearray and its like."""
    numpy: Any = import_module("numpy")
    if not isinstance(base, numpy.ndarray):
        base = numpy.frombuffer(base, numpy.uint8)
    lowest = offset + sum(min(0, (size - 1) * stride) for size, stride in zip(shape, strides, strict=True))
    if dtype.hasobject or lowest < 0:
        made = _strided_objects(numpy, base, offset, shape, strides, dtype)
    else:
        made = numpy.ndarray(shape, dtype, _memory(numpy, base), _start(numpy, base) + offset, strides)
    if not is_writeable and made.flags.writeable:
        made.flags.writeable = False
    return made


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

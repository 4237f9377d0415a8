"""Arrays of numpy, frames of pandas, tensors of torch: large buffers out of band, shared memory still shared.

Pickle copies a view, so that a view and its base come back as two. Here a view comes back as a view, unless nobody
else holds its base: then it stands alone, and what is not seen of the base stays behind. pandas decides by references
of its own whether writing must copy first: they come along, else two frames that share memory would see each other.

Nothing here is registered before one of these packages is used. `array` of the standard library is among them.
"""

from __future__ import annotations

import array
import mmap
import sys
from pickle import PickleBuffer
from typing import Any

from stillframe.capture import rebuild, rebuild_arrays, rebuild_builtins
from stillframe.capture.pickler import IN_BAND_BYTES, LIBRARIES, CannotReduce, Pickler, Standin, reducer

MADE_OF = (bytearray, array.array, mmap.mmap)
"""What else may lie under an array and be changed through it."""


@reducer(array.array)
def _reduce_typed_array(_pickler: Pickler, made: array.array[Any]) -> tuple[Any, ...]:
    """Pickle would copy what is in it."""
    return rebuild_builtins.typed_array, (made.typecode, PickleBuffer(made))



def _register_numpy() -> None:
    numpy: Any = sys.modules["numpy"]
    reducer(numpy.memmap)(_reduce_memmap)
    reducer(numpy.ndarray)(_reduce_array)


def _register_masked() -> None:
    # numpy imports it when somebody asks for it; a capture that does not would take 15 ms longer.
    masked: Any = sys.modules["numpy.ma"]
    reducer(masked.MaskedArray)(_reduce_masked)


def _register_numpy_random() -> None:
    random: Any = sys.modules["numpy.random.mtrand"]
    reducer(random.RandomState)(_reduce_random_state)


def _register_pandas() -> None:
    pandas: Any = sys.modules["pandas"]
    internals: Any = sys.modules["pandas._libs.internals"]
    references = getattr(internals, "BlockValuesRefs", None)
    if references is not None:
        reducer(references)(_reduce_references)
        reducer(internals.Block, subclasses=True)(_reduce_block)
        reducer(pandas.Index, subclasses=True)(_reduce_index)
        managers: Any = sys.modules["pandas.core.internals.managers"]
        reducer(managers.SingleBlockManager)(_reduce_series)


def _register_torch() -> None:
    torch: Any = sys.modules["torch"]
    reducer(torch.UntypedStorage)(_reduce_storage)
    reducer(torch.storage.TypedStorage)(_reduce_typed_storage)
    reducer(torch.Tensor, torch.nn.Parameter)(_reduce_tensor)
    reducer(torch.Generator)(_reduce_generator)


for _name, _register in {
    "numpy": _register_numpy,
    "numpy.ma": _register_masked,
    "numpy.ma.core": _register_masked,
    "numpy.random.mtrand": _register_numpy_random,
    "pandas": _register_pandas,
    "torch": _register_torch,
}.items():
    LIBRARIES.setdefault(_name, []).append(_register)


# --- numpy


def _reduce_array(pickler: Pickler, made: Any) -> Any:
    base = made.base
    is_exact = pickler.options.is_state
    if base is None:
        return _reduce_owner(made) if is_exact else NotImplemented
    numpy: Any = sys.modules["numpy"]
    if isinstance(base, memoryview) and isinstance(base.obj, MADE_OF) and not is_exact:
        base = base.obj
    if isinstance(base, numpy.ndarray):
        # Held by the view, this variable and the argument: nobody else could see that memory is shared.
        is_alone = sys.getrefcount(base) <= _REFERENCES_OF_ONE_VIEW and not isinstance(base, numpy.memmap)
        if is_alone and not is_exact:
            return NotImplemented
        if is_alone and _is_mostly_unseen(made, base):
            return rebuild_arrays.alone, _owned(made)
        start = base.__array_interface__["data"][0]
    elif type(base).__name__ == "DummyArray" and isinstance(base.base, numpy.ndarray):
        return _reduce_strided(made, base.base)
    elif isinstance(base, MADE_OF) or (is_exact and isinstance(base, bytes | memoryview) and base):
        start = numpy.frombuffer(base, numpy.uint8).__array_interface__["data"][0]
    else:
        return NotImplemented
    offset = made.__array_interface__["data"][0] - start
    shape = made.shape, made.strides, made.dtype
    return rebuild_arrays.view, (base, offset, *shape, made.flags.writeable)


_REFERENCES_OF_ONE_VIEW = 3
_LARGEST_UNSEEN_BYTES = 1 << 20


def _is_mostly_unseen(made: Any, base: Any) -> bool:
    """Whether what else is in the base of a view, which nobody can see, is too much to come along."""
    flags = made.flags
    is_whole = (flags.c_contiguous or flags.f_contiguous) and not made.dtype.hasobject
    return is_whole and base.base is None and base.nbytes - made.nbytes > max(_LARGEST_UNSEEN_BYTES, made.nbytes)


def _reduce_owner(made: Any) -> Any:
    """An array that owns its memory, and owns it again: it can be resized, and its base is None."""
    flags = made.flags
    if made.dtype.hasobject or not (flags.c_contiguous or flags.f_contiguous):
        return NotImplemented  # numpy makes one that owns its memory
    return rebuild_arrays.owner, _owned(made)


def _owned(made: Any) -> tuple[Any, ...]:
    """The contents of an array that has no gaps and holds no objects, and what they are."""
    flags = made.flags
    order = "C" if flags.c_contiguous else "F"
    if made.nbytes < IN_BAND_BYTES:
        data: Any = made.tobytes("A")
    else:
        # Buffers cannot say what some types are, dates for example; and nobody asks them to.
        data = PickleBuffer(made.reshape(-1, order=order).view("u1"))
    return data, made.dtype, made.shape, order, flags.writeable


def _reduce_strided(made: Any, base: Any) -> Any:
    """What numpy's `as_strided` has made."""
    here, there = made.__array_interface__, base.__array_interface__
    if here["data"][0] != there["data"][0] or made.dtype != base.dtype:
        return NotImplemented
    return rebuild_arrays.strided, (base, made.shape, made.strides, made.flags.writeable)


def _reduce_masked(pickler: Pickler, made: Any) -> Any:
    """An array with a mask, over another one. Pickle would copy that."""
    numpy: Any = sys.modules["numpy"]
    base = made.base
    if not pickler.options.is_state or type(base) is not numpy.ndarray:
        return NotImplemented
    here, there = made.__array_interface__, base.__array_interface__
    if here["data"][0] != there["data"][0] or (made.shape, made.strides) != (base.shape, base.strides):
        return NotImplemented
    return rebuild_arrays.masked, (type(made), base), vars(made), None, None, rebuild_arrays.set_masked


def _reduce_memmap(pickler: Pickler, made: Any) -> Any:
    base = made.base
    if base is None or made.filename is None or not isinstance(made._mmap, mmap.mmap):
        return NotImplemented
    if isinstance(base, type(made)):
        offset = made.__array_interface__["data"][0] - base.__array_interface__["data"][0]
        return rebuild_arrays.view, (base, offset, made.shape, made.strides, made.dtype, made.flags.writeable)
    if made.mode == "c":
        # What was written to it is in no file.
        return NotImplemented
    if made.flags.writeable:
        made.flush()
    order = "C" if made.flags.c_contiguous else "F"
    mode = "r+" if made.mode in ("w+", "r+") else made.mode
    size = made.offset + made.nbytes
    facts = rebuild_arrays.file_facts(str(made.filename), size, is_written=made.flags.writeable)
    return rebuild_arrays.memmap, (facts, made.dtype, mode, made.offset, made.shape, order)


def _reduce_random_state(_pickler: Pickler, state: Any) -> Any:
    module: Any = sys.modules.get("numpy.random.mtrand")
    if state is getattr(module, "_rand", None):
        return rebuild.by_name, ("numpy.random.mtrand", "_rand")
    return NotImplemented


# --- pandas


def _reduce_references(_pickler: Pickler, _references: Any) -> tuple[Any, ...]:
    return rebuild_arrays.block_references, ()


def _reduce_block(_pickler: Pickler, block: Any) -> tuple[Any, ...]:
    indexer = block.mgr_locs.indexer
    return rebuild_arrays.block, (type(block), block.values, indexer, block.ndim, block.refs)


def _reduce_series(_pickler: Pickler, manager: Any) -> tuple[Any, ...]:
    return rebuild_arrays.series_manager, (type(manager), manager.blocks[0], manager.axes[0])


def _reduce_index(_pickler: Pickler, index: Any) -> Any:
    references = vars(index).get("_references")
    reduced = index.__reduce__()
    if references is None or (len(reduced) > 2 and reduced[2] is not None):
        return NotImplemented
    return *reduced[:2], references, None, None, rebuild_arrays.set_index_references


# --- torch


def _reduce_storage(pickler: Pickler, storage: Any) -> tuple[Any, ...]:
    _check_device(storage, storage.device)
    return rebuild.itself, (_storage(pickler, storage),)


def _reduce_typed_storage(pickler: Pickler, storage: Any) -> tuple[Any, ...]:
    _check_device(storage, storage.device)
    return rebuild_arrays.typed_storage, (_storage(pickler, storage.untyped()), storage.dtype)


def _storage(pickler: Pickler, storage: Any) -> Standin:
    """One for each piece of memory, however many objects there are for it."""
    key = ("storage", storage._cdata)
    standin: Standin | None = pickler.state.seen.get(key)
    if standin is None:
        size = storage.nbytes()
        data = PickleBuffer(rebuild_arrays.bytes_of(storage)) if size else b""
        standin = pickler.state.seen[key] = Standin(rebuild_arrays.storage, data)
        pickler.state.keep.append(storage)
    return standin


def _reduce_tensor(pickler: Pickler, tensor: Any) -> Any:
    torch: Any = sys.modules["torch"]
    _check_device(tensor, tensor.device)
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_nested:
        return NotImplemented
    if tensor.grad_fn is not None and _is_differentiable(tensor.grad_fn):
        reason = "it is in the middle of a computation of gradients"
        raise CannotReduce(tensor, reason, "Capture after backward(), or detach() it.")
    layout = (tensor.dtype, tensor.storage_offset(), tuple(tensor.size()), tuple(tensor.stride()))
    flags = (tensor.is_leaf and tensor.requires_grad, tensor.is_conj(), tensor.is_neg())
    made = (type(tensor), _storage(pickler, tensor.untyped_storage()), *layout, *flags)
    gradient = tensor.grad if tensor.is_leaf else None
    attributes = dict(vars(tensor)) if getattr(tensor, "__dict__", None) else None
    if gradient is None and attributes is None:
        return rebuild_arrays.tensor, made
    return rebuild_arrays.tensor, made, (gradient, attributes), None, None, rebuild_arrays.set_tensor


def _check_device(obj: Any, device: Any) -> None:
    if device.type != "cpu":
        raise CannotReduce(
            obj, f"it is on the device {device}", "Move it to the CPU (`.cpu()`) before the capture."
        )


def _is_differentiable(function: Any) -> bool:
    """Whether gradients can still be computed through it: after backward() what it needs for that has been freed."""
    seen, waiting = set(), [function]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        for name in dir(node):
            if name.startswith("_saved_"):
                try:
                    getattr(node, name)
                except RuntimeError:
                    return False
        waiting += [other for other, _ in node.next_functions]
    return True


def _reduce_generator(_pickler: Pickler, generator: Any) -> Any:
    torch: Any = sys.modules["torch"]
    if generator is torch.default_generator:
        return rebuild.by_name, ("torch", "default_generator")
    _check_device(generator, generator.device)
    return rebuild_arrays.generator, (generator.get_state(),)

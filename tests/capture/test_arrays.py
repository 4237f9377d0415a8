"""Arrays, frames and tensors: memory that is shared stays shared, large buffers are not copied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillframe.capture.capturing import Contents, capture, restore
from stillframe.errors import CannotCapture, CannotRestore

np = pytest.importorskip("numpy")


def again(obj: Any) -> Any:
    contents = capture(obj)
    return restore(Contents(contents.pickle, [bytearray(buffer) for buffer in contents.buffers]))[1]


def test_large_buffers_are_out_of_band_and_small_ones_are_not() -> None:
    contents = capture([np.arange(100_000), np.arange(10)])
    assert [memoryview(buffer).nbytes for buffer in contents.buffers] == [800_000]
    assert len(contents.pickle) < 2000


def test_a_buffer_is_the_memory_of_the_array_itself() -> None:
    made = np.arange(100_000)
    contents = capture(made)
    assert np.shares_memory(np.frombuffer(contents.buffers[0], made.dtype), made)
    _, copy = restore(contents)
    assert np.shares_memory(copy, made)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_views_of_one_array_are_views_of_one_array(data: st.DataObject) -> None:
    base = np.arange(120).reshape(4, 5, 6).astype(data.draw(st.sampled_from(["i4", "f8", "O", "c16"])))
    if data.draw(st.booleans()):
        base = np.asfortranarray(base)
    views = [base]
    for _ in range(data.draw(st.integers(1, 4))):
        view = data.draw(st.sampled_from(views))
        how = data.draw(st.sampled_from(["slice", "transpose", "reverse", "read-only", "broadcast", "axis"]))
        if how == "slice" and view.ndim:
            start, step = data.draw(st.integers(0, 2)), data.draw(st.sampled_from([1, 2, -1, -2]))
            view = view[start::step] if step > 0 else view[::step]
        elif how == "transpose":
            view = view.T
        elif how == "reverse" and view.ndim:
            view = view[..., ::-1]
        elif how == "axis":
            view = view[np.newaxis]
        elif how == "broadcast":
            view = np.broadcast_to(view, (2, *view.shape))
        else:
            view = view.view()
            view.flags.writeable = False
        views.append(view)
    copies = again(views)
    for view, copy in zip(views, copies, strict=True):
        assert copy.strides == view.strides or copy.size == 0 or 1 in copy.shape
        assert copy.dtype == view.dtype and copy.flags.writeable == view.flags.writeable
        assert copy.tolist() == view.tolist()
    base[...] = base + 1
    copies[0][...] = copies[0] + 1
    for view, copy in zip(views, copies, strict=True):
        assert copy.tolist() == view.tolist()


def test_a_view_whose_base_nobody_else_holds_stands_alone() -> None:
    lone = np.arange(1_000_000)[::1000]
    contents = capture(lone)
    assert len(contents.pickle) + sum(memoryview(buffer).nbytes for buffer in contents.buffers) < 20_000
    assert restore(contents)[1].tolist() == lone.tolist()


def test_views_of_other_memory() -> None:
    data = bytearray(16)
    data_2, array = again([data, np.frombuffer(data, np.int32)])
    array[1] = 7
    assert data_2[4] == 7


def test_structured_and_object_arrays() -> None:
    structured = np.zeros(5, [("x", "i4"), ("y", "f8")])
    objects = np.array([[1, "a"], [[], None]], object)
    objects[1, 1] = objects
    structured_2, field, objects_2, flipped = again([structured, structured["y"], objects, objects[:, ::-1]])
    field[1] = 3
    flipped[0, 0] = "new"
    assert structured_2["y"][1] == 3 and objects_2[0, 1] == "new" and objects_2[1, 1] is objects_2


def test_a_mapped_array_is_mapped_again(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "m", "f8", "w+", shape=(100,))
    mapped[:] = np.arange(100)
    contents = capture([mapped, mapped[10:20]])
    _, (copy, part) = restore(contents)
    part[0] = -5
    assert type(copy) is np.memmap and copy[10] == -5 and mapped[10] == -5
    with open(tmp_path / "m", "r+b") as file:
        file.truncate(10)
    with pytest.raises(CannotRestore, match="cannot map"):
        restore(contents)


def test_constants_generators_and_scalars() -> None:
    generator = np.random.default_rng(5)
    masked, missing, shared, copy, scalar, add = again(
        [np.ma.masked, np._NoValue, np.random.mtrand._rand, generator, np.float64(3), np.add]
    )
    assert (
        masked is np.ma.masked
        and missing is np._NoValue
        and shared is np.random.mtrand._rand
        and add is np.add
    )
    assert copy.random() == generator.random() and type(scalar) is np.float64


@pytest.mark.slow
def test_frames_that_share_memory_do_not_see_each_other() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": np.arange(20_000.0), "b": np.arange(20_000.0), "c": ["x"] * 20_000})
    series = pd.Series([1, 2, 3])
    items = [frame, frame[100:200], frame["a"], frame.copy(deep=False), series, pd.Index(series), series[1:]]
    before = [item.copy(deep=True) for item in items]
    copies = again(items)
    for item, copy in zip(before, copies, strict=True):
        assert copy.equals(item) and type(copy) is type(item)
    copies[0].loc[100, "a"] = -1
    copies[4][1] = 9
    for item, copy in zip(before[1:4] + before[5:], copies[1:4] + copies[5:], strict=True):
        assert copy.equals(item)
    assert copies[0].loc[100, "a"] == -1 and copies[4][1] == 9


@pytest.mark.slow
def test_tensors_share_their_storage() -> None:
    torch = pytest.importorskip("torch")
    base = torch.arange(50_000.0)
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters())
    loss = (layer(torch.ones(3)) ** 2).sum()
    loss.backward()
    optimizer.step()
    kept = torch.nn.Parameter(torch.ones(3))
    kept.grad = torch.full((3,), 2.0)
    generator = torch.Generator().manual_seed(4)
    items = [
        base,
        base[10:20].view(2, 5),
        layer,
        optimizer,
        loss,
        kept,
        generator,
        torch.ones(2, dtype=torch.bfloat16),
    ]
    contents = capture(items)
    assert len(contents.buffers) == 1
    base_2, view, layer_2, optimizer_2, loss_2, kept_2, generator_2, half = again(items)
    base_2[10] = -1
    assert view[0, 0] == -1
    assert optimizer_2.param_groups[0]["params"][0] is layer_2.weight
    assert optimizer_2.state[layer_2.weight]["step"] == 1 and torch.equal(
        layer_2.weight.grad, layer.weight.grad
    )
    assert (
        torch.equal(loss_2, loss) and type(kept_2) is torch.nn.Parameter and kept_2.grad.tolist() == [2, 2, 2]
    )
    assert torch.equal(torch.rand(3, generator=generator_2), torch.rand(3, generator=generator))
    assert half.dtype is torch.bfloat16


@pytest.mark.slow
def test_gradients_in_the_making_are_refused() -> None:
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(3, 2)
    loss = (layer(torch.ones(3)) ** 2).sum()
    with pytest.raises(CannotCapture, match="in the middle of a computation of gradients"):
        capture(loss)


@pytest.mark.slow
def test_models_of_scikit_learn_predict_the_same() -> None:
    ensemble = pytest.importorskip("sklearn.ensemble")
    data = np.random.default_rng(0).random((50, 3))
    model = ensemble.RandomForestRegressor(5, random_state=0).fit(data, data[:, 0])
    assert again(model).predict(data).tolist() == model.predict(data).tolist()

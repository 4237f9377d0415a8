"""The file of a snapshot: whole or absent, and refused before anything of it is run if a byte is wrong."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stillframe.capture import snapshot
from stillframe.capture.capturing import Contents
from stillframe.capture.snapshot import Header, Interpreter
from stillframe.errors import CannotCapture, CorruptSnapshot, IncompatibleSnapshot, SnapshotRefused

CONTENTS = Contents(b"pickle" * 1000, [bytearray(b"buffer" * 700), memoryview(b""), b"x" * 4096])


def written(path: Path, contents: Contents = CONTENTS, **changes: Any) -> Path:
    header = msgspec.structs.replace(snapshot.new_header("program", where="a.py:3 in f"), **changes)
    snapshot.write(path, header, contents)
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return written(tmp_path_factory.mktemp("whole") / "s").read_bytes()


def test_what_is_opened_is_what_was_written(tmp_path: Path) -> None:
    path = written(tmp_path / "s")
    header, contents = snapshot.open_snapshot(path)
    assert bytes(contents.pickle) == CONTENTS.pickle
    assert [bytes(buffer) for buffer in contents.buffers] == [bytes(buffer) for buffer in CONTENTS.buffers]
    assert header == snapshot.read_header(path)
    size_bytes = sum(memoryview(part).nbytes for part in (CONTENTS.pickle, *CONTENTS.buffers))
    assert (header.kind, header.where, header.size_bytes) == ("program", "a.py:3 in f", size_bytes)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pickle=st.binary(max_size=9000), buffers=st.lists(st.binary(max_size=9000), max_size=4))
def test_any_contents_come_back_from_a_file_and_from_a_stream(
    pickle: bytes, buffers: list[bytes], tmp_path: Path
) -> None:
    path = written(tmp_path / "s", Contents(pickle, buffers))
    stream = io.BytesIO()
    snapshot.write_stream(stream, snapshot.new_header("value"), Contents(pickle, buffers))
    stream.seek(0)
    for _, contents in (snapshot.open_snapshot(path), snapshot.read_stream(stream)):
        assert bytes(contents.pickle) == pickle
        assert [bytes(buffer) for buffer in contents.buffers] == buffers


def test_a_buffer_may_be_written_to_and_the_file_stays(tmp_path: Path) -> None:
    path = written(tmp_path / "s")
    before = path.read_bytes()
    _, contents = snapshot.open_snapshot(path)
    contents.buffers[0][:3] = b"new"
    assert path.read_bytes() == before
    snapshot.open_snapshot(path)


def test_buffers_begin_at_pages(whole: bytes) -> None:
    assert whole.find(b"pickle" * 10) % 4096 == 0
    assert whole.find(b"bufferbuffer") % 4096 == 0


def refused(data: bytes, folder: Path) -> None:
    path = folder / "damaged"
    path.write_bytes(data)
    with pytest.raises(SnapshotRefused, match=r"\w.*\."):
        snapshot.open_snapshot(path)
    with pytest.raises(SnapshotRefused):
        snapshot.read_stream(io.BytesIO(data))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_bit_is_seen_wherever_it_is(data: st.DataObject, whole: bytes, tmp_path: Path) -> None:
    at = data.draw(st.integers(0, len(whole) - 1))
    bit = data.draw(st.integers(0, 7))
    changed = bytearray(whole)
    changed[at] ^= 1 << bit
    refused(bytes(changed), tmp_path)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_truncated_file_is_refused_wherever_it_ends(
    data: st.DataObject, whole: bytes, tmp_path: Path
) -> None:
    refused(whole[: data.draw(st.integers(0, len(whole) - 1))], tmp_path)


def test_a_file_with_more_at_its_end_is_refused(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_bytes(whole + b"\0")
    with pytest.raises(CorruptSnapshot, match="it should have"):
        snapshot.open_snapshot(path)


@pytest.mark.parametrize(
    "text", [b"", b"\n", b"#!/bin/sh\n", b"stillframe snapshot \n", b"stillframe snapshot 01\n{}"]
)
def test_another_file_is_told_to_be_none(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_bytes(text)
    with pytest.raises(CorruptSnapshot, match="is not a snapshot of stillframe"):
        snapshot.open_snapshot(path)


def test_a_newer_format_is_told(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_bytes(whole.replace(b"snapshot 1\n", b"snapshot 2\n", 1))
    with pytest.raises(IncompatibleSnapshot, match="has format 2; this stillframe knows formats up to 1"):
        snapshot.open_snapshot(path)


CHANGES: dict[str, tuple[Callable[[Interpreter], dict[str, Any]], str]] = {
    "another minor": (
        lambda i: {"minor": "3.10", "version": "3.10.9"},
        "was made by CPython 3.10.9; this is 3",
    ),
    "other bytecode": (lambda i: {"magic": "00000000"}, "was made by CPython"),
    "another machine": (lambda i: {"machine": "riscv64"}, "was made on linux riscv64"),
    "another system": (lambda i: {"system": "plan9"}, "was made on plan9"),
    "other byte order": (lambda i: {"byte_order": "middle"}, "middle-endian"),
    "a debug build": (lambda i: {"is_debug": not i.is_debug}, "a debug build"),
    "a free-threaded build": (lambda i: {"is_free_threaded": True}, "a free-threaded CPython"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_does_not_fit_here_is_refused(change: str, tmp_path: Path) -> None:
    make, sentence = CHANGES[change]
    here = Interpreter.here()
    path = written(tmp_path / "s", interpreter=msgspec.structs.replace(here, **make(here)))
    with pytest.raises(IncompatibleSnapshot, match=re.escape(sentence)):
        snapshot.open_snapshot(path)
    assert snapshot.read_header(path).kind == "program"


def test_missing_packages_are_all_named(tmp_path: Path) -> None:
    packages = {"msgspec": "0", "no-such-package": "1.2", "nor-this-one": "3"}
    path = written(tmp_path / "s", packages=packages)
    with pytest.raises(IncompatibleSnapshot, match=r"no-such-package==1.2, nor-this-one==3.*pip install"):
        snapshot.open_snapshot(path)


def test_packages_needed_are_those_imported() -> None:
    import msgspec as used

    assert snapshot.packages_needed()["msgspec"] == used.__version__
    assert "stillframe" not in snapshot.packages_needed()


def test_versions_are_those_that_importlib_metadata_tells() -> None:
    from importlib.metadata import version

    import dateutil  # of python-dateutil
    import hypothesis
    import IPython

    assert dateutil and hypothesis and IPython
    needed = snapshot.packages_needed()
    assert {"python-dateutil", "hypothesis", "IPython", "pytest"} <= needed.keys()
    assert needed == {name: version(name) for name in needed}


def test_a_forged_header_is_refused_without_being_believed(whole: bytes, tmp_path: Path) -> None:
    first, body, _, rest = whole.split(b"\n", 3)
    body = body.replace(b'"kind":"program"', b'"kind":"PROGRAM"')
    forged = b"\n".join([first, body, blake3(b"other").hexdigest().encode(), rest])
    refused(forged, tmp_path)


def test_an_unwritable_folder_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(CannotCapture, match=r"cannot write the snapshot .*: No such file or directory"):
        written(tmp_path / "no" / "s")


def test_on_a_full_disk_the_old_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "s")
    before = path.read_bytes()

    def full(stream: Any, data: Any) -> None:
        stream.write(bytes(data)[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(snapshot, "_write_all", full)
    with pytest.raises(CannotCapture, match="No space left on device"):
        written(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["s"]


def test_an_interrupt_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(snapshot, "_write_all", interrupted)
    with pytest.raises(KeyboardInterrupt):
        written(tmp_path / "s")
    assert os.listdir(tmp_path) == []


def test_the_header_can_be_read_with_head(whole: bytes) -> None:
    first, body, _ = whole.split(b"\n", 2)
    assert first == b"stillframe snapshot 1"
    assert msgspec.json.decode(body, type=Header).where == "a.py:3 in f"

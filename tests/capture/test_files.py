"""Open files go on at the place where they were, or say why they cannot."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capture.differential import same
from stillframe.capture import text_state
from stillframe.capture.capturing import Contents, capture, restore
from stillframe.capture.pickler import Options
from stillframe.errors import CannotCapture, CannotRestore

LINES = [f"line {number} ä€\n" for number in range(3000)]


def again(obj: Any) -> Any:
    return restore(capture(obj))[1]


def forked(make: Callable[[], Any]) -> Contents:
    """A capture in a forked child, as a running program's is made."""
    with tempfile.TemporaryFile() as way:
        child = os.fork()
        if not child:
            status = 1
            try:
                way.write(pickle.dumps(tuple(capture(make(), Options(forked=True)))))
                way.flush()
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        way.seek(0)
        return Contents(*pickle.load(way))


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_layout_of_a_text_file_is_known_here() -> None:
    assert text_state.is_known()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-8-sig", "cp1252", "gb18030", "shift_jis"])
@pytest.mark.parametrize("newline", [None, "", "\n", "\r", "\r\n"])
def test_a_loop_over_lines_goes_on(encoding: str, newline: str | None) -> None:
    text = (
        "".join(LINES)
        if encoding not in ("cp1252", "shift_jis")
        else "".join(f"l {n}\r\nx\r" for n in range(3000))
    )
    with open("a.txt", "w", encoding=encoding, newline=None if "\r" not in text else "") as file:
        file.write(text)
    with open("a.txt", encoding=encoding, newline=newline) as file:
        for number, _ in enumerate(file):
            if number == 1500:
                break
        copy = again(file)
        rest = list(file)
        assert list(copy) == rest
        assert copy.newlines == file.newlines
        assert (copy.name, copy.mode, copy.encoding, copy.errors) == ("a.txt", "r", encoding, "strict")
        copy.close()


def test_tell_is_the_same_after_reading() -> None:
    Path("a.txt").write_text("".join(LINES), encoding="utf-8")
    with open("a.txt", encoding="utf-8") as file:
        file.read(2500)
        cookie = file.tell()
        copy = again(file)
        assert copy.tell() == cookie
        assert copy.read() == file.read()
        copy.seek(cookie)
        assert copy.read(4) == "".join(LINES)[2500:2504]
        copy.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_after_any_reads_the_rest_is_the_same(data: st.DataObject) -> None:
    text = data.draw(st.text(alphabet="aä€\r\n𝄞", max_size=300))
    newline = data.draw(st.sampled_from([None, "", "\n", "\r", "\r\n"]))
    encoding = data.draw(st.sampled_from(["utf-8", "utf-16", "utf-32"]))
    with open("h.txt", "w", encoding=encoding, newline="") as file:
        file.write(text)
    with open("h.txt", encoding=encoding, newline=newline) as file:
        file._CHUNK_SIZE = data.draw(st.sampled_from([1, 5, 16, 8192]))  # type: ignore[attr-defined]
        for step in data.draw(st.lists(st.sampled_from(["next", "read", "line", "seek"]), max_size=5)):
            if step == "next":
                next(file, None)
            elif step == "read":
                file.read(2)
            elif step == "line":
                file.readline()
            else:
                file.seek(0, io.SEEK_CUR) if not _in_loop(file) else None
        copy = again(file)
        assert copy.read() == file.read()
        copy.close()


def _in_loop(file: Any) -> bool:
    try:
        file.tell()
    except OSError:
        return True
    return False


def test_the_layers_are_the_same_objects() -> None:
    Path("a.txt").write_text("abc" * 5000)
    with open("a.txt") as file:
        file.read(5)
        copy, buffer, raw = again([file, file.buffer, file.buffer.raw])
        assert copy.buffer is buffer and buffer.raw is raw
        assert copy.read() == file.read()
        copy.close()


@pytest.mark.parametrize("mode", ["rb", "wb", "ab", "xb", "rb+", "wb+", "ab+", "xb+"])
def test_a_file_allows_what_it_allowed_open_or_closed(mode: str) -> None:
    if mode[0] == "r":
        Path("a.bin").write_bytes(b"abc")
    with open("a.bin", mode, buffering=0) as file:
        (copy,) = again([file])
        assert (copy.mode, copy.readable(), copy.writable()) == (file.mode, file.readable(), file.writable())
        with copy:
            assert again([copy])[0].mode == file.mode, "also when it is captured once more"
    assert again([file])[0].mode == file.mode


def test_iterators_over_files_go_on() -> None:
    same(
        """
        with open("lines", "w") as f:
            f.writelines(f"{n}\\n" for n in range(4000))
        f = open("lines")
        numbered = enumerate(f, 1)
        pairs = zip(f, f)
        mapped = map(str.strip, f)
        for n, line in numbered:
            if n == 500: break
        next(pairs), next(mapped)
        """,
        """
        print(next(f), next(numbered), next(pairs), next(mapped), sum(1 for _ in f), f.name)
        import os, sys
        """,
        Path.cwd(),
    )


@pytest.mark.parametrize("how", ["here", "forked"])
def test_what_was_to_be_written_is_not_lost_and_not_written_twice(how: str) -> None:
    text = open("w.txt", "w")
    text.write("hello")
    added = open("a.txt", "a+")
    added.write("one")
    added.flush()
    added.write(" two")
    update = open("u.bin", "w+b")
    update.write(b"0123456789" * 1000)
    update.flush()
    update.seek(100)
    update.read(5)
    update.write(b"XX")
    raw = open("r.bin", "wb", buffering=0)
    raw.write(b"raw")
    unnamed = tempfile.TemporaryFile("w+")
    unnamed.write("unnamed")
    named = tempfile.NamedTemporaryFile("w+")
    named.write("named")
    files = [text, added, update, raw, unnamed, named]
    contents = capture(files) if how == "here" else forked(lambda: files)
    assert Path("w.txt").read_text() == ("hello" if how == "here" else ""), (
        "a child has written for its parent"
    )
    for file in files:
        # The program goes on.
        file.write("more" if "b" not in file.mode else b"more")
        if file is not update:
            file.close()
    os.pwrite(update.fileno(), b"XX", 105)
    os.ftruncate(update.fileno(), 10000)
    os.pwrite(update.fileno(), b"7890", 107)
    _, (text, added, update, raw, unnamed, named) = restore(contents)
    text.write("!")
    added.write("!")
    raw.write(b"!")
    for file in (text, added, raw):
        file.close()
    assert Path("w.txt").read_text() == "hello!"
    assert Path("a.txt").read_text() == "one two!"
    assert Path("r.bin").read_bytes() == b"raw!"
    assert update.tell() == 107 and update.seek(104) and update.read(4) == b"4XX7"
    unnamed.seek(0)
    named.seek(0)
    assert unnamed.read() == "unnamed" and named.read() == "named" and os.path.exists(named.name)
    named.close()
    assert not os.path.exists(named.name)


def captured_reader(text: str = "x" * 10000) -> Contents:
    Path("data").write_text(text)
    with open("data") as file:
        file.read(10)
        return capture(file)


@pytest.mark.parametrize(
    "what", ["gone", "shorter", "other at the beginning", "other at the end", "other in the middle"]
)
def test_a_file_that_has_changed_is_named(what: str) -> None:
    contents = captured_reader()
    path = Path("data")
    if what == "gone":
        path.unlink()
    elif what == "shorter":
        os.truncate(path, 9999)
    else:
        at = {"beginning": 0, "end": 9999, "middle": 5000}[what.rpartition(" ")[2]]
        with open(path, "r+") as file:
            file.seek(at)
            file.write("y")
    with pytest.raises(CannotRestore, match=f"cannot open {path.resolve()} again"):
        restore(contents)


def test_a_copy_of_a_file_will_do() -> None:
    contents = captured_reader()
    path = Path("data")
    text = path.read_text()
    path.unlink()
    path.write_text(text)
    os.utime(path, (0, 0))
    _, file = restore(contents)
    assert file.read() == "x" * 9990
    file.close()


def test_a_file_that_has_grown_since_is_read_on() -> None:
    contents = captured_reader()
    with open("data", "a") as file:
        file.write("new")
    _, file = restore(contents)
    assert file.read() == "x" * 9990 + "new"
    file.close()


def test_a_file_that_lost_what_was_written_is_named() -> None:
    with open("out", "w") as file:
        file.write("some result")
        contents = capture(file)
    Path("out").write_text("")
    with pytest.raises(CannotRestore, match="it had 11 bytes, and has 0"):
        restore(contents)


def test_a_relative_name_is_found_from_the_new_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = captured_reader()
    other = tmp_path / "other"
    other.mkdir()
    Path("data").rename(other / "data")
    monkeypatch.chdir(other)
    _, file = restore(contents)
    assert file.read(3) == "xxx"
    file.close()


def test_the_number_of_a_descriptor_is_kept_if_it_is_free() -> None:
    Path("data").write_text("abc")
    file = open("data")
    number = file.fileno()
    contents = capture(file)
    file.close()
    _, copy = restore(contents)
    assert copy.fileno() == number
    copy.close()


def test_closed_files_stay_closed() -> None:
    Path("data").write_text("abc")
    files: list[Any] = [
        open("data"),
        open("data", "rb"),
        open("data", "rb", buffering=0),
        io.BytesIO(),
        io.StringIO(),
    ]
    for file in files:
        file.close()
    for file, copy in zip(files, again(files), strict=True):
        assert copy.closed and type(copy) is type(file)
        with pytest.raises(ValueError, match="closed"):
            copy.read()


def test_standard_streams_are_those_of_the_new_process(tmp_path: Path) -> None:
    same(
        "import sys\nout, err, raw = sys.stdout, sys.__stderr__, sys.stdin.buffer.raw\nfeed = sys.stdin.buffer\n",
        "print(out is sys.stdout, err is sys.__stderr__, raw is sys.stdin.buffer.raw, feed is sys.stdin.buffer)",
        tmp_path,
    )


def test_memory_files_and_devices() -> None:
    data, text = io.BytesIO(b"abc"), io.StringIO("def")
    data.read(1)
    text.read(2)
    null = open(os.devnull, "w")
    copies = again([data, text, null])
    assert copies[0].read() == b"bc" and copies[1].read() == "f" and copies[2].write("x") == 1
    null.close()
    copies[2].close()


def test_a_pipe_and_a_socket_are_refused_by_name() -> None:
    reading, writing = os.pipe()
    with (
        open(reading, "rb") as pipe,
        open(writing, "wb"),
        socket.socket() as sock,
        pytest.raises(CannotCapture) as caught,
    ):
        capture({"pipe": pipe, "more": [sock]}, name="held")
    assert sorted(str(o).partition(".")[0] for o in caught.value.obstacles) == [
        "held['more'][0] (socket): it is a connection to somewhere else",
        "held['pipe'] (BufferedReader): it is a pipe",
    ]


@pytest.mark.parametrize("name", ["gzip", "bz2", "lzma"])
@pytest.mark.parametrize("mode", ["rb", "rt"])
def test_compressed_files_are_read_on(name: str, mode: str) -> None:
    module = __import__(name)
    with module.open("c", "wt", encoding="utf-8") as file:
        file.writelines(LINES)
    with module.open("c", mode, **({"encoding": "utf-8"} if mode == "rt" else {})) as file:
        for number, _ in enumerate(file):
            if number == 1234:
                break
        copy = again(file)
        assert list(copy) == list(file)


def test_gzip_is_written_on() -> None:
    data = "".join(LINES).encode()
    with gzip.open("c.gz", "wb") as file:
        file.write(data[:30000])
        contents = capture(file)
    _, copy = restore(contents)
    copy.write(data[30000:])
    copy.close()
    with gzip.open("c.gz") as file:
        assert file.read() == data


def test_a_file_opened_twice_under_one_number_is_one() -> None:
    file = open("out", "wb", buffering=0)
    other = open(file.fileno(), "wb", buffering=0, closefd=False)
    copies = again([file, other])
    copies[0].write(b"a")
    copies[1].write(b"b")
    assert Path("out").read_bytes() == b"ab"
    assert sys.getrefcount(copies) > 0
    for each in (*copies, file):
        each.close()

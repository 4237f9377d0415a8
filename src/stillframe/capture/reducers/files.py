"""Files: text, buffered, raw, in memory; standard streams; compressed files and memory maps.

The files of a program are described together, at the end of the pickle: what is still to be written is known only
when every layer above a descriptor has been met. Until then a file in the pickle is an empty object of its class.

What is still to be written is flushed. In a forked child that would be seen outside, and the parent will write it
too: there the descriptors are put aside while the layers above flush into memory (`_diverted`).
"""

from __future__ import annotations

import codecs
import fcntl
import io
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stillframe.capture import rebuild, rebuild_classes, rebuild_files
from stillframe.capture.pickler import CannotReduce, Pickler, reducer, reducer_in
from stillframe.capture.text_state import is_known, read_state

HARMLESS_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
STANDARD = ("stdin", "stdout", "stderr")
KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class OpenFiles:
    """The files that one capture has met, layer by layer, and what it will say of them at its end."""

    def __init__(self) -> None:
        self.raws: dict[int, io.FileIO] = {}
        self.buffered: dict[int, Any] = {}
        self.texts: dict[int, io.TextIOWrapper] = {}
        self.temporary: set[int] = set()
        """The raw files whose names go with the process."""
        self.positions: dict[int, int] = {}
        """By the id of a buffered file: where it is, once it is flushed."""


def _files_of(pickler: Pickler) -> OpenFiles:
    """Those that were not described yet."""
    files: OpenFiles | None = pickler.state.seen.get("files")
    if files is None:
        files = pickler.state.seen["files"] = OpenFiles()
    return files


def _meet(pickler: Pickler, file: Any) -> None:
    """Remember the file, and the layers below it, for the end."""
    files = _files_of(pickler)
    is_first = not (files.raws or files.buffered or files.texts)
    _register(files, pickler.state.seen.setdefault("described files", set()), file)
    if is_first and (files.raws or files.buffered or files.texts):
        pickler.state.epilogue.append(lambda: _describe(pickler, files))


def _standard(file: Any, level: str) -> tuple[str, str] | None:
    """Name and level of a standard stream, or of what is under it."""
    for name in STANDARD:
        for stream_name in (f"__{name}__", name):
            stream = getattr(sys, stream_name, None)
            if type(stream) is not io.TextIOWrapper or _descriptor(stream) not in (0, 1, 2):
                continue
            layers = {"text": stream, "buffer": stream.buffer, "raw": getattr(stream.buffer, "raw", None)}
            if layers[level] is file:
                return (stream_name, level) if stream_name.startswith("_") else (f"__{name}__", level)
    return None


def _descriptor(file: Any) -> int | None:
    try:
        return int(file.fileno())
    except (OSError, ValueError):
        return None


@reducer(io.TextIOWrapper, subclasses=True)
def _reduce_text(pickler: Pickler, file: io.TextIOWrapper) -> tuple[Any, ...]:
    standard = _standard(file, "text")
    if standard is not None:
        return rebuild_files.std, standard
    try:
        _ = file.buffer
    except ValueError as error:
        raise CannotReduce(
            file, "it was detached from its buffer", "Delete it: it is of no use any more."
        ) from error
    if not is_known():
        raise CannotReduce(
            file, "this CPython keeps its state in an unknown way", "Close it before the capture."
        )
    _meet(pickler, file)
    return rebuild_files.shell, (type(file), io.TextIOWrapper)


@reducer(io.BufferedReader, io.BufferedWriter, io.BufferedRandom, subclasses=True)
def _reduce_buffered(pickler: Pickler, file: Any) -> tuple[Any, ...]:
    standard = _standard(file, "buffer")
    if standard is not None:
        return rebuild_files.std, standard
    _meet(pickler, file)
    return rebuild_files.shell, (type(file), _base(file))


@reducer(io.FileIO, subclasses=True)
def _reduce_raw(pickler: Pickler, file: io.FileIO) -> tuple[Any, ...]:
    standard = _standard(file, "raw")
    if standard is not None:
        return rebuild_files.std, standard
    _meet(pickler, file)
    return rebuild_files.shell, (type(file), io.FileIO, file.mode)


def _register(files: OpenFiles, described: set[int], file: Any) -> None:
    if id(file) in described:
        return
    described.add(id(file))
    if isinstance(file, io.FileIO):
        if not file.closed:
            _check_kind(file)
        files.raws[id(file)] = file
    elif isinstance(file, io.TextIOWrapper):
        files.texts[id(file)] = file
        _register(files, described, file.buffer)
    elif isinstance(file, io.BufferedReader | io.BufferedWriter | io.BufferedRandom):
        files.buffered[id(file)] = file
        try:
            _register(files, described, file.raw)
        except ValueError as error:
            raise CannotReduce(
                file, "it was detached from its file", "Delete it: it is of no use any more."
            ) from error


def _base(file: Any) -> type:
    return next(
        cls for cls in (io.BufferedReader, io.BufferedWriter, io.BufferedRandom) if isinstance(file, cls)
    )


def _check_kind(file: io.FileIO) -> None:
    """Refuse what is no file on a disk."""
    descriptor = file.fileno()
    if descriptor <= 2:
        return
    kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
    if kind == stat.S_IFREG or (kind == stat.S_IFCHR and _path_of(descriptor) in HARMLESS_DEVICES):
        return
    what = "a terminal" if os.isatty(descriptor) else KINDS.get(kind, "no regular file")
    raise CannotReduce(
        file, f"it is {what}", "Close it before the capture, or register a reducer for its type."
    )


def _path_of(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}")


def _opened_again(descriptor: int) -> io.FileIO:
    """The same file, by a descriptor of its own: reading from it moves nothing. Works for deleted files too."""
    return open(f"/proc/self/fd/{descriptor}", "rb", buffering=0)


# --- the description at the end


def _describe(pickler: Pickler, files: OpenFiles) -> tuple[Any, ...]:
    """What opens the files again. Flushes them, or finds out in memory what that would have written."""
    del pickler.state.seen["files"]
    opened = {key: raw for key, raw in files.raws.items() if not raw.closed}
    with _diverted(opened, pickler.options.forked) as pending:
        for text in files.texts.values():
            _flush(text)
        for buffered in files.buffered.values():
            _flush(buffered)
            if not buffered.closed and buffered.seekable():
                files.positions[id(buffered)] = buffered.tell()
        written = pending()
    is_state = pickler.options.is_state
    raws = [_describe_raw(files, key, raw, written.get(key), is_state) for key, raw in files.raws.items()]
    buffers = [_describe_buffered(files, file) for file in files.buffered.values()]
    texts = [_describe_text(file) for file in files.texts.values()]
    return rebuild_files.open_files, pickler.context, raws, buffers, texts


def _flush(file: Any) -> None:
    if file.closed or not file.writable():
        return
    try:
        file.flush()
    except OSError as error:
        reason = f"what it has still to write cannot be written ({error.strerror})"
        raise CannotReduce(file, reason, "Make room for it.") from error


@contextmanager
def _diverted(raws: dict[int, io.FileIO], is_forked: bool) -> Iterator[Any]:
    """In a forked child: let what is flushed go into memory, and tell what it was.

    Each descriptor leads to a copy of the file around its position meanwhile, at the same position.
    """
    if not is_forked:
        yield lambda: {}
        return
    aside: dict[int, tuple[int, int, int, bytes]] = {}
    for key, raw in raws.items():
        if raw.writable() and raw.fileno() > 2 and stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
            aside[key] = _divert(raw)
    try:
        yield lambda: {key: _pending(raws[key].fileno(), *facts[1:]) for key, facts in aside.items()}
    finally:
        for key, (real, *_rest) in aside.items():
            os.dup2(real, raws[key].fileno(), inheritable=False)
            os.close(real)


_WINDOW_BYTES = 1 << 20


def _divert(raw: io.FileIO) -> tuple[int, int, int, bytes]:
    descriptor = raw.fileno()
    position = os.lseek(descriptor, 0, os.SEEK_CUR)
    size = os.fstat(descriptor).st_size
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND:
        position = size
    start = max(0, position - _WINDOW_BYTES)
    with _opened_again(descriptor) as same:
        before = os.pread(same.fileno(), position + _WINDOW_BYTES - start, start) if size > start else b""
    memory = os.memfd_create("stillframe")
    os.ftruncate(memory, size)
    os.pwrite(memory, before, start)
    os.lseek(memory, position, os.SEEK_SET)
    real = os.dup(descriptor)
    os.dup2(memory, descriptor, inheritable=False)
    os.close(memory)
    return real, start, size, before


Written = tuple[int, list[tuple[int, bytes]]]
"""Where a flush in memory has ended, and what it has written where."""


def _pending(descriptor: int, start: int, size: int, before: bytes) -> Written:
    """The bytes that differ, from the first to the last."""
    position = os.lseek(descriptor, 0, os.SEEK_CUR)
    end = max(os.fstat(descriptor).st_size, start + len(before))
    after = os.pread(descriptor, end - start, start)
    if after == before:
        return position, []
    first = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), len(before))
    return position, [(start + first, after[first:])]


def _describe_raw(
    files: OpenFiles, key: int, raw: io.FileIO, written: Written | None, is_state: bool
) -> tuple[Any, rebuild_files.FileFacts | str, dict[str, Any]]:
    attributes = dict(vars(raw))
    if raw.closed:
        return raw, raw.mode, attributes
    name = attributes.pop("name", raw.name)
    descriptor = raw.fileno()
    found = os.fstat(descriptor)
    is_regular = stat.S_ISREG(found.st_mode) and descriptor > 2
    path = _path_of(descriptor)
    content = None
    if is_regular and (found.st_nlink == 0 or key in files.temporary):
        content = _content(descriptor, found.st_size)
        path = path if found.st_nlink else ""
    position, pending = written or (os.lseek(descriptor, 0, os.SEEK_CUR) if is_regular else 0, [])
    facts = rebuild_files.FileFacts(
        path=path,
        name=name,
        mode=raw.mode,
        flags=fcntl.fcntl(descriptor, fcntl.F_GETFL),
        descriptor=descriptor,
        closefd=raw.closefd,
        position=position,
        size_bytes=found.st_size,
        mtime_ns=found.st_mtime_ns,
        sample=_sample(raw, found.st_size, pending) if is_regular and content is None else "",
        pending=pending,
        content=content,
        is_regular=is_regular,
        is_shared=is_state,
    )
    return raw, facts, attributes


def _sample(raw: io.FileIO, size: int, pending: rebuild_files.Pending) -> str:
    is_tail = rebuild_files.is_only_written(raw.mode)
    if raw.readable():
        return rebuild_files.sample(raw.fileno(), size, pending, is_tail=is_tail)
    try:
        with _opened_again(raw.fileno()) as same:
            return rebuild_files.sample(same.fileno(), size, pending, is_tail=is_tail)
    except OSError as error:
        reason = f"its end cannot be read ({error.strerror}), so that nobody could tell later whether it is the same"
        raise CannotReduce(raw, reason, "Give yourself the right to read it.") from error


def _content(descriptor: int, size: int) -> bytes:
    with _opened_again(descriptor) as same:
        return rebuild_files.read_at(same.fileno(), 0, size)


def _describe_buffered(files: OpenFiles, file: Any) -> tuple[Any, ...]:
    attributes, base = dict(vars(file)), _base(file)
    if file.closed:
        return file, base, None, attributes
    # A writer is where its file is, once it is flushed.
    position = None if base is io.BufferedWriter else files.positions.get(id(file))
    return file, base, (file.raw, io.DEFAULT_BUFFER_SIZE, position), attributes


def _describe_text(file: io.TextIOWrapper) -> tuple[Any, ...]:
    attributes = dict(vars(file))
    if file.closed:
        return file, (file.encoding, file.errors), attributes
    state = read_state(file)
    arguments = (file.encoding, file.errors, state.newline, file.line_buffering, file.write_through)
    return file, (file.buffer, arguments, state), attributes


@reducer_in("tempfile", "_TemporaryFileWrapper")
def _reduce_temporary(pickler: Pickler, file: Any) -> tuple[Any, ...]:
    """A named temporary file. Its name goes with the process, so its contents come along."""
    raw = getattr(getattr(file.file, "buffer", file.file), "raw", file.file)
    if file._closer.delete and isinstance(raw, io.FileIO):
        _files_of(pickler).temporary.add(id(raw))
    return rebuild.bare, (type(file), object), (None, vars(file)), None, None, rebuild_classes.set_instance


@reducer(
    codecs.StreamReaderWriter, codecs.StreamReader, codecs.StreamWriter, codecs.StreamRecoder, subclasses=True
)
def _reduce_codec_file(_pickler: Pickler, file: Any) -> tuple[Any, ...]:
    return rebuild.bare, (type(file), object), (None, vars(file)), None, None, rebuild_classes.set_instance


@reducer(io.BytesIO, io.StringIO, subclasses=True)
def _reduce_memory_file(_pickler: Pickler, file: Any) -> Any:
    if not file.closed:
        return NotImplemented
    base = io.BytesIO if isinstance(file, io.BytesIO) else io.StringIO
    return rebuild_files.closed_in_memory, (type(file), base, vars(file))

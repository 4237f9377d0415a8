"""What pickles call to make objects of the standard library's modules in C again."""

from __future__ import annotations

import functools
import io
import os
from functools import cache
from types import SimpleNamespace
from typing import Any

from stillframe.capture.rebuild_files import sample
from stillframe.errors import CannotRestore

FULL_FLUSH = 3
"""Of zlib."""


def key_wrapper(compare: Any, value: tuple[Any, ...]) -> Any:
    """What `functools.cmp_to_key` returns, or what that returns in turn."""
    made = functools.cmp_to_key(compare)
    return made(value[0]) if value else made


def scanner(fields: dict[str, Any]) -> Any:
    """The part of a JSON decoder that is in C."""
    import _json

    context: Any = SimpleNamespace(**fields)
    return _json.make_scanner(context)


# --- csv


def csv_dialect(fields: dict[str, Any]) -> Any:
    """A dialect."""
    import _csv

    return _csv.Dialect(**fields)


def csv_reader(source: Any, fields: dict[str, Any], line: int) -> Any:
    """A reader, between two rows."""
    import _csv
    import ctypes

    made = _csv.reader(source, **fields)
    at = _line_offset()
    if at:
        ctypes.c_ulong.from_address(id(made) + at).value = line
    return made


@cache
def _line_offset() -> int:
    """Where a reader keeps the number of its line; 0 if it is not found."""
    import _csv
    import ctypes

    made = _csv.reader(iter(["x"] * 4242))
    for _ in made:
        pass
    word = ctypes.sizeof(ctypes.c_ulong)
    found = [
        at
        for at in range(object.__basicsize__, type(made).__basicsize__, word)
        if ctypes.c_ulong.from_address(id(made) + at).value == made.line_num
    ]
    return found[0] if len(found) == 1 else 0


def csv_writer(write: Any, fields: dict[str, Any]) -> Any:
    """A writer to whatever has this `write`."""
    import _csv

    return _csv.writer(SimpleNamespace(write=write), **fields)


def directory_entry(folder: Any, path: Any, name: Any) -> Any:
    """What `os.scandir` says of the entry now."""
    try:
        with os.scandir(os.path.dirname(path) or None) as entries:
            for entry in entries:
                if entry.name == name:
                    return entry
    except OSError as error:
        raise CannotRestore(
            f"cannot look into {folder!r} again: {error.strerror}.", "Put it back."
        ) from error
    raise CannotRestore(f"there is no {name!r} in {folder!r} any more.", "Put it back as it was.")


# --- native libraries


def library(cls: Any, name: str | None) -> Any:
    """A native library, loaded again."""
    try:
        return cls(name)
    except OSError as error:
        raise CannotRestore(f"cannot load the library {name} again: {error}.", "Install it here.") from error


def library_function(library: Any, name: str, is_own: bool, signature: tuple[Any, ...]) -> Any:
    """A function of a native library: that of its attribute, or one of its own."""
    function = getattr(library, name) if is_own else library[name]
    argtypes, restype, check = signature
    function.argtypes, function.restype = argtypes, restype
    if check is not None:
        function.errcheck = check
    return function


# --- memory maps


def map_facts(path: str, offset: int, size_bytes: int, *, is_written: bool) -> tuple[int, str]:
    """How far the file was looked at, and a digest of that; of a file that is written only of its end."""
    try:
        with open(path, "rb", buffering=0) as file:
            end = min(offset + size_bytes, os.fstat(file.fileno()).st_size)
            return end, sample(file.fileno(), end, [], is_tail=is_written)
    except OSError:
        return 0, ""


def memory_map(
    cls: Any,
    path: str,
    size_bytes: int,
    offset: int,
    access: int,
    position: int,
    content: bytes | None,
    facts: tuple[int, str] | None,
) -> Any:
    """A memory map of a file; or, if it is of none, with what it held."""
    made = _map_of(cls, path, size_bytes, offset, access, facts or (0, "")) if path else cls(-1, size_bytes)
    if content is not None:
        made[:] = content
    made.seek(position)
    return made


def _map_of(cls: Any, path: str, size_bytes: int, offset: int, access: int, facts: tuple[int, str]) -> Any:
    import mmap

    is_written = access != mmap.ACCESS_READ
    try:
        with open(path, "r+b" if access == mmap.ACCESS_WRITE else "rb", buffering=0) as file:
            end, expected = facts
            if expected and sample(file.fileno(), end, [], is_tail=is_written) != expected:
                raise CannotRestore(f"cannot map {path} again: it has changed.", "Put it back as it was.")
            return cls(file.fileno(), size_bytes, access=access, offset=offset)
    except (OSError, ValueError) as error:
        raise CannotRestore(f"cannot map {path} again: {error}.", "Put it back as it was.") from error


def closed_map(cls: Any) -> Any:
    """A memory map that was closed."""
    made = cls(-1, 1)
    made.close()
    return made


# --- compressed files


def set_plain(made: Any, attributes: dict[str, Any]) -> None:
    """The attributes of an object."""
    vars(made).update(attributes)


def set_gzip_writer(made: Any, attributes: dict[str, Any]) -> None:
    """A file that is being compressed: the stream goes on after a full flush."""
    import gzip
    import zlib

    vars(made).update(attributes)
    level = attributes.get("_compresslevel", 9)
    made.compress = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, 0)
    if hasattr(gzip, "_WriteBufferStream"):
        made._buffer_size = attributes.get("_buffer_size", io.DEFAULT_BUFFER_SIZE)
        made._buffer = io.BufferedWriter(gzip._WriteBufferStream(made), buffer_size=made._buffer_size)


def read_again(file: Any, raw: Any, position: int) -> None:
    """A compressed file that is being read: from its beginning, up to where it was."""
    import bz2
    import gzip
    import lzma

    raw.seek(0)
    if isinstance(file, gzip.GzipFile):
        module: Any = gzip
        file.__dict__["_buffer"] = io.BufferedReader(module._GzipReader(raw))
    else:
        base: Any = bz2.BZ2File if isinstance(file, bz2.BZ2File) else lzma.LZMAFile
        anew = base(raw, "rb")
        file._buffer = anew._buffer
        # The new file would close the buffer that is not its own any more.
        anew._buffer, anew._fp = None, None
    file.seek(position)

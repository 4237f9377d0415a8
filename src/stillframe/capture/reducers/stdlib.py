"""Objects of the standard library's modules in C that pickle refuses, though all that is in them can be told."""

from __future__ import annotations

import functools
import io
import os
from typing import Any

from stillframe.capture import rebuild, rebuild_stdlib
from stillframe.capture.pickler import CannotReduce, Pickler, reducer, reducer_in
from stillframe.capture.reducers.views import held_by


@reducer(type(functools.cmp_to_key(None)))  # type: ignore[arg-type]
def _reduce_key(_pickler: Pickler, key: Any) -> tuple[Any, ...]:
    held = held_by(key)
    return rebuild_stdlib.key_wrapper, (held[0], tuple(held[1:2]))


@reducer_in("_struct", "Struct")
def _reduce_struct(_pickler: Pickler, struct: Any) -> tuple[Any, ...]:
    return type(struct), (struct.format,)


_SCANNER = ("strict", "object_hook", "object_pairs_hook", "parse_float", "parse_int", "parse_constant")


@reducer_in("_json", "make_scanner")
def _reduce_scanner(_pickler: Pickler, scanner: Any) -> tuple[Any, ...]:
    return rebuild_stdlib.scanner, ({name: getattr(scanner, name) for name in _SCANNER},)


@reducer_in("_csv", "Reader", "Dialect")
def _reduce_csv(_pickler: Pickler, made: Any) -> Any:
    dialect = getattr(made, "dialect", made)
    names = [name for name in dir(dialect) if not name.startswith("_")]
    fields = {name: getattr(dialect, name) for name in names}
    if made is dialect:
        return rebuild_stdlib.csv_dialect, (fields,)
    source = next(held for held in held_by(made) if held is not dialect)
    return rebuild_stdlib.csv_reader, (source, fields, made.line_num)


@reducer_in("_csv", "Writer")
def _reduce_csv_writer(_pickler: Pickler, writer: Any) -> tuple[Any, ...]:
    names = [name for name in dir(writer.dialect) if not name.startswith("_")]
    write = next(held for held in held_by(writer) if held is not writer.dialect)
    return rebuild_stdlib.csv_writer, (write, {name: getattr(writer.dialect, name) for name in names})


@reducer(os.DirEntry)
def _reduce_entry(_pickler: Pickler, entry: os.DirEntry[Any]) -> tuple[Any, ...]:
    return rebuild_stdlib.directory_entry, (
        os.path.abspath(os.path.dirname(entry.path)),
        entry.path,
        entry.name,
    )


# --- native libraries


@reducer_in("ctypes", "CDLL", subclasses=True)
def _reduce_library(_pickler: Pickler, library: Any) -> tuple[Any, ...]:
    """A native library is loaded again; what the program has said of its functions is said again."""
    import ctypes

    for name in ("pythonapi",):
        if library is getattr(ctypes, name):
            return rebuild.by_name, ("ctypes", name)
    if library._name is None or os.path.basename(library._name) == library._name or os.path.exists(library._name):
        return rebuild_stdlib.library, (type(library), library._name)
    raise CannotReduce(library, f"its file {library._name} is gone", "Load it again after the capture.")


@reducer_in("_ctypes", "CFuncPtr", subclasses=True)
def _reduce_library_function(_pickler: Pickler, function: Any) -> Any:
    library = (function._objects or {}).get("0")
    name = getattr(function, "__name__", None)
    if library is None or not isinstance(name, str) or not hasattr(library, "_FuncPtr"):
        return NotImplemented
    is_own = vars(library).get(name) is function
    signature = (function.argtypes, function.restype, getattr(function, "errcheck", None))
    return rebuild_stdlib.library_function, (library, name, is_own, signature)


# --- memory maps

READ, WRITE, COPY = 1, 2, 3
"""The ways of access of `mmap`."""


@reducer_in("mmap", "mmap", subclasses=True)
def _reduce_map(_pickler: Pickler, made: Any) -> tuple[Any, ...]:
    if made.closed:
        return rebuild_stdlib.closed_map, (type(made),)
    path, offset, permissions = _where_mapped(made)
    writable = "w" in permissions
    is_private = "p" in permissions
    if path and path.endswith(" (deleted)"):
        path = ""
    access = COPY if is_private and writable else WRITE if writable else READ
    content = made[:] if not path or (is_private and writable) else None
    if path and writable and not is_private:
        made.flush()
    facts = rebuild_stdlib.map_facts(path, offset, len(made), is_written=writable) if path else None
    return rebuild_stdlib.memory_map, (
        type(made),
        path,
        len(made),
        offset,
        access,
        made.tell(),
        content,
        facts,
    )


def _where_mapped(made: Any) -> tuple[str, int, str]:
    """File, offset in it and permissions of a map, as the kernel tells them. No file: the map is in memory."""
    address = _address(made)
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        for line in maps:
            extent, permissions, offset, _device, inode, *path = line.rstrip("\n").split(None, 5)
            start, end = (int(part, 16) for part in extent.split("-"))
            if start <= address < end:
                name = path[0] if path and inode != "0" and not path[0].startswith("/dev/zero") else ""
                return name, int(offset, 16) + address - start, permissions
    raise CannotReduce(made, "the kernel does not know it", "Close it before the capture.")


def _address(made: Any) -> int:
    """Where the map begins: it is the first field of its struct."""
    import ctypes

    return int(ctypes.c_uint64.from_address(id(made) + object.__basicsize__).value)


# --- compressed files

READING = 1
"""The mode of a GzipFile that is read; since 3.13 it may be told in words."""


@reducer_in("gzip", "GzipFile", subclasses=True)
def _reduce_gzip(pickler: Pickler, file: Any) -> tuple[Any, ...]:
    if file.fileobj is None or file.mode in (READING, "rb"):
        return _reduce_reader(pickler, file, file.fileobj)
    if getattr(file, "_buffer", None) is not None:
        file._buffer.flush()
    # After a full flush what follows is a stream of its own: another compressor can go on.
    file.fileobj.write(file.compress.flush(rebuild_stdlib.FULL_FLUSH))
    attributes = {key: value for key, value in vars(file).items() if key not in ("compress", "_buffer")}
    return (
        rebuild.bare,
        (type(file), io.BufferedIOBase),
        attributes,
        None,
        None,
        rebuild_stdlib.set_gzip_writer,
    )


def _reduce_reader(pickler: Pickler, file: Any, raw: Any) -> tuple[Any, ...]:
    """Made again over its file at the end of the load, when files are open, and read up to where it was."""
    attributes = {key: value for key, value in vars(file).items() if key != "_buffer"}
    if raw is not None:
        position = file.tell()
        pickler.state.keep.append(attributes)
        again = rebuild_stdlib.read_again, file, raw, position
        # Only then are all files open.
        pickler.state.epilogue.append(lambda: (rebuild.later, pickler.context, 0, *again))
    return rebuild.bare, (type(file), io.BufferedIOBase), attributes, None, None, rebuild_stdlib.set_plain


@reducer_in("bz2", "BZ2File", subclasses=True)
@reducer_in("lzma", "LZMAFile", subclasses=True)
def _reduce_bz2_or_lzma(pickler: Pickler, file: Any) -> tuple[Any, ...]:
    if not file.closed and not file.readable():
        raise CannotReduce(
            file, "it is being written, by a compressor that tells nobody its state", "Close it before."
        )
    return _reduce_reader(pickler, file, None if file.closed else file._fp)

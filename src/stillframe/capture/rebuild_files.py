"""What pickles call to open files again, at the place where they were.

Invariants:
  * A file that was being read must hold what it held; one that was being written must still begin with what it held,
    and is cut back to that, so that the program writes on from there. Else CannotRestore names it.
  * The files of a kernel's state are opened as they are by then, as in a fork: nothing is cut or written. Only one that
    is not written must hold what it held.
  * Nothing is opened before all of a pickle is loaded, then from the bottom up: raw, buffered, text. Until then a
    file is an empty one.
  * The number of a descriptor is kept if it is free.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any, NamedTuple

from stillframe.capture.rebuild import Context, later
from stillframe.capture.text_state import TextState, write_state
from stillframe.errors import CannotRestore

SAMPLE_BYTES = 4096
WHOLE_BYTES = 1 << 20
"""Up to this size every byte of a file is compared; of a larger one the ends and some places between."""
_PLACES = 16


class FileFacts(NamedTuple):
    """An open file, as it was."""

    path: str
    """Absolute, without links."""
    name: Any
    """As the program called it."""
    mode: str
    flags: int
    descriptor: int
    closefd: bool
    position: int
    size_bytes: int
    mtime_ns: int
    sample: str
    pending: list[tuple[int, bytes]]
    """What was still to be written, and where."""
    content: bytes | None
    """The whole file, where no name leads to it or its name goes with the process."""
    is_regular: bool
    is_shared: bool = False
    """Others may have written to it since, and rightly so: it is opened as it is, and what was still to be written
    is so again."""


def shell(cls: type, base: Any, mode: str = "rb+") -> Any:
    """A file that is open, but not yet on what it should be: who iterates over it wants an open one.

    `mode`: its own, as opening the file again only ever adds to what may be done with it.
    """
    made = base.__new__(cls)
    if base is io.FileIO:
        base.__init__(made, os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC), mode)
    else:
        base.__init__(made, io.BytesIO())
    return made


def std(name: str, level: str) -> Any:
    """One of this process's standard streams, or what is under it."""
    stream = getattr(sys, name)
    if level == "text":
        return stream
    return stream.buffer if level == "buffer" else stream.buffer.raw


Pending = list[tuple[int, bytes]]


def sample(descriptor: int, size_bytes: int, pending: Pending, *, is_tail: bool) -> str:
    """A digest of what stands before `size_bytes` in a file: all, or some places of it; or only the last page.

    What will be written over anyway, `pending`, does not count.
    """
    from blake3 import blake3

    if is_tail:
        start = max(0, size_bytes - SAMPLE_BYTES)
        pieces = [(start, size_bytes - start)]
    elif size_bytes <= WHOLE_BYTES:
        pieces = [(0, size_bytes)]
    else:
        last = size_bytes - SAMPLE_BYTES
        pieces = [(last * place // (_PLACES - 1), SAMPLE_BYTES) for place in range(_PLACES)]
    digest = blake3(b"%d" % size_bytes)
    for start, length in pieces:
        piece = bytearray(read_at(descriptor, start, length))
        for offset, data in pending:
            first, end = max(offset, start), min(offset + len(data), start + len(piece))
            if first < end:
                piece[first - start : end - start] = bytes(end - first)
        digest.update(piece)
    return digest.hexdigest(16)


def is_only_written(mode: str) -> bool:
    """Whether a file of this mode is written and never read: what stands further up in it does not matter."""
    return "+" not in mode and mode[0] in "wax"


def read_at(descriptor: int, offset: int, size_bytes: int) -> bytes:
    """Some bytes of a file, fewer only at its end; its position stays."""
    pieces = []
    while size_bytes:
        piece = os.pread(descriptor, size_bytes, offset)
        if not piece:
            break
        pieces.append(piece)
        offset, size_bytes = offset + len(piece), size_bytes - len(piece)
    return b"".join(pieces)


def open_files(context: Context, raws: list[Any], buffered: list[Any], texts: list[Any]) -> None:
    """Open what a program had open: (file, facts, attributes) of each level."""
    opened: dict[int, int] = {}
    for file, _facts, _attributes in raws:
        # The number of its stand-in may be that of another.
        io.FileIO.close(file)
        vars(file).clear()
    for file, facts, attributes in raws:
        if isinstance(facts, str):
            descriptor = os.open(os.devnull, os.O_RDWR)
            io.FileIO.__init__(file, descriptor, facts)
            io.FileIO.close(file)
        else:
            _open_raw(file, facts, opened)
        vars(file).update(attributes)
    unwritten = {id(file): facts.pending for file, facts, _ in raws if isinstance(facts, FileFacts) and facts.is_shared}
    for file, base, facts, attributes in buffered:
        if facts is None:
            base.__init__(file, io.BytesIO())
            base.close(file)
        else:
            _open_buffered(file, base, unwritten.get(id(facts[0]), []), *facts)
        vars(file).update(attributes)
    # What is under a text file may be a compressed one, which is ready only after these.
    later(context, 1, _open_texts, texts)


def _open_texts(texts: list[Any]) -> None:
    for file, facts, attributes in texts:
        if len(facts) == 2:
            io.TextIOWrapper.__init__(file, io.BytesIO(), *facts)
            io.TextIOWrapper.close(file)
        else:
            _open_text(file, *facts)
        vars(file).update(attributes)


def _open_raw(file: Any, facts: FileFacts, opened: dict[int, int]) -> None:
    descriptor = opened.get(facts.descriptor)
    if descriptor is None:
        descriptor = opened[facts.descriptor] = _descriptor_for(facts)
    io.FileIO.__init__(file, descriptor, facts.mode, facts.closefd)
    file.name = facts.name
    if facts.is_regular:
        # After the above: in append mode a file goes to its end when it is opened.
        is_behind = facts.is_shared and facts.pending
        os.lseek(descriptor, facts.pending[0][0] if is_behind else facts.position, os.SEEK_SET)


def _descriptor_for(facts: FileFacts) -> int:
    if facts.descriptor <= 2:
        return facts.descriptor
    if facts.content is not None and not (facts.is_shared and os.path.exists(facts.path)):
        descriptor = _new_file(facts)
    elif not facts.is_regular:
        descriptor = os.open(facts.path, facts.flags | os.O_CLOEXEC)
    else:
        descriptor = _reopen(facts)
    return _renumbered(descriptor, facts.descriptor)


def _new_file(facts: FileFacts) -> int:
    """A file whose contents came along."""
    assert facts.content is not None
    if facts.path:
        descriptor = os.open(facts.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    else:
        import tempfile

        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, 0)
    _write_at(descriptor, 0, facts.content)
    if not facts.is_shared:
        _apply(descriptor, facts.pending)
    return descriptor


def _reopen(facts: FileFacts) -> int:
    is_writable = facts.flags & os.O_ACCMODE != os.O_RDONLY
    is_written = is_writable and not facts.is_shared
    access = facts.flags & (os.O_ACCMODE | os.O_APPEND | os.O_NONBLOCK | os.O_SYNC | os.O_DSYNC)
    # It is looked at before it is written to, so that a file of someone else's is left alone.
    if is_written and access & os.O_ACCMODE == os.O_WRONLY:
        access = access & ~os.O_ACCMODE | os.O_RDWR
    failure: OSError | None = None
    for path in _candidates(facts):
        try:
            descriptor = os.open(path, access | os.O_CLOEXEC)
        except OSError as error:
            failure = error
            continue
        try:
            if is_written or not is_writable:
                _check(descriptor, facts)
            if is_written:
                os.ftruncate(descriptor, facts.size_bytes)
                _apply(descriptor, facts.pending)
                if facts.flags & os.O_ACCMODE == os.O_WRONLY:
                    return _write_only(path, descriptor, facts)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor
    reason = "it is gone" if isinstance(failure, FileNotFoundError) else f"it cannot be opened ({failure})"
    raise _changed(facts, reason) from failure


def _candidates(facts: FileFacts) -> list[str]:
    """Where the file may be: where it was, or under the same relative name from here."""
    name = os.fsdecode(facts.name) if isinstance(facts.name, str | bytes) else ""
    found = [facts.path]
    if name and not os.path.isabs(name) and os.path.realpath(name) != facts.path:
        found.append(os.path.realpath(name))
    return found


def _write_only(path: str, descriptor: int, facts: FileFacts) -> int:
    again = os.open(path, facts.flags & (os.O_ACCMODE | os.O_APPEND) | os.O_CLOEXEC)
    os.close(descriptor)
    return again


def _check(descriptor: int, facts: FileFacts) -> None:
    found = os.fstat(descriptor)
    if found.st_size < facts.size_bytes:
        raise _changed(facts, f"it had {facts.size_bytes:,} bytes, and has {found.st_size:,}")
    if found.st_mtime_ns == facts.mtime_ns and found.st_size == facts.size_bytes:
        return
    is_tail = is_only_written(facts.mode)
    if sample(descriptor, facts.size_bytes, facts.pending, is_tail=is_tail) != facts.sample:
        raise _changed(facts, "what it held has changed")


def _changed(facts: FileFacts, why: str) -> CannotRestore:
    return CannotRestore(
        f"cannot open {facts.path} again (mode {facts.mode!r}, at byte {facts.position:,}): {why}.",
        "Put it back as it was when the program was captured.",
    )


def _apply(descriptor: int, pending: Pending) -> None:
    for offset, data in pending:
        _write_at(descriptor, offset, data)


def _write_at(descriptor: int, offset: int, data: bytes) -> None:
    left = memoryview(data)
    while left.nbytes:
        # In append mode the system writes at the end, wherever it is told to: that is right here too.
        written = os.pwrite(descriptor, left, offset)
        left, offset = left[written:], offset + written


def _renumbered(descriptor: int, wanted: int) -> int:
    try:
        os.fstat(wanted)
    except OSError:
        os.dup2(descriptor, wanted, inheritable=False)
        os.close(descriptor)
        return wanted
    return descriptor


def _open_buffered(
    file: Any, base: Any, unwritten: Pending, raw: Any, size: int, position: int | None
) -> None:
    base.__init__(file, raw, max(size, 2 * sum(len(data) for _, data in unwritten)))
    for offset, data in unwritten:
        if position is not None:
            base.seek(file, offset)
        base.write(file, data)
    if position is not None and base.tell(file) != position:
        base.seek(file, position)


def _open_text(file: Any, buffer: Any, arguments: tuple[Any, ...], state: TextState) -> None:
    encoding, errors, newline, line_buffering, write_through = arguments
    io.TextIOWrapper.__init__(file, buffer, encoding, errors, newline, line_buffering, write_through)
    write_state(file, state)


def closed_in_memory(cls: type, base: Any, attributes: dict[str, Any]) -> Any:
    """A file in memory that was closed."""
    made = base.__new__(cls)
    base.__init__(made)
    base.close(made)
    vars(made).update(attributes)
    return made

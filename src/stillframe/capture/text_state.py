"""What a text file keeps in C and tells nobody: the characters that were decoded ahead, its newline mode.

Invariants:
  * Reading the state changes nothing: neither the file's position nor its decoder.
  * The layout of CPython's struct is not taken on trust: `is_known()` tries it on files whose state is certain, and
    where it does not fit, nothing is read or written.

The fields, from `Modules/_io/textio.c`; the same in 3.11 to 3.14.
"""

from __future__ import annotations

import io
from functools import cache
from typing import Any, NamedTuple


@cache
def _text_struct() -> Any:
    """The struct. `ctypes` is large: it is imported for the first file."""
    import ctypes

    class _TextStruct(ctypes.Structure):
        _fields_ = (
            ("ok", ctypes.c_int),
            ("detached", ctypes.c_int),
            ("chunk_size", ctypes.c_ssize_t),
            ("buffer", ctypes.c_void_p),
            ("encoding", ctypes.c_void_p),
            ("encoder", ctypes.c_void_p),
            ("decoder", ctypes.c_void_p),
            ("readnl", ctypes.c_void_p),
            ("errors", ctypes.c_void_p),
            ("writenl", ctypes.c_char_p),
            ("line_buffering", ctypes.c_char),
            ("write_through", ctypes.c_char),
            ("readuniversal", ctypes.c_char),
            ("readtranslate", ctypes.c_char),
            ("writetranslate", ctypes.c_char),
            ("seekable", ctypes.c_char),
            ("has_read1", ctypes.c_char),
            ("telling", ctypes.c_char),
            ("finalizing", ctypes.c_char),
            ("encodefunc", ctypes.c_void_p),
            ("encoding_start_of_stream", ctypes.c_char),
            ("decoded_chars", ctypes.c_void_p),
            ("decoded_chars_used", ctypes.c_ssize_t),
            ("pending_bytes", ctypes.c_void_p),
            ("pending_bytes_count", ctypes.c_ssize_t),
            ("snapshot", ctypes.c_void_p),
        )

    return _TextStruct


class TextState(NamedTuple):
    """What is needed to go on reading or writing at the same character."""

    newline: str | None
    ahead: str
    """Decoded, and not yet read."""
    decoder: tuple[bytes, int] | None
    encoder: Any
    start_of_stream: bool
    telling: bool
    snapshot: tuple[int, bytes] | None
    used: int
    newlines: Any
    chunk_size: int


def _struct_of(file: io.TextIOWrapper) -> Any:
    return _text_struct().from_address(id(file) + object.__basicsize__)


def _object(address: int | None) -> Any:
    import ctypes

    return None if not address else ctypes.cast(address, ctypes.py_object).value


def _newline(struct: Any) -> str | None:
    if struct.readtranslate == b"\1":
        return None
    if struct.readuniversal == b"\1":
        return ""
    return str(_object(struct.readnl))


def read_state(file: io.TextIOWrapper) -> TextState:
    """The state of an open text file whose output was flushed."""
    struct = _struct_of(file)
    decoded = _object(struct.decoded_chars) or ""
    decoder, encoder = _object(struct.decoder), _object(struct.encoder)
    snapshot = _object(struct.snapshot)
    return TextState(
        newline=_newline(struct),
        ahead=decoded if snapshot is not None else decoded[struct.decoded_chars_used :],
        decoder=None if decoder is None else decoder.getstate(),
        encoder=None if encoder is None else encoder.getstate(),
        start_of_stream=struct.encoding_start_of_stream != b"\0",
        telling=struct.telling != b"\0",
        snapshot=snapshot,
        used=struct.decoded_chars_used if snapshot is not None else 0,
        newlines=file.newlines,
        chunk_size=struct.chunk_size,
    )


def write_state(file: io.TextIOWrapper, state: TextState) -> None:
    """Give a text file that was just made the state of another."""
    struct = _struct_of(file)
    decoder, encoder = _object(struct.decoder), _object(struct.encoder)
    if decoder is not None and state.decoder is not None:
        for seen in (state.newlines,) if isinstance(state.newlines, str) else state.newlines or ():
            # What kinds of newlines it has seen is in no state: let it see them.
            decoder.decode(seen.encode(file.encoding))
        decoder.reset()
        decoder.setstate(state.decoder)
    if encoder is not None and state.encoder is not None:
        encoder.setstate(state.encoder)
    struct.encoding_start_of_stream = int(state.start_of_stream)
    struct.telling = int(state.telling)
    if state.ahead:
        _set(struct, "decoded_chars", state.ahead)
        struct.decoded_chars_used = state.used
    if state.snapshot is not None:
        _set(struct, "snapshot", state.snapshot)
    file._CHUNK_SIZE = state.chunk_size  # type: ignore[attr-defined]


def _set(struct: Any, field: str, value: Any) -> None:
    assert not getattr(struct, field), "a new text file has read nothing ahead"
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))
    setattr(struct, field, id(value))


@cache
def is_known() -> bool:
    """Whether the struct is as we think. Tried once, on files in memory."""
    text = "ä\r\nb\nc\rd" * 5
    for newline in (None, "", "\n", "\r", "\r\n"):
        for encoding in ("utf-8", "utf-16"):
            file = io.TextIOWrapper(io.BytesIO(text.encode(encoding)), encoding, newline=newline)
            file._CHUNK_SIZE = 8  # type: ignore[attr-defined]
            struct = _struct_of(file)
            if _object_is_wrong(struct, file) or struct.chunk_size != 8 or _newline(struct) != newline:
                return False
            next(file)
            rest = _copy(file, text.encode(encoding), encoding)
            if list(rest) != list(file):
                return False
    return True


def _object_is_wrong(struct: Any, file: io.TextIOWrapper) -> bool:
    return struct.buffer != id(file.buffer) or struct.decoded_chars not in (None, 0) or struct.ok != 1


def _copy(file: io.TextIOWrapper, data: bytes, encoding: str) -> io.TextIOWrapper:
    state = read_state(file)
    buffer = io.BytesIO(data)
    other = io.TextIOWrapper(buffer, encoding, newline=state.newline)
    below: Any = file.buffer
    buffer.seek(below.tell())
    write_state(other, state)
    return other

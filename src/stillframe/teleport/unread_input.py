"""What Python has read of standard input and the program has not: it moves with the program.

A line that was read ahead of the program sits in Python's buffers, no longer in the pipe; over there the pipe goes
on behind it.

Invariants:
  * Taking it changes nothing: the program can go on here as if nobody had looked.
  * Nothing is read from standard input itself, so nobody waits.
"""

from __future__ import annotations

import gc
import io
import os
import sys


def take() -> bytes:
    """The bytes that were read and not yet used; none where standard input is not as Python made it."""
    stream = _as_python_made_it()
    if stream is None:
        return b""
    decoded = _decoded(stream) if _may_have_decoded(stream) else b""
    if decoded is None:
        return b""
    # An empty buffer asks the descriptor for more. It gets to ask another one, which has nothing.
    with _instead_of_input(os.open(os.devnull, os.O_RDONLY)):
        return decoded + stream.buffer.peek()  # type: ignore[attr-defined,no-any-return]


def _may_have_decoded(stream: io.TextIOWrapper) -> bool:
    """Whether it holds text besides its settings. Mostly it does not, and what looks closer is slow to import."""
    held = gc.get_referents(stream)
    texts = [one for one in held if isinstance(one, str) and one is not stream.encoding and one is not stream.errors]
    # What ends its lines, unless that is any of them.
    settings = 0 if any(isinstance(one, io.IncrementalNewlineDecoder) for one in held) else 1
    return len(texts) > settings


def _decoded(stream: io.TextIOWrapper) -> bytes | None:
    """The bytes of what was decoded ahead; None where that cannot be known."""
    from stillframe.capture.text_state import is_known, read_state

    if not is_known():
        return None
    state = read_state(stream)
    ahead = state.ahead[state.used :].encode(stream.encoding, stream.errors or "strict")
    return ahead + (state.decoder[0] if state.decoder is not None else b"")


def put_back(unread: bytes) -> None:
    """Have `unread` come first in this process's standard input."""
    stream = _as_python_made_it()
    if not unread or stream is None:
        return
    # How much a buffer holds cannot be asked (a pipe's is smaller than a file's), so it gets one that is sure to do.
    raw = io.FileIO(0, closefd=False)
    raw.name = stream.name
    buffer = io.BufferedReader(raw, max(len(unread), io.DEFAULT_BUFFER_SIZE))
    given = os.memfd_create("standard input")
    os.write(given, unread)
    os.lseek(given, 0, os.SEEK_SET)
    with _instead_of_input(given):
        buffer.peek()
    again = io.TextIOWrapper(buffer, stream.encoding, stream.errors)
    sys.stdin = again
    sys.__stdin__ = again  # type: ignore[misc]  # what was read ahead is as old as the process


def _as_python_made_it() -> io.TextIOWrapper | None:
    """sys.__stdin__ if it is a plain text file on descriptor 0."""
    stream = sys.__stdin__
    if type(stream) is not io.TextIOWrapper or stream.closed or type(stream.buffer) is not io.BufferedReader:
        return None
    return stream if stream.fileno() == 0 else None


class _instead_of_input:
    """Has descriptor 0 mean another file for a moment. It is for a process in which no other thread runs."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> None:
        self._before = os.dup(0)
        os.dup2(self._descriptor, 0)
        os.close(self._descriptor)

    def __exit__(self, *_raised: object) -> None:
        os.dup2(self._before, 0)
        os.close(self._before)

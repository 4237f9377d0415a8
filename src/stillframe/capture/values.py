"""One object to bytes and back: `dumps` and `loads`.

    stillframe value 1 cpython-311 a70d0d0a 5f1c…\\n   format, interpreter, its bytecode, digest of the rest
    pickle

What is the user's own goes by value, with the globals that it uses; in the process that made the bytes, its classes
and functions are found again. Loading runs what the bytes say: only load what you trust.
"""

from __future__ import annotations

import sys
from importlib.util import MAGIC_NUMBER
from typing import Any

from blake3 import blake3

from stillframe.capture.capturing import Contents, capture, restore
from stillframe.errors import CorruptSnapshot, IncompatibleSnapshot

FORMAT = 1
_MAGIC = b"stillframe value"
_DIGEST_CHARACTERS = 16


def dumps(obj: Any) -> bytes:
    """The object as bytes, large buffers included. Raises CannotCapture, which names all that stands in the way."""
    data = capture(obj, in_band=True).pickle
    return b"%b %d %b %b %b\n%b" % (_MAGIC, FORMAT, *_here(), _digest(data), data)


def loads(data: Any) -> Any:
    """The object that `dumps` was given, made anew. Raises SnapshotRefused, before anything is run."""
    view = memoryview(data).cast("B")
    line = bytes(view[:128]).partition(b"\n")[0]
    words = line.split(b" ")
    if not line.startswith(_MAGIC + b" ") or len(words) != 6 or not words[2].isdigit():
        raise CorruptSnapshot(
            "these bytes are no value of stillframe.", "Only load what stillframe.dumps has made."
        )
    if int(words[2]) > FORMAT:
        raise IncompatibleSnapshot(
            f"the value has format {int(words[2])}; this stillframe knows formats up to {FORMAT}.",
            "Load it with a newer stillframe.",
        )
    rest = view[len(line) + 1 :]
    if _digest(rest) != words[5]:
        raise CorruptSnapshot("the value is damaged.", "Make it again.")
    if tuple(words[3:5]) != _here():
        there = words[3].decode(errors="replace").removeprefix("cpython-")
        raise IncompatibleSnapshot(
            f"the value was made by CPython {there[:1]}.{there[1:]}; this is {sys.version.split()[0]}.",
            f"Load it with python{there[:1]}.{there[1:]}.",
        )
    return restore(Contents(rest, ()))[1]


def _here() -> tuple[bytes, bytes]:
    return (sys.implementation.cache_tag or "").encode(), MAGIC_NUMBER.hex().encode()


def _digest(data: Any) -> bytes:
    return blake3(data).hexdigest()[:_DIGEST_CHARACTERS].encode()

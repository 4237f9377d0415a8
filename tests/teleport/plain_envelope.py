"""In the place of `stillframe.teleport.envelope`: the program that travels is a text with some bytes.

So transports, streams, signals and checks are tested on their own, without capture. `PROGRAM` is run over there
with `item` (the index of the copy, or None) and `data` (the bytes, as they arrived) as its variables.
"""

from __future__ import annotations

import os
import struct
import sys
from typing import Any

PROGRAM = ""
DATA: Any = b""
FORMATS: dict[str, Any] = {"plain": 1}
PACKAGES: dict[str, str] = {}


class _Envelope:
    size_bytes = 0

    def write(self, stream: Any) -> None:
        text = PROGRAM.encode()
        size = memoryview(DATA).nbytes
        stream.write(struct.pack(">QQ", len(text), size) + text)
        stream.write(memoryview(DATA).cast("B"))


def formats() -> dict[str, Any]:
    return FORMATS


def packages() -> dict[str, str]:
    return PACKAGES


def with_captured(
    send: Any, items: Any, then: list[str] | None = None, *, is_same_place: bool = False
) -> None:
    send(_Envelope())
    if then is not None:
        os.execv(then[0], then)


def read(stream: Any, *, is_same_place: bool = False) -> tuple[str, bytearray]:
    text_bytes, data_bytes = struct.unpack(">QQ", stream.read(16))
    text, data = stream.read(text_bytes).decode(), bytearray(data_bytes)
    assert stream.readinto(data) == data_bytes
    return text, data


def load(received: tuple[str, bytearray], *, is_same_place: bool) -> Any:
    text, data = received
    if text.startswith("# fails to load"):
        raise ValueError("as it was told to")
    return compile(text, "<program>", "exec"), data


def run(program: Any, index: int | None, ready: Any) -> int:
    code, data = program
    ready()
    try:
        exec(code, {"item": index, "data": data, "__name__": "__main__"})
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    sys.stdout.flush()
    return 0

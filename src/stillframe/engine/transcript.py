"""What one execution puts out, as nbformat's list, within its limits.

Invariants:
  * Outputs are in the order in which they were added; neighbours of one stream are one output.
  * No more is kept than the limits say, whatever comes: the rest is counted, and the last output says so.
  * A character that is split between two reads is one character.
"""

from __future__ import annotations

import codecs
import copy
import hashlib
import re
from collections.abc import Callable
from typing import Any

import msgspec

from stillframe.engine.protocol import Cleared, Displayed
from stillframe.model import Limits, Output

Sink = Callable[[str, Any], None]
"""Called with the name and the data of each event as it happens."""

_NAMES = {1: "stdout", 2: "stderr"}
_DIGEST_CHARS = 1 << 16
_ADDRESS = re.compile(r"0x[0-9a-f]{6,}")


class Transcript:
    """Collects the outputs of one execution and passes them on to a sink as they happen."""

    def __init__(self, limits: Limits, sink: Sink | None = None) -> None:
        self._limits = limits
        self._sink = sink
        self._outputs: list[Output] = []
        self._pieces: list[str] = []
        """The text of the last output, if that is a stream."""
        self._by_display_id: dict[str, list[Output]] = {}
        self._decoders = {number: codecs.getincrementaldecoder("utf-8")("replace") for number in _NAMES}
        self._size_bytes = 0
        self._left_out_bytes = 0
        self._left_out = 0
        self._clears_next = False
        self._held: list[tuple[str, Any]] = []
        """The events of a copy."""

    def write(self, descriptor: int, data: bytes, final: bool = False) -> None:
        """Bytes that were written to descriptor 1 or 2."""
        room = self._limits.output_bytes - self._size_bytes
        if len(data) > room:
            self._left_out_bytes += len(data) - max(room, 0)
            data = data[: max(room, 0)]
        text = self._decoders[descriptor].decode(data, final)
        if not text:
            return
        self._clear_if_waiting()
        name = _NAMES[descriptor]
        if not self._is_last(name):
            if not self._has_place():
                self._left_out_bytes += len(data)
                return
            self._close_stream()
            self._outputs.append({"output_type": "stream", "name": name, "text": ""})
        self._size_bytes += len(data)
        self._pieces.append(text)
        self._emit("output", {"output_type": "stream", "name": name, "text": text})

    def display(self, message: Displayed) -> None:
        """A display_data, execute_result, or the update of one."""
        if message.output_type == "update_display_data":
            self._update(message)
            return
        self._clear_if_waiting()
        size_bytes = _size_of(message.data)
        if not self._has_place() or self._size_bytes + size_bytes > self._limits.output_bytes:
            self._left_out += 1
            return
        self._size_bytes += size_bytes
        output: Output = {
            "output_type": message.output_type,
            "data": message.data,
            "metadata": message.metadata,
        }
        if message.output_type == "execute_result":
            output["execution_count"] = None
        self._close_stream()
        self._outputs.append(output)
        if message.display_id is not None:
            self._by_display_id.setdefault(message.display_id, []).append(output)
            output = {**output, "transient": {"display_id": message.display_id}}
        self._emit("output", output)

    def clear(self, message: Cleared) -> None:
        """clear_output(): now, or when the next output comes."""
        self._emit("clear_output", {"wait": message.wait})
        self._clears_next = True
        if not message.wait:
            self._clear_if_waiting()

    def copy(self) -> Transcript:
        """The same so far, for a branch that goes on from here. Its events are held back until release()."""
        other = Transcript(self._limits)
        vars(other).update(vars(self))
        other._outputs, other._by_display_id = copy.deepcopy((self._outputs, self._by_display_id))
        other._pieces, other._held = list(self._pieces), list(self._held)
        other._decoders = {number: codecs.getincrementaldecoder("utf-8")("replace") for number in _NAMES}
        for number, decoder in other._decoders.items():
            decoder.setstate(self._decoders[number].getstate())
        other._sink = lambda event, data: other._held.append((event, data))
        return other

    def release(self, sink: Sink | None) -> None:
        """Pass on the events that were held back: the branch is the execution's."""
        if sink is not None:
            for event in self._held:
                sink(*event)

    def finish(self, left_out: int = 0) -> list[Output]:
        """No more comes. `left_out` is what the state process has left out itself."""
        for descriptor in _NAMES:
            self.write(descriptor, b"", final=True)
        self._close_stream()
        self._left_out += left_out
        if self._left_out or self._left_out_bytes:
            text = (
                f"[stillframe left out {self._left_out_bytes:,} bytes of text and {self._left_out:,} outputs: "
                f"the limits are {self._limits.output_bytes:,} bytes and {self._limits.outputs:,} outputs]\n"
            )
            note = {"output_type": "stream", "name": "stderr", "text": text}
            self._outputs.append(note)
            self._emit("output", note)
        return self._outputs

    def _update(self, message: Displayed) -> None:
        data, metadata = message.data, message.metadata
        size_bytes = _size_of(data)
        if self._size_bytes + size_bytes > self._limits.output_bytes:
            self._left_out += 1
            return
        known = self._by_display_id.get(message.display_id or "", [])
        if known:  # the old data goes, so a progress display may be updated for ever
            self._size_bytes += size_bytes - _size_of(known[0]["data"])
        for output in known:
            output["data"], output["metadata"] = data, metadata
        event = {"display_id": message.display_id, "data": data, "metadata": metadata}
        self._emit("update_display_data", event)

    def _has_place(self) -> bool:
        return len(self._outputs) < self._limits.outputs

    def _is_last(self, name: str) -> bool:
        last = self._outputs[-1] if self._outputs else {}
        return last.get("output_type") == "stream" and last["name"] == name

    def _close_stream(self) -> None:
        if self._pieces:
            self._outputs[-1]["text"] = "".join(self._pieces)
            self._pieces = []

    def _clear_if_waiting(self) -> None:
        if self._clears_next:
            self._clears_next = False
            self._outputs.clear()
            self._pieces.clear()
            self._by_display_id.clear()
            self._size_bytes = 0

    def _emit(self, event: str, data: Any) -> None:
        if self._sink is not None:
            self._sink(event, data)


def _size_of(data: dict[str, Any]) -> int:
    return sum(
        len(value) if isinstance(value, str) else len(msgspec.json.encode(value)) for value in data.values()
    )


def digest(outputs: list[Output]) -> str:
    """What the outputs say, without what differs from process to process (addresses): to compare replays."""
    texts = [
        output["text"] if output["output_type"] == "stream" else str(output["data"].get("text/plain"))
        for output in outputs
    ]
    text = _ADDRESS.sub("0x", "\0".join(texts)[:_DIGEST_CHARS])
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()

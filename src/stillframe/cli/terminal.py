"""What the verbs share: where they print, how outputs are shown live, what Ctrl-C does.

Invariants:
  * `--json` puts one JSON value on standard output, and nothing else.
  * The first Ctrl-C interrupts the execution on the server, and its outputs so far are kept; the second
    leaves at once.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TextIO

import msgspec
from rich.console import Console
from rich.text import Text

from stillframe import show
from stillframe.client import Client
from stillframe.errors import StillframeError
from stillframe.model import ExecutionError, Node
from stillframe.results import Execution

PIPE_COLUMNS = 200
"""The width of tables where standard output is no terminal."""

LEAST_COLUMNS = 12
"""What a column that is cut keeps."""


def say(text: str) -> None:
    """One line on standard error."""
    print(f"still: {text}", file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """One JSON value on standard output, on one line."""
    print(msgspec.json.encode(value).decode(), flush=True)


def console(stream: TextIO | None = None) -> Console:
    """A rich console on standard output, or on `stream`; markup in texts means nothing."""
    stream = stream or sys.stdout
    width = None if stream.isatty() else PIPE_COLUMNS
    return Console(file=stream, width=width, markup=False, highlight=False, emoji=False)


class Live:
    """Shows outputs as they happen: streams as they are, results and displays as plain text."""

    def __init__(self) -> None:
        self._at_start = True

    def __call__(self, event: str, data: dict[str, Any]) -> None:
        """Follow one event of an execution."""
        if event == "output" and data.get("output_type") == "stream":
            is_out = data.get("name") == "stdout"
            self._write(sys.stdout if is_out else sys.stderr, str(data.get("text", "")))
            if is_out:
                self._at_start = str(data.get("text", "")).endswith("\n")
        elif event in ("output", "update_display_data"):
            text = show.text_of(data.get("data", {}))
            self._write(sys.stdout, ("" if self._at_start else "\n") + text + "\n")
            self._at_start = True

    def _write(self, stream: TextIO, text: str) -> None:
        stream.write(text)
        stream.flush()


def print_error(error: ExecutionError) -> None:
    """The traceback of a cell, on standard error; in colour on a terminal that wants it."""
    text = "\n".join(error.traceback) or show.error_line(error)
    if not sys.stderr.isatty() or os.environ.get("NO_COLOR"):
        text = show.without_ansi(text)
    print(text, file=sys.stderr, flush=True)


def exit_code_of(error: ExecutionError | None) -> int:
    """0 without an error; 130 for an interrupted execution; else 1."""
    if error is None:
        return 0
    return 130 if error.kind == "interrupted" else 1


def report(execution: Execution, *, as_json: bool) -> int:
    """Say what has come of an execution whose outputs were shown as they happened. Returns the exit code."""
    if as_json:
        print_json(execution)
    elif execution.error is not None:
        print_error(execution.error)
        if execution.error_state is not None:
            left = execution.error_state
            say(f"what it has left behind is state {left!r}: `still show` it, run in it, or `still resume` it")
    else:
        say(f"state {execution.state!r} in {show.duration(execution.duration_s)}")
    return exit_code_of(execution.error)


@contextmanager
def interrupting(client: Client, exec_id: str) -> Iterator[None]:
    """Within it, the first Ctrl-C interrupts this execution, and the second raises KeyboardInterrupt."""
    pressed = 0

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed += 1
        if pressed > 1:
            raise KeyboardInterrupt
        # A signal handler may come in the midst of a print: it writes past the buffers.
        os.write(2, b"\nstill: interrupting; Ctrl-C again leaves at once\n")
        with suppress(StillframeError):
            client.interrupt(exec_id)

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Rows:
    """Lines in columns. On a narrow terminal the last column is cut, then the first; the others stay."""

    def __init__(self, *heads: str, right: Collection[str] = ()) -> None:
        self._rows = [[Text(head, style="bold") for head in heads]] if any(heads) else []
        self._right = [head in right for head in heads]

    def add(self, *cells: str | Text) -> None:
        """One more line."""
        self._rows.append([cell if isinstance(cell, Text) else Text(cell) for cell in cells])

    def print(self, out: Console) -> None:
        """Print all lines."""
        if not self._rows:
            return
        widths = self._widths(out.width)
        for row in self._rows:
            line = Text(no_wrap=True, overflow="crop")
            for cell, width, is_right in zip(row, widths, self._right, strict=True):
                cell.truncate(width, overflow="ellipsis")
                cell.align("right" if is_right else "left", width)
                line.append_text(cell).append("  ")
            line.rstrip()
            out.print(line, soft_wrap=True)

    def _widths(self, room: int) -> list[int]:
        widths = [max(cell.cell_len for cell in column) for column in zip(*self._rows, strict=True)]
        spaces = 2 * (len(widths) - 1)
        for column in (-1, 0):
            too_much = sum(widths) + spaces - room
            if too_much > 0:
                widths[column] = max(widths[column] - too_much, min(widths[column], LEAST_COLUMNS))
        return widths


def tree_rows(nodes: list[Node]) -> Rows:
    """The tree with times, memory and ways back of each state."""
    rows = Rows("state", "made", "took", "memory", "ways back", "cell", right=("took", "memory"))
    for row in show.rows_of(nodes):
        node = row.node
        remarks = [*node.ways_back, *(f"{thing} in the tip" for thing in node.unbranchable), *node.hazards]
        remarks += [*(["pinned"] if node.pinned else []), *(f"not stored: {why}" for why in node.obstacles)]
        rows.add(
            Text(row.prefix + show.name_of(node), style="" if node.names else "dim"),
            show.age(node.created),
            show.duration(node.duration_s),
            show.size(node.memory.private_bytes) if node.memory else "",
            show.printable(", ".join(remarks)),
            Text(show.first_line(node.code), style="dim"),
        )
    return rows

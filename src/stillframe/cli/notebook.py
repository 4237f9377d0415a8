"""`still notebook`: run a notebook with a state for each code cell, and go on from any of them.

Invariants:
  * Code cell n runs in the state of code cell n-1 and makes the state `<prefix>/<n>`; n counts from 1.
  * The file is replaced whole or not at all, and only outputs and execution counts of cells that ran change.
  * A file that somebody changed while the cells ran is not overwritten: the outputs go beside it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import click

from stillframe import show
from stillframe.cli.running import client_for, server_options
from stillframe.cli.terminal import exit_code_of, interrupting, print_error, print_json, say
from stillframe.client import Client
from stillframe.errors import StateNotFound, StillframeError
from stillframe.model import ExecutionError, Output
from stillframe.results import Execution


class CellRun(NamedTuple):
    """One code cell that was run, and what came of it."""

    number: int
    total: int
    execution: Execution


OnCell = Callable[[int, int], None]
"""Called before a code cell runs, with its number and the number of code cells."""


class Notebook:
    """A notebook of nbformat 4, read from a file, kept as it is but for outputs."""

    def __init__(self, path: Path) -> None:
        """Read `path`. Raises StillframeError where it is no notebook."""
        # A link is followed, so that writing replaces the file and not the link.
        self.path = path.resolve()
        self._read = self._bytes()
        try:
            document = json.loads(self._read)
        except ValueError as cause:
            raise StillframeError(f"{path} is not a notebook: {cause}.") from cause
        self._document: dict[str, Any] = document if isinstance(document, dict) else {}
        version = self._document.get("nbformat")
        if version is None:
            raise StillframeError(f"{path} is not a notebook: it says no `nbformat`.")
        if version != 4:
            raise StillframeError(
                f"{path} is a notebook of format {version!r}; stillframe reads format 4.",
                f"Convert it: jupyter nbconvert --to notebook --nbformat 4 {path}",
            )
        cells = self._document.get("cells")
        if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
            raise StillframeError(f"{path} is not a notebook: it has no list of cells.")
        self._code_cells = [cell for cell in cells if cell.get("cell_type") == "code"]

    @property
    def cells(self) -> list[str]:
        """The source of each code cell."""
        return [_text(cell.get("source", "")) for cell in self._code_cells]

    def keep(self, number: int, execution: Execution) -> None:
        """Put the outputs of code cell `number` (from 1) into the document."""
        cell = self._code_cells[number - 1]
        cell["execution_count"] = number
        outputs = [_as_nbformat(output, number) for output in execution.outputs]
        if execution.error is not None:
            outputs.append(_error_output(execution.error))
        cell["outputs"] = outputs

    def write(self) -> Path:
        """Write it back, whole or not at all. Returns where: beside the file if it was changed meanwhile."""
        path = self.path
        with suppress(FileNotFoundError):
            if path.read_bytes() != self._read:
                path = path.with_name(f"{path.stem}.outputs{path.suffix}")
        content = _encode(self._document)
        _replace(path, content)
        if path == self.path:
            self._read = content
        return path

    def _bytes(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as cause:
            raise StillframeError(f"cannot read {self.path}: {cause.strerror}.") from cause


def run_cells(
    client: Client,
    book: Notebook,
    *,
    prefix: str,
    state: str = "initial",
    first: int = 1,
    on_cell: OnCell | None = None,
    on_done: Callable[[CellRun], None] | None = None,
) -> list[CellRun]:
    """Run the code cells from number `first` on, up to the first error. A state `<prefix>/<n>` for each.

    The first cell runs in `state`; with `first` above 1, in the kept state of the cell before. Raises
    StateNotFound where that is not there.
    """
    cells = book.cells
    if not 1 <= first <= max(len(cells), 1):
        raise StillframeError(f"there is no code cell {first}: {book.path.name} has {len(cells)} of them.")
    source = state if first == 1 else f"{prefix}/{first - 1}"
    _require(client, source, prefix, first)
    runs: list[CellRun] = []
    for number in range(first, len(cells) + 1):
        if on_cell is not None:
            on_cell(number, len(cells))
        exec_id = f"{prefix}/{number} {uuid.uuid4().hex[:8]}"
        with interrupting(client, exec_id):
            execution = client.execute(cells[number - 1], source, f"{prefix}/{number}", exec_id=exec_id)
        run = CellRun(number, len(cells), execution)
        runs.append(run)
        book.keep(number, execution)
        if on_done is not None:
            on_done(run)
        if execution.error is not None:
            break
        source = f"{prefix}/{number}"
    return runs


def print_cell(run: CellRun) -> None:
    """One line of progress on standard error: which cell, which state, how long."""
    took = show.duration(run.execution.duration_s)
    what = run.execution.state if run.execution.error is None else run.execution.error.ename
    number = f"{run.number:>{len(str(run.total))}}/{run.total}"
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
    print(f"cell {number}  {took:>8}  {show.printable(str(what))}", file=sys.stderr, flush=True)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--write", is_flag=True, help="Write outputs back into FILE, also after an error.")
@click.option("--from", "first", type=click.IntRange(1), default=1, metavar="CELL", help="Begin here.")
@click.option("--state", default="initial", show_default=True, metavar="STATE", help="Where cell 1 runs.")
@click.option("--prefix", metavar="NAME", help="States are called NAME/1, NAME/2, …; FILE's stem by default.")
@server_options
def notebook(
    file: Path,
    write: bool,
    first: int,
    state: str,
    prefix: str | None,
    url: str | None,
    token: str | None,
    as_json: bool,
) -> int:
    """Run a notebook, with a state for each code cell.

    Code cells are counted from 1. Stops at the first error, shows its traceback, and keeps the states of
    all cells before it: mend the cell, then go on with --from, without running the others again.

    \b
      still notebook analysis.ipynb --write
      still notebook analysis.ipynb --from 7
      still show analysis/6
    """
    book = Notebook(file)
    used = prefix or file.stem
    runs: list[CellRun] = []

    def on_cell(number: int, count: int) -> None:
        if not as_json and sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[Kcell {number}/{count} runs …")
            sys.stderr.flush()

    def on_done(run: CellRun) -> None:
        runs.append(run)
        if not as_json:
            print_cell(run)

    with client_for(url, token) as client:
        try:
            run_cells(client, book, prefix=used, state=state, first=first, on_cell=on_cell, on_done=on_done)
        finally:
            # Also after Ctrl-C: what ran is not lost.
            written = book.write() if write and runs else None
    error = runs[-1].execution.error if runs else None
    if as_json:
        print_json(_summary(file, runs, written))
    elif error is not None:
        print_error(error)
    if written is not None and written != book.path:
        say(f"{file} was changed while it ran; the outputs are in {written}.")
    return exit_code_of(error)


def _summary(file: Path, runs: list[CellRun], written: Path | None) -> dict[str, Any]:
    return {
        "notebook": str(file),
        "cells": [{"cell": run.number, "execution": run.execution} for run in runs],
        "ok": all(run.execution.ok for run in runs),
        "written": None if written is None else str(written),
    }


def _require(client: Client, source: str, prefix: str, first: int) -> None:
    names = set(client.states())
    if source in names:
        return
    if first == 1:
        raise StateNotFound.among(source, names)
    kept = [n for n in range(1, first) if n == 1 or f"{prefix}/{n - 1}" in names]
    raise StateNotFound(
        f"no state is called {source!r}, from which cell {first} would go on.",
        f"Begin at a cell whose state before is kept: --from {kept[-1]}.",
    )


def _encode(document: dict[str, Any]) -> bytes:
    """The bytes as Jupyter writes them, so that version control shows only what changed."""
    try:
        return f"{json.dumps(document, ensure_ascii=False, indent=1)}\n".encode()
    except UnicodeEncodeError:
        # Half of a character, which JSON can only hold as an escape.
        return f"{json.dumps(document, indent=1)}\n".encode()


def _text(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


def _as_nbformat(output: Output, count: int) -> Output:
    """An output as nbformat 4 keeps it on disk: text as a list of lines."""
    kind = output.get("output_type")
    if kind == "stream":
        return {"name": output["name"], "output_type": "stream", "text": _lines(str(output["text"]))}
    data = {mime: _lines(value) if _is_text(mime, value) else value for mime, value in output["data"].items()}
    kept = {"data": data, "metadata": output.get("metadata") or {}, "output_type": kind}
    return {**kept, "execution_count": count} if kind == "execute_result" else kept


def _error_output(error: ExecutionError) -> Output:
    return {
        "ename": error.ename,
        "evalue": error.evalue,
        "output_type": "error",
        "traceback": list(error.traceback),
    }


def _is_text(mime: str, value: Any) -> bool:
    return isinstance(value, str) and (mime.startswith("text/") or mime.endswith(("+xml", "/javascript")))


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, with the mode that it had."""
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(fd)
            mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
            os.fchmod(fd, mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise

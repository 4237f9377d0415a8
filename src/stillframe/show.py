"""How results look: in a terminal at a glance, in a notebook as HTML.

Invariants:
  * Nothing here asks a server; it is text from values.
  * Every word that comes from a program or a name is escaped: HTML has no markup of theirs, one line of
    text has no control characters of theirs.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any, NamedTuple

from stillframe.model import ExecutionError, Node, Output, Running, Variable

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_IMAGES = ("image/png", "image/jpeg", "image/gif")

_TABLE = '<table style="text-align:left"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
_PRE = '<pre style="margin:0;white-space:pre-wrap">{text}</pre>'


class Row(NamedTuple):
    """One state of a drawn tree: what stands before its name, and the state."""

    prefix: str
    node: Node


def without_ansi(text: str) -> str:
    """The text without terminal escape sequences."""
    return _ANSI.sub("", text)


def printable(text: str, chars: int = 0) -> str:
    """The text on one line: control characters as escapes; cut to `chars` characters where that is given."""
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return line if not chars or len(line) <= chars else line[: chars - 1] + "…"


def first_line(code: str, chars: int = 60) -> str:
    """What a cell does, at a glance: its first line that is neither empty nor a comment."""
    lines = [line.strip() for line in code.splitlines() if line.strip()]
    told = next((line for line in lines if not line.startswith("#")), lines[0] if lines else "")
    return printable(told if len(lines) < 2 else f"{told} …", chars)


def duration(seconds: float) -> str:
    """A time in the unit that reads best: `0.3 ms`, `12 ms`, `1.25 s`, `3 min 5 s`."""
    if seconds < 0.00095:
        return f"{seconds * 1e3:.1f} ms"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def size(size_bytes: int) -> str:
    """A size in the unit that reads best, in powers of 1024: `512 B`, `3.1 MB`."""
    amount = float(size_bytes)
    for unit in ("B", "KB", "MB", "GB"):
        if amount < 1024 or unit == "GB":
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if amount >= 100 or unit == "B" else f"{amount:.1f} {unit}"


def counted(number: int, what: str) -> str:
    """So many of something: `1 state`, `2 states`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def age(iso: str, now: datetime | None = None) -> str:
    """How long ago a time was: `now`, `5 s ago`, `3 min ago`; the date when it is more than two days."""
    try:
        then = datetime.fromisoformat(iso)
    except ValueError:
        return printable(iso)
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    seconds = ((now or datetime.now(UTC)) - then).total_seconds()
    if seconds < 2:
        return "now"
    for limit, unit_s, unit in ((60, 1, "s"), (3600, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds // unit_s:.0f} {unit} ago"
    return then.date().isoformat()


def error_line(error: ExecutionError, chars: int = 0) -> str:
    """Name and words of an error on one line, as the last line of a traceback has them."""
    return printable(f"{error.ename}: {error.evalue}" if error.evalue else error.ename, chars)


def name_of(node: Node) -> str:
    """What a tree calls a state: its names, or the beginning of its id where it has none."""
    return ", ".join(map(printable, node.names)) if node.names else f"({printable(node.id, 9)})"


def rows_of(nodes: Sequence[Node]) -> Iterator[Row]:
    """The states as a drawn tree, parents before children, in the order of `nodes`.

    A chain stays in its column; only where a state has several children do these move to the right. So a
    notebook of a thousand cells is one column, however deep.
    """
    ids = {node.id for node in nodes}
    children: dict[str | None, list[Node]] = {}
    for node in nodes:
        children.setdefault(node.parent if node.parent in ids else None, []).append(node)
    stack = [("", "", node) for node in reversed(children.get(None, []))]
    while stack:
        head, base, node = stack.pop()
        yield Row(f"{head}● ", node)
        below = children.get(node.id, [])
        if len(below) == 1:
            stack.append((base, base, below[0]))
            continue
        for place, child in reversed(list(enumerate(below))):
            last = place == len(below) - 1
            stack.append((base + ("└─" if last else "├─"), base + ("  " if last else "│ "), child))


def tree_text(nodes: Sequence[Node], executions: Iterable[Running] = ()) -> str:
    """The tree as lines: name, run time, first line of the cell."""
    rows = list(rows_of(nodes))
    names = [row.prefix + name_of(row.node) for row in rows]
    width = min(max(map(len, names), default=0), 48)
    lines = [
        f"{name:<{width}}  {duration(row.node.duration_s):>8}  {first_line(row.node.code)}".rstrip()
        for name, row in zip(names, rows, strict=True)
    ]
    lines += [
        f"running {printable(str(run.exec_id))} in {printable(run.state_name)}: {first_line(run.code)}"
        for run in executions
    ]
    return "\n".join(lines)


def tree_html(nodes: Sequence[Node], executions: Iterable[Running] = ()) -> str:
    """The tree as a table."""
    rows = (
        (
            f"<code>{_html(row.prefix)}</code>{escape(name_of(row.node))}",
            escape(duration(row.node.duration_s)),
            escape(size(row.node.memory.private_bytes)) if row.node.memory else "",
            escape(", ".join(row.node.ways_back)),
            f"<code>{escape(first_line(row.node.code))}</code>",
        )
        for row in rows_of(nodes)
    )
    running = "".join(
        f"<div>running {escape(str(run.exec_id))} in {escape(run.state_name)}: "
        f"<code>{escape(first_line(run.code))}</code></div>"
        for run in executions
    )
    return _table(("state", "took", "memory", "ways back", "cell"), rows) + running


def variables_html(variables: Mapping[str, Variable]) -> str:
    """The variables of a state as a table."""
    rows = (
        (
            f"<code>{escape(name)}</code>",
            escape(variable.type),
            f"<code>{escape(printable(variable.repr, 200))}</code>",
        )
        for name, variable in variables.items()
    )
    return _table(("variable", "type", "value"), rows)


def heading_html(title: str, facts: str) -> str:
    """One line above a result: what it is, and what is to be known of it."""
    return f'<div><b>{escape(title)}</b> <span style="opacity:.7">{escape(facts)}</span></div>'


def outputs_html(outputs: Iterable[Output], error: ExecutionError | None) -> str:
    """Outputs in their order: text escaped, images as they are, markup as its text alone."""
    parts = [_output_html(output) for output in outputs]
    if error is not None:
        told = "\n".join(error.traceback) or error_line(error)
        parts.append(_PRE.format(text=escape(without_ansi(told))))
    return "".join(parts)


def outputs_text(outputs: Iterable[Output]) -> str:
    """Standard output and the text of results and displays, each of these on lines of its own."""
    text, is_open = "", False
    for output in outputs:
        if output.get("output_type") == "stream":
            piece = str(output["text"]) if output.get("name") == "stdout" else ""
            result = False
        else:
            piece = text_of(output.get("data", {}))
            result = True
        if not piece:
            continue
        if text and not text.endswith("\n") and (result or is_open):
            text += "\n"
        text, is_open = text + piece, result
    return text


def text_of(data: Mapping[str, Any]) -> str:
    """The plain text of a mime bundle, or what there is instead of it."""
    text = data.get("text/plain")
    if isinstance(text, str):
        return text
    return f"[{', '.join(sorted(data))}]" if data else ""


def _output_html(output: Output) -> str:
    if output.get("output_type") == "stream":
        return _PRE.format(text=escape(without_ansi(str(output.get("text", "")))))
    data = output.get("data", {})
    for mime in _IMAGES:
        if mime in data and (image := _base64(data[mime])):
            return f'<img src="data:{mime};base64,{image}" alt="{escape(str(data.get("text/plain", "")))}">'
    return _PRE.format(text=escape(without_ansi(text_of(data))))


def _base64(text: Any) -> str:
    """The text if it is base64, without line breaks; else nothing."""
    try:
        return base64.b64encode(base64.b64decode("".join(str(text).split()), validate=True)).decode()
    except (binascii.Error, ValueError):
        return ""


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    cells = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return _TABLE.format(head="".join(f"<th>{escape(word)}</th>" for word in head), rows=cells)


def _html(text: str) -> str:
    """Text whose spaces keep their width."""
    return escape(text).replace(" ", "&nbsp;")

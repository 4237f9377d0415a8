"""Looking at a state: its variables, one value, completion, inspection.

Invariants:
  * This runs in a fork of the frozen process that ends afterwards, so whatever a repr does, the state
    stays what it was.
  * Every answer is JSON already: the supervisor passes it on without making objects of it.
"""

from __future__ import annotations

import itertools
import math
import traceback
from base64 import b64encode
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import msgspec
from IPython.core.completer import provisionalcompleter
from IPython.utils.tokenutil import token_at_cursor

from stillframe.engine.places import Place
from stillframe.engine.protocol import Complete, Evaluate, Frames, Inspect, Request, Seen, Show, Variables
from stillframe.engine.shell import ResultHook, Shell, variable_names
from stillframe.engine.streams import bounded, printable

_ITEMS = 1_000
"""Items of a container that a short repr looks at."""
_MATCHES = 1_000


def answer(shell: Shell, request: Request, limit: int, places: Sequence[Place] = ()) -> Seen:
    """The answer to one request. `limit` is in characters of a repr. `places` are where the program stands."""
    match request:
        case Variables():
            return _seen(
                {printable(name): _variable(shell.user_ns[name], limit) for name in variable_names(shell)}
            )
        case Show(variable=name):
            names = variable_names(shell)
            if name not in names:
                return _seen([printable(known) for known in names], found=False)
            return _seen(_value(shell, name))
        case Complete(code=code, cursor=cursor):
            return _seen(_complete(shell, code, cursor))
        case Inspect(code=code, cursor=cursor, detail=detail):
            return _seen(_inspect(shell, code, cursor, detail))
        case Frames():
            return _seen([_frame(place, limit) for place in places])
        case Evaluate(frame=index, code=code):
            if index is not None and not -len(places) <= index < len(places):
                return _seen(len(places), found=False)
            frame = places[-1 if index is None else index].frame if places else None
            return _seen(_evaluate(shell, frame, code, limit))
        case _:
            raise AssertionError(f"{type(request).__name__} is answered elsewhere")


def _seen(value: Any, found: bool = True) -> Seen:
    return Seen(found, msgspec.json.encode(value))


def _variable(value: Any, limit: int) -> dict[str, str]:
    return {"type": printable(type(value).__name__), "repr": short_repr(value, limit)}


def short_repr(value: Any, limit: int) -> str:
    """repr(value), cut to `limit` characters. Of a long builtin container only the first items are read, of a long
    text only what is shown."""
    if _is_long(value, limit):
        return printable(_text_repr(value, limit))
    text = _guarded(lambda: _container_repr(value, limit) or repr(value))
    text = printable(text)
    if len(text) <= limit:
        return text
    return f"{text[:limit]}... [cut by stillframe: {len(text):,} characters, the limit is {limit:,}]"


def _container_repr(value: Any, limit: int) -> str | None:
    kind = type(value)
    if kind not in (list, tuple, set, frozenset, dict):
        return None
    items = list(itertools.islice(value.values() if kind is dict else value, _ITEMS))
    is_whole = len(value) <= _ITEMS
    if is_whole and not any(_is_long(item, limit) for item in items):
        return None
    shown = [_Shown(_text_repr(item, limit)) if _is_long(item, limit) else item for item in items]
    text = repr(dict(zip(value, shown, strict=False)) if kind is dict else kind(shown))
    return text if is_whole else f"{text}... [the first {_ITEMS:,} of {len(value):,} items]"


class _Shown:
    """Stands in a container for a long text, whose repr would be longer than can be shown."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _is_long(value: Any, limit: int) -> bool:
    return type(value) in (str, bytes, bytearray) and len(value) > limit


def _text_repr(value: str | bytes | bytearray, limit: int) -> str:
    unit = "characters" if isinstance(value, str) else "bytes"
    return (
        f"{repr(value[:limit])[:limit]}... [cut by stillframe: {len(value):,} {unit}, the limit is {limit:,}]"
    )


def _guarded(make: Callable[[], str]) -> str:
    try:
        return make()
    except BaseException as error:  # a user's __repr__
        return f"<its repr raised {type(error).__name__}: {error}>"


def _value(shell: Shell, name: str) -> dict[str, Any]:
    value = shell.user_ns[name]
    data, metadata = shell.formatter.format(value)
    if not data:
        data = {"text/plain": short_repr(value, _ITEMS)}
    limit = ResultHook.outputs.representation_bytes
    bundle = {mime: bounded(mime, _json_safe(content), limit) for mime, content in data.items()}
    plain = is_json(value)
    return {
        "name": name,
        "type": printable(type(value).__name__),
        "data": bundle,
        "metadata": _json_safe(metadata) if metadata else {},
        "has_json": plain,
        "json": value if plain else None,
    }


def _json_safe(content: Any) -> Any:
    if isinstance(content, bytes):
        return b64encode(content).decode("ascii")
    return content if is_json(content) else printable(content)


def is_json(value: Any) -> bool:
    """Whether JSON can say this value: exact builtin types, finite numbers, no cycles, text keys."""
    return _is_json(value, ())


def _is_json(value: Any, above: tuple[int, ...]) -> bool:
    kind = type(value)
    if value is None or kind in (bool, int):
        return True
    if kind is str:
        return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)
    if kind is float:
        return math.isfinite(value)
    if kind not in (list, tuple, dict) or id(value) in above or len(above) > 200:
        return False
    inside = (*above, id(value))
    if kind is dict:
        return all(type(key) is str and _is_json(key, ()) for key in value) and all(
            _is_json(item, inside) for item in value.values()
        )
    return all(_is_json(item, inside) for item in value)


def _frame(place: Place, limit: int) -> dict[str, Any]:
    """Where a frame stands, and its local variables. Those of a module are its globals, and told elsewhere."""
    frame = place.frame
    is_module = frame.f_locals is frame.f_globals
    variables = {} if is_module else frame.f_locals
    return {
        "file": printable(frame.f_code.co_filename),
        "line": place.line,
        "function": printable(frame.f_code.co_qualname),
        "variables": {printable(name): _variable(value, limit) for name, value in variables.items()},
    }


def _evaluate(shell: Shell, frame: FrameType | None, code: str, limit: int) -> dict[str, Any]:
    """The value of an expression in a frame, or what it raised."""
    namespaces = (shell.user_ns, shell.user_ns) if frame is None else (frame.f_globals, frame.f_locals)
    try:
        value = eval(compile(code.strip(), "<evaluate>", "eval"), *namespaces)
    except BaseException as error:  # the code is the user's
        lines = traceback.format_exception_only(error)
        return {"type": None, "repr": None, "error": printable("".join(lines).strip())}
    return {**_variable(value, limit), "error": None}


def _complete(shell: Shell, code: str, cursor: int) -> dict[str, Any]:
    cursor = max(0, min(cursor, len(code)))
    with provisionalcompleter():
        found = list(itertools.islice(shell.Completer.completions(code, cursor), _MATCHES))
    if not found:
        return {"matches": [], "cursor_start": cursor, "cursor_end": cursor}
    start, end = min(item.start for item in found), max(item.end for item in found)
    # Each completion replaces its own range; give all of them one.
    matches = [code[start : item.start] + item.text + code[item.end : end] for item in found]
    return {"matches": list(dict.fromkeys(matches)), "cursor_start": start, "cursor_end": end}


def _inspect(shell: Shell, code: str, cursor: int, detail: int) -> dict[str, Any]:
    name = token_at_cursor(code, max(0, min(cursor, len(code))))
    try:
        bundle = shell.object_inspect_mime(name, detail_level=detail)
    except KeyError:
        return {"found": False, "data": {}, "metadata": {}}
    return {"found": True, "data": {mime: printable(text) for mime, text in bundle.items()}, "metadata": {}}

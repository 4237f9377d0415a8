"""What IPython's shell knows of a session beyond the namespace: its history, the source of its cells, what the user
has registered and set.

Invariants:
  * `shell_state` changes nothing. `set_shell_state` leaves the shell as `shell_state` found the other one.
  * What IPython itself registers is in every shell already: only what differs travels.
"""

from __future__ import annotations

import importlib
import linecache
import sys
from collections.abc import Iterator
from typing import Any

from IPython.core.magic import Magics
from IPython.lib import pretty

from stillframe.engine.landmarks import configurable, is_users, key_of

_PLAIN = (bool, int, float, str, type(None))
_PRINTERS = ("type_printers", "deferred_printers", "singleton_printers")
_DEFAULTS = {
    "type_printers": pretty._type_pprinters,
    "deferred_printers": pretty._deferred_type_pprinters,
    "singleton_printers": pretty._singleton_pprinters,
}
"""Those that the formatter of text/plain has from the beginning; all others begin with none."""
_LOOP_HOLDER = "IPython.core.async_helpers"

ShellState = dict[str, Any]


def shell_state(shell: Any) -> ShellState:
    """All of it, as plain data and objects of the user's."""
    hook = shell.displayhook
    return {
        "count": shell.execution_count,
        "results": (hook._, hook.__, hook.___),
        "last": (shell.last_execution_succeeded, shell.last_execution_result),
        "folders": list(shell.history_manager.dir_hist),
        "out": dict(shell.user_ns_hidden["_oh"]),
        "flags": shell.compile.flags,
        "traceback": shell.InteractiveTB.mode,
        "traits": {key: _plain_traits(thing) for key, thing in _configurables(shell)},
        "frames": sorted(shell.formatter._is_set),
        "extensions": sorted(shell.extension_manager.loaded),
        "events": {event: list(callbacks) for event, callbacks in shell.events.callbacks.items()},
        "magics": {kind: _own_magics(table) for kind, table in shell.magics_manager.magics.items()},
        "registry": [value for value in dict.values(shell.magics_manager.registry) if is_users(type(value).__module__)],
        "transforms": [list(transforms) for transforms in _transforms(shell)],
        "printers": {mime: _own_printers(mime, found) for mime, found in shell.formatter.formatters.items()},
        "active": list(shell.formatter.active_types),
        "loop": getattr(sys.modules.get(_LOOP_HOLDER), "_asyncio_event_loop", None),
        "sources": [
            (name, entry[0], "".join(entry[2]))
            for name, entry in linecache.cache.items()
            if len(entry) == 4 and entry[1] is None
        ],
        "numbers": dict(shell.compile._filename_map),
        # Last, since each cell adds to it.
        "inputs": list(shell.inputs),
    }  # fmt: skip


def set_shell_state(shell: Any, state: ShellState) -> None:
    """Bring the shell of a process that has run nothing there."""
    shell.execution_count = state["count"]
    shell.displayhook._, shell.displayhook.__, shell.displayhook.___ = state["results"]
    shell.last_execution_succeeded, shell.last_execution_result = state["last"]
    shell.history_manager.dir_hist[:] = state["folders"]
    shell.user_ns_hidden["_oh"].update(state["out"])
    shell.inputs[:] = state["inputs"]
    shell.compile.flags = state["flags"]
    shell.compile._filename_map.update(state["numbers"])
    for name, size, text in state["sources"]:
        linecache.cache[name] = (size, None, text.splitlines(keepends=True), name)
    shell.extension_manager.loaded.update(state["extensions"])
    if state["loop"] is not None:
        vars(importlib.import_module(_LOOP_HOLDER))["_asyncio_event_loop"] = state["loop"]
    _set_display(shell, state)
    _set_magics(shell, state)
    for event, callbacks in state["events"].items():
        shell.events.callbacks.setdefault(event, [])[:] = callbacks
    _set_traits(shell, state["traits"])
    shell.InteractiveTB.set_mode(mode=state["traceback"])


def _set_display(shell: Any, state: ShellState) -> None:
    formatter = shell.formatter
    formatter._is_set.update(state["frames"])
    formatter.active_types = state["active"]
    for mime, tables in state["printers"].items():
        for name, (added, removed) in zip(_PRINTERS, tables, strict=True):
            table = getattr(formatter.formatters[mime], name)
            defaults = _defaults(name, mime)
            # What was imported here may have registered more than it had there.
            for key in [key for key in table if key in removed or (key not in added and key not in defaults)]:
                del table[key]
            table.update(added)


def _set_magics(shell: Any, state: ShellState) -> None:
    for kind, table in state["magics"].items():
        shell.magics_manager.magics[kind].update(table)
    for magics in state["registry"]:
        shell.magics_manager.registry[type(magics).__name__] = magics
    for transforms, wanted in zip(_transforms(shell), state["transforms"], strict=True):
        transforms[:] = wanted


def _transforms(shell: Any) -> tuple[list[Any], ...]:
    """The lists of what is done to a cell's text and to its tree."""
    manager = shell.input_transformer_manager
    texts = (manager.cleanup_transforms, manager.line_transforms, manager.token_transformers)
    return (*texts, shell.input_transformers_post, shell.ast_transformers)


def _own_magics(table: dict[str, Any]) -> dict[str, Any]:
    """Magics and aliases that IPython does not make itself: those of its own classes are in every shell."""
    return {name: made for name, made in table.items() if not _is_standard(made)}


def _is_standard(made: Any) -> bool:
    owner = getattr(made, "__self__", None) if type(made).__name__ == "method" else None
    if isinstance(owner, Magics):
        return not is_users(type(owner).__module__)
    return type(made).__name__ == "LazyMagic"


def _own_printers(mime: str, formatter: Any) -> list[tuple[dict[Any, Any], list[Any]]]:
    """For each of its tables: what was added to what it had at the beginning, and what is missing."""
    found = []
    for name in _PRINTERS:
        table = getattr(formatter, name, None) or {}
        defaults = _defaults(name, mime)
        added = {key: value for key, value in table.items() if defaults.get(key) is not value}
        found.append((added, [key for key in defaults if key not in table]))
    return found


def _defaults(name: str, mime: str) -> dict[Any, Any]:
    return _DEFAULTS[name] if mime == "text/plain" else {}


def _configurables(shell: Any) -> Iterator[tuple[str, Any]]:
    """What has settings, by names that are the same in every process."""
    for thing in shell.configurables:
        if not is_users(type(thing).__module__) and not isinstance(thing, Magics):
            yield key_of(thing), thing
    yield from shell.formatter.formatters.items()


def _plain_traits(thing: Any) -> dict[str, Any]:
    return {name: value for name, value in thing._trait_values.items() if type(value) in _PLAIN}


def _set_traits(shell: Any, wanted: dict[str, dict[str, Any]]) -> None:
    here = dict(_configurables(shell))
    for key, values in wanted.items():
        thing = here.get(key) or configurable(shell, key)
        for name, value in values.items():
            if thing._trait_values.get(name, thing) != value:
                setattr(thing, name, value)

"""What each state process has, and a program may hold: the shell and its parts, our streams, `__main__`.

A stored state has these by name, so that what it holds of them is, where it is restored, what is there.

Invariants:
  * A name means the same thing in every state process. What a user has added to the shell is no landmark.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stillframe.engine.state_process import StateProcess

_PARTS = (
    "user_module", "user_ns_hidden", "compile", "displayhook", "display_pub", "events", "Completer",
    "inspector", "InteractiveTB", "SyntaxTB", "hooks", "strdispatchers", "configurables", "meta",
    "ns_table", "tempfiles", "tempdirs", "display_formatter", "history_manager", "magics_manager",
    "alias_manager", "extension_manager", "payload_manager", "prefilter_manager", "builtin_trap",
    "display_trap", "input_transformer_manager", "exiter", "profile_dir", "config",
)  # fmt: skip
"""Attributes of the shell that are objects of its own."""
_ATOMS = (str, bytes, int, float, bool, tuple, type(None))
"""Of these there may be one for many uses: none of them is a landmark."""
EXTENSION = "extension:"
_MAGICS = "magics:"
_CONFIGURABLE = "configurable:"


def landmarks(process: StateProcess) -> dict[str, Any]:
    """All that there are, by name, in an order that is always the same."""
    found: dict[str, Any] = {}
    seen: set[int] = set()
    for name, thing in _named(process):
        if id(thing) not in seen and not isinstance(thing, _ATOMS):
            seen.add(id(thing))
            found[name] = thing
    return found


def finder(process: StateProcess) -> Any:
    """What gives the landmark of a name here; LookupError where there is none."""
    found = landmarks(process)

    def find(name: str) -> Any:
        if name.startswith(EXTENSION):
            return _load_extension(process.shell, name.removeprefix(EXTENSION))
        if name.startswith(_MAGICS):
            return _magics(process.shell, name.removeprefix(_MAGICS))
        if name.startswith(_CONFIGURABLE):
            return configurable(process.shell, name)
        return found[name]

    return find


def _named(process: StateProcess) -> Iterator[tuple[str, Any]]:
    shell: Any = process.shell  # IPython is typed only in part
    for name in shell.extension_manager.loaded:
        if not is_users(name):
            # Loaded again before anything else, so that its magics are there.
            yield EXTENSION + name, object()
    yield "shell", shell
    for name in _PARTS:
        yield f"shell.{name}", getattr(shell, name, None)
    for name in ("channel", "outputs", "execution", "calls"):
        yield name, getattr(process, name, None)
    yield "process", process
    for name, value in shell.user_ns_hidden.items():
        yield f"hidden.{name}", value
    for name, value in shell.display_formatter.formatters.items():
        yield f"formatter.{name}", value
    for value in dict.values(shell.magics_manager.registry):
        cls = type(value)
        if not is_users(cls.__module__):
            yield f"{_MAGICS}{cls.__module__}:{cls.__qualname__}", value
    for value in shell.configurables:
        if not is_users(type(value).__module__):
            yield key_of(value), value
    for name in ("stdout", "stderr"):
        stream = getattr(sys, f"__{name}__")
        yield name, stream
        yield f"{name}.buffer", stream.buffer
        yield f"{name}.raw", stream.buffer.raw


def key_of(thing: Any) -> str:
    """The name of something that has settings: by its class, of which the shell has one."""
    cls = type(thing)
    return f"{_CONFIGURABLE}{cls.__module__}:{cls.__qualname__}"


def configurable(shell: Any, key: str) -> Any:
    """What has this name. A library adds its own when it is first used (matplotlib's inline backend)."""
    found = next((value for value in shell.configurables if key_of(value) == key), None)
    if found is None:
        module, _, qualname = key.removeprefix(_CONFIGURABLE).partition(":")
        found = getattr(importlib.import_module(module), qualname).instance(parent=shell)
        shell.configurables.append(found)
    return found


def is_users(module: str) -> bool:
    """Whether a module is the user's own, and so not to be had by its name."""
    from stillframe.capture.modules import is_by_value_name

    return is_by_value_name(module)


def _load_extension(shell: Any, name: str) -> object:
    if name not in shell.extension_manager.loaded and shell.extension_manager.load_extension(name):
        raise LookupError(name)
    return object()


def _magics(shell: Any, name: str) -> Any:
    """The magics of a class, which IPython makes when one of them is first used."""
    module, _, qualname = name.partition(":")
    registry = shell.magics_manager.registry
    try:
        return registry[qualname]
    except KeyError:
        shell.register_magics(getattr(importlib.import_module(module), qualname))
        return registry[qualname]

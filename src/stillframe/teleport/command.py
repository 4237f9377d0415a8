"""The command line that starts the far side, and the source text that goes there.

    exec sh -c '<find the interpreter>; exec "$p" -c <read a loader> <its text in hex> ...'

The line is short and of fixed shape whatever is sent: the source of FAR_MODULES follows on standard input.

Invariants:
  * The line is understood by sh, dash, bash, zsh, fish and csh: one quoted word, without newline, `!` or a
    backslash before a quote.
  * An interpreter is tried before it is believed: a shim can stand in PATH for a version that is not there.
"""

from __future__ import annotations

import importlib.util
import json
import shlex
import sys

FAR_MODULES = ("wire", "terminal", "installing", "hosting", "keeper")
"""Modules of this package that run on the far side, each after those that it imports."""

_LOADER = """
import os, sys
sys.path[:] = [path for path in sys.path if path]
def read(size):
    data = b""
    while len(data) < size:
        piece = os.read(0, size - len(data))
        if not piece:
            sys.exit(1)
        data += piece
    return data
exec(read(int(read(8))))
"""
"""Reads the length of what follows (8 digits), then that, and runs it."""

_UNPACK = """
import json, sys, types
for name in ("stillframe", "stillframe.teleport"):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = []
for name, source in json.loads({sources!r}):
    name = "stillframe.teleport." + name
    sys.modules[name] = module = types.ModuleType(name)
    exec(compile(source, "<" + name + ">", "exec"), module.__dict__)
sys.modules["stillframe.teleport.keeper"].main(sys.argv[2])
"""

_PROBE = "import sys;sys.exit(sys.version_info[:2]!=({major},{minor}))"


def far_command(python: str | None) -> str:
    """The command for a shell on the far side. `python` is an interpreter there; else one is looked for."""
    major, minor = sys.version_info[:2]
    run = (
        'exec "$p" -c "import sys;exec(bytes.fromhex(sys.argv[1]))" '
        + _LOADER.strip().encode().hex()
        + ' "${XDG_CACHE_HOME:-$HOME/.cache}/stillframe/environments"'
    )
    if python is not None:
        word = '"$HOME"' + shlex.quote(python[1:]) if python.startswith("~/") else shlex.quote(python)
        find = f'p={word}; if "$p" -SIc "" </dev/null >/dev/null 2>&1; then {run}; fi; '
    else:
        probe = _PROBE.format(major=major, minor=minor)
        find = (
            f"for p in python{major}.{minor} python3 python; do "
            f'if "$p" -SIc "{probe}" </dev/null >/dev/null 2>&1; then {run}; fi; done; '
        )
    # Without an interpreter, say which others there are.
    none = (
        'v=""; for p in python3 python3.10 python3.11 python3.12 python3.13 python3.14; do '
        'w=$("$p" -V 2>/dev/null </dev/null) && v="$v$w, "; done; printf "\\000stillframe none %s\\n" "$v"'
    )
    return "exec sh -c " + shlex.quote(find + none)


def far_source() -> bytes:
    """What goes over standard input first: the length, then the program that is the far side."""
    sources = []
    for name in FAR_MODULES:
        spec = importlib.util.find_spec(f"stillframe.teleport.{name}")
        assert spec is not None and spec.loader is not None
        text = spec.loader.get_source(spec.name)  # type: ignore[attr-defined]
        assert text is not None, f"the source of {spec.name} is not installed"
        sources.append((name, text))
    program = _UNPACK.format(sources=json.dumps(sources)).encode()
    return b"%08d" % len(program) + program

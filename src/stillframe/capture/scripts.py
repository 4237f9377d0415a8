"""An unmodified program, run in this process as `python SCRIPT` and `python -m MODULE` would.

Invariants:
  * No frame of ours is below those of the program: not in its tracebacks, not for `sys._getframe()`.
  * `__main__` is a fresh module; `sys.argv` and `sys.path[0]` are what Python makes them.
"""

from __future__ import annotations

import builtins
import io
import os
import pkgutil
import runpy
import sys
from importlib.machinery import SourceFileLoader, SourcelessFileLoader
from types import CodeType, ModuleType

from stillframe.errors import BadRequest
from stillframe.frames import _frames
from stillframe.frames.landing import RAISED, Outcome


def run(target: str, arguments: list[str], *, is_module: bool) -> Outcome:
    """Run the script, folder, zip file or module `target` as the main program. Returns what it comes to."""
    main = ModuleType("__main__")
    vars(main).update(__annotations__={}, __builtins__=builtins)
    sys.modules["__main__"] = main
    sys.argv[:] = ["-m" if is_module else target, *arguments]
    sys.orig_argv[1:] = [*(["-m"] if is_module else []), target, *arguments]
    if is_module:
        _put_first(os.getcwd())
        return _as_main(target, alter_argv=True)
    if pkgutil.get_importer(os.fsdecode(target)) is not None:
        sys.path.insert(0, os.path.abspath(target))
        return _as_main("__main__", alter_argv=False)
    try:
        code = _prepared(main, target)
    except (SyntaxError, ValueError) as error:
        return RAISED, error.with_traceback(None)
    return _called(exec, code, vars(main))


def _put_first(folder: str) -> None:
    if not sys.flags.safe_path:
        sys.path.insert(0, folder)


def _as_main(name: str, *, alter_argv: bool) -> Outcome:
    return _called(runpy._run_module_as_main, name, alter_argv)  # type: ignore[attr-defined]


def _called(fn: object, *arguments: object) -> Outcome:
    outcome: Outcome = _frames.call(None, fn, arguments, {})
    return outcome


def _prepared(main: ModuleType, script: str) -> CodeType:
    """The code of a script, and its module made ready. Raises what compiling raises."""
    path = os.path.abspath(script)
    try:
        with io.open_code(path) as file:
            source = file.read()
    except OSError as error:
        raise BadRequest(
            f"cannot run {script}: {error.strerror}.", "Name a script, or a module with -m."
        ) from error
    _put_first(os.path.dirname(os.path.realpath(script)))
    loader: SourceFileLoader | SourcelessFileLoader
    if path.endswith(".pyc"):
        loader = SourcelessFileLoader("__main__", path)
        code = pkgutil.read_code(io.BytesIO(source))
        if code is None:
            raise BadRequest(f"cannot run {script}: it was compiled by another version of Python.")
    else:
        loader = SourceFileLoader("__main__", path)
        code = compile(source, path, "exec", dont_inherit=True)
    vars(main).update(__loader__=loader, __file__=path, __cached__=None)
    assert isinstance(code, CodeType)
    return code

"""A deliberately wrong engine: it keeps states as deep copies of their namespaces, in one process.

It is what the isolation cases and the property test must be red on. Copying is done as well as such an
engine can: one memo for the whole namespace, modules by reference, what cannot be copied by reference too.

As a program it reads {"warm": [modules], "scripts": [[[code, state, name], ...], ...]} as JSON, runs each
script in a forked child of its own, and prints a JSON list of the lists of replies (null where a child did
not end well). The modules are imported before, to save time.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import io
import json
import os
import signal
import sys
import traceback
import types
from typing import Any

SCRIPT_S = 20
"""After this many seconds a script is ended."""


class DeepcopyEngine:
    """States by name; `execute` copies one, runs the code in the copy and keeps it under a new name."""

    def __init__(self) -> None:
        self.states: dict[str, dict[str, Any]] = {"initial": {}}

    def execute(self, code: str, state: str, name: str) -> dict[str, Any]:
        if state not in self.states:
            return _reply("", None, {"ename": "StateNotFound", "evalue": state, "traceback": []})
        namespace = _copy(self.states[state])
        main = types.ModuleType("__main__")
        main.__dict__.update(namespace)
        sys.modules["__main__"] = main
        printed, error = io.StringIO(), None
        with contextlib.redirect_stdout(printed):
            try:
                exec(compile(code, "<cell>", "exec"), main.__dict__)
            except BaseException as problem:  # noqa: BLE001 - the user's code may raise anything
                lines = traceback.format_exc().splitlines()
                error = {"ename": type(problem).__name__, "evalue": str(problem), "traceback": lines}
        if error is None:
            self.states[name] = main.__dict__
        return _reply(printed.getvalue(), name if error is None else None, error)

    def delete(self, name: str) -> None:
        del self.states[name]


def _reply(text: str, name: str | None, error: dict[str, Any] | None) -> dict[str, Any]:
    output = [{"output_type": "stream", "name": "stdout", "text": text}] if text else []
    return {"output": output, "state_name": name, "error": error}


def _copy(namespace: dict[str, Any]) -> dict[str, Any]:
    memo: dict[int, Any] = {}
    copied = {}
    for name, value in namespace.items():
        if name.startswith("__"):
            continue
        if isinstance(value, types.ModuleType):
            memo[id(value)] = value
        try:
            copied[name] = copy.deepcopy(value, memo)
        except Exception:  # noqa: BLE001 - whatever copying a user's object raises, it is kept by reference
            copied[name] = value
    return copied


def run(script: list[tuple[str, str, str]]) -> list[dict[str, Any]]:
    """Run one script in a new engine. The code `None` deletes the state."""
    engine = DeepcopyEngine()
    replies = []
    for code, state, name in script:
        if code is None:
            engine.delete(state)
        else:
            replies.append(engine.execute(code, state, name))
    return replies


def in_child(work: Any, *arguments: Any) -> Any:
    """What `work` returns, run in a forked child; None where the child ends otherwise."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(SCRIPT_S)
        os.close(read)
        try:
            with os.fdopen(write, "w") as pipe:
                json.dump(work(*arguments), pipe)
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(text) if text else None


if __name__ == "__main__":
    task = json.load(sys.stdin)
    for module in task["warm"]:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    json.dump([in_child(run, script) for script in task["scripts"]], sys.stdout)

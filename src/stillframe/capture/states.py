"""The state of a kernel as a value: `__main__` and the user's modules, the state of the process, that of the shell.

    capture_state(…)   in a fork that looks at a state: a header and contents
    restore_state(…)   in a process that has run nothing: from then on it is in the state

Invariants:
  * What each state process has (its shell, its streams, `__main__` and its namespace) is a landmark: by reference.
    The namespace is filled, not replaced.
  * A capture changes nothing, and writes to no file of the program's. One that fails names everything in the way.
  * The pickle holds no addresses and no times, and what is in it stands in an order that a cell keeps: the pickles of
    relatives differ where the states differ.
"""

from __future__ import annotations

import contextvars
import importlib
import os
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from blake3 import blake3

from stillframe.capture import additions, capturing, inside, process_state, rebuild_states, snapshot
from stillframe.capture.capturing import Contents
from stillframe.capture.exclusions import excluded
from stillframe.capture.modules import is_by_value_name, travels_by_value
from stillframe.capture.pickler import Options, Pickler, Standin, load_reducers
from stillframe.capture.rebuild_states import Fill, Find
from stillframe.capture.snapshot import Interpreter
from stillframe.errors import CannotCapture, Obstacle
from stillframe.frames.resumption import Continuation, FrameRecord

_TIMES = ("time_s", "monotonic_s")


class Header(msgspec.Struct, kw_only=True):
    """What a snapshot of a state tells of itself without being loaded."""

    kind: str = "state"
    stillframe: str
    created: str
    """In UTC, as ISO 8601."""
    python: str
    interpreter: Interpreter
    packages: dict[str, str]
    """The distributions of which it needs modules, with their versions."""
    path: list[str]
    """Where it imports from: its `sys.path`."""
    imports: str
    """The digest of the last of its buffers: the names of the modules that it has imported, one a line. With pandas
    these are a thousand, and the same in most states of a kernel."""
    variables: list[tuple[str, str, int]] = []
    """Name, type, and about how many bytes, of the largest: for who looks at a snapshot and does not load it."""


class State(NamedTuple):
    """What a pickle of a state holds besides its modules."""

    process: process_state.State
    variables: list[tuple[Any, Any]]
    """The context variables of the main thread."""
    additions: additions.Additions
    shell: Any


class Own(NamedTuple):
    """What belongs to the process, not to the state."""

    landmarks: Mapping[str, Any]
    environment: Collection[str]
    """Environment variables that every process has its own values of."""
    threads: Collection[threading.Thread] = ()
    """Threads that ran before the fork, and are not in it."""
    name_counts: Mapping[str, int] = {}
    """By module: how many names it had when it had been imported."""


def capture_state(
    shell: Any,
    own: Own,
    imported: Iterable[str] = (),
    relative: Header | None = None,
    call: Continuation | None = None,
) -> tuple[Header, Contents]:
    """The state of this process; `shell` is what the shell keeps of it, with the `call` that it rests in, if it does
    in one, and `imported` the modules that it had to import.

    A `relative` that has imported the same tells which packages these are: to look for them takes long.

    Raises CannotCapture with all obstacles. Cost: some 10 ms, and 1 s for a million small objects.
    """
    imports = imports_of(imported)
    digest = blake3(imports).hexdigest()
    process = process_state.capture_process_state()
    for name in _TIMES:
        process.pop(name)
    for name in own.environment:
        process["environ"].pop(name, None)
    _register_asyncio()
    state = State(process, _context_variables(), additions.additions(own.name_counts), shell)
    options = Options(whole_program=True, forked=True, excluded=excluded(), is_state=True)
    records = call.records if call is not None else []
    roots = inside.locals_by_name([call]) if call is not None else None
    contents = capturing.capture(
        state, options, lambda pickler: _prepare(pickler, own, records), "the process", roots
    )
    _refuse_threads(own.threads)
    is_same = relative is not None and relative.imports == digest
    packages = relative.packages if is_same and relative is not None else snapshot.packages_needed()
    return _header(packages, digest), Contents(contents.pickle, [*contents.buffers, memoryview(imports)])


def _header(packages: dict[str, str], imports: str) -> Header:
    plain = snapshot.new_header("state")
    return Header(
        stillframe=plain.stillframe,
        created=plain.created,
        python=plain.interpreter.version,
        interpreter=plain.interpreter,
        packages=packages,
        path=[path for path in sys.path if type(path) is str],
        imports=imports,
    )


def restore_state(
    contents: Contents, find: Find, fill: Fill, environment: Collection[str], imported: Callable[[], None]
) -> tuple[Any, list[str]]:
    """Put this process into the state. Returns what the shell kept of it, and sentences about what is not as it was.

    `find` and `fill`: see rebuild_states. `imported` is called when every module is there, and has been given nothing
    yet. The `environment` variables stay as they are. Raises whatever loading raises: then
    the process is in no state, and should end.
    """
    _register_asyncio()
    own = {name: os.environ[name] for name in environment if name in os.environ}
    with rebuild_states.loading(find, fill):
        context, state = capturing.restore(contents)
    for lock, _, count in context.rlocks:
        for _ in range(count):
            lock.acquire()
    state.process["environ"].update(own)
    imported()
    additions.add_again(state.additions)
    notes = process_state.restore_process_state(state.process)
    for variable, value in state.variables:
        variable.set(value)
    return state.shell, notes


def imports_of(names: Iterable[str]) -> bytes:
    """Those of the modules that travel by reference and can be imported, in their order, one a line."""
    found = []
    for name in names:
        module = sys.modules.get(name)
        spec = getattr(module, "__spec__", None)
        if spec is not None and spec.name == name and spec.origin and not travels_by_value(name, module):
            found.append(name)
    return "\n".join(found).encode()


def _prepare(pickler: Pickler, own: Own, records: list[FrameRecord]) -> None:
    inside.prepare(pickler, records)
    for name, real in own.landmarks.items():
        pickler.landmarks.append((Standin(rebuild_states.landmark, name), real))
    for thread in own.threads:
        pickler.state.seen.setdefault("threads that ran", set()).add(id(thread))


def _refuse_threads(threads: Collection[threading.Thread]) -> None:
    """Threads that ran and that no variable leads to."""
    if threads:
        raise CannotCapture.because_of(
            [
                Obstacle(
                    f"thread {thread.name!r}", type(thread).__qualname__, "it runs", "Wait for it (`join`)."
                )
                for thread in threads
            ]
        )


def _context_variables() -> list[tuple[Any, Any]]:
    """Those that the program made. A library's own are the library's, mostly in C."""
    found = [pair for pair in contextvars.copy_context().items() if pair[0].name != "decimal_context"]
    ids = {id(variable) for variable, _ in found}
    for name, module in list(sys.modules.items()) if found else ():
        namespace = getattr(module, "__dict__", None)
        if type(namespace) is not dict or ids.isdisjoint(map(id, namespace.values())):
            continue
        if not is_by_value_name(name):
            ids.difference_update(map(id, namespace.values()))
    return [pair for pair in found if id(pair[0]) in ids]


_REBUILDING = (
    "rebuild_arrays", "rebuild_aio", "rebuild_builtins", "rebuild_contexts", "rebuild_files", "rebuild_frames",
    "rebuild_library", "rebuild_stdlib", "rebuild_threads", "rebuild_weakrefs",
)  # fmt: skip


def make_ready() -> None:
    """Import what loading needs: for a process whose forks will load."""
    for name in _REBUILDING:
        importlib.import_module(f"stillframe.capture.{name}")
    _register_asyncio()


def _register_asyncio() -> None:
    load_reducers()
    if "asyncio" in sys.modules:
        from stillframe.capture import aio

        aio.register()

"""A state process and the store: its state is captured into blobs, or comes from there.

    a look's fork     Capture   everything that the state is, as a record of blobs
    a fork of the root  Import  what snapshots need is imported, in a process that will be a base
    a fork of a base  Restore   from then on it is in the state, as a tip is
    a tip at rest     Adopt     its large buffers are mapped from the blobs: the next capture knows them again

Invariants:
  * A capture happens in a fork that ends, at idle priority. It changes nothing of the state, and what cannot be
    captured is told, all of it, with nothing written.
  * What is loaded was checked by who sent it: its signature, and its blobs.
  * This module, and all it needs, is imported when the first of these messages comes.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import msgspec

from stillframe.capture import snapshot, states
from stillframe.capture.capturing import Contents
from stillframe.engine import forking, protocol
from stillframe.engine.landmarks import finder, landmarks
from stillframe.engine.protocol import Adopt, Buffer, Capture, Captured, Import, Imported, Restore, Restored
from stillframe.engine.shell import Shell, variable_names
from stillframe.engine.shell_state import ShellState, set_shell_state, shell_state
from stillframe.engine.streams import printable
from stillframe.errors import CannotCapture, StillframeError
from stillframe.store import mapping, snapshots
from stillframe.store.blobs import Blobs

if TYPE_CHECKING:
    from stillframe.engine.resting import RestOfCell
    from stillframe.engine.state_process import StateProcess

_OWN_ENVIRONMENT = (protocol.KERNEL_MARK,)
_LOWEST_PRIORITY = 19
_MESSAGE_WAITS_S = 0.02
"""For what is being adopted: the next fork and the next capture are quicker by more than that."""
_SHOWN_VARIABLES = 200
"""Variables that a snapshot's header names: it is in each record."""


def make_ready() -> None:
    """Import what capturing and loading need: for a process whose forks will."""
    importlib.import_module("asyncio")  # every state process has it, but not before it is prepared
    states.make_ready()
    snapshot.packages_needed()  # for what it imports: 50 ms of each capture


# --- capturing


def capture(process: StateProcess, request: Capture) -> Captured:
    """The state of this process, in a fork that ends afterwards."""
    if not request.is_urgent:
        with contextlib.suppress(OSError):
            os.nice(_LOWEST_PRIORITY)
    near = snapshots.decode(request.near) if request.near else None
    relative = None if near is None else msgspec.json.decode(near.header, type=states.Header)
    own = states.Own(landmarks(process), _OWN_ENVIRONMENT, process.rest.threads, process.name_counts)
    imported = [name for name in list(sys.modules) if name not in process.own_modules]
    try:
        call = process.calls.rest_of_cell()
        kept = shell_state(process.shell), process.execution.on_interrupt, call
        frames = call.continuation if call is not None else None
        header, contents = states.capture_state(kept, own, imported, relative, frames)
        header.variables = _variables(process.shell)
    except CannotCapture as error:
        return Captured(b"", [str(obstacle) for obstacle in error.obstacles] or [str(error)], [])
    try:
        blobs = Blobs(request.store)
        record = snapshots.write_snapshot(
            blobs, msgspec.json.encode(header), contents.pickle, contents.buffers, near
        )
    except StillframeError as error:
        return Captured(b"", [], [], str(error))
    large = [
        Buffer(address, part.size_bytes, part.digest, _is_as_frozen(process, address, part.size_bytes))
        for buffer, part in zip(contents.buffers, record.buffers, strict=True)
        if part.size_bytes >= mapping.SMALLEST_ADOPTED_BYTES and (address := mapping.address_of(buffer))
    ]
    return Captured(snapshots.encode(record), [], large)


def _variables(shell: Shell) -> list[tuple[str, str, int]]:
    """What there is to tell of the namespace without loading it: the largest first. Runs code of the user's types."""
    found = []
    for name in variable_names(shell):
        value = shell.user_ns[name]
        try:
            size_bytes = int(getattr(value, "nbytes", 0) or sys.getsizeof(value))
        except Exception:  # what a type of the user's does when it is asked
            size_bytes = 0
        found.append((printable(name), printable(type(value).__name__), max(0, size_bytes)))
    return sorted(found, key=lambda variable: -variable[2])[:_SHOWN_VARIABLES]


def adopt(process: StateProcess, message: Adopt) -> None:
    """At rest. A message that comes meanwhile waits for a moment at most: what is left then stays as it is."""
    if threading.active_count() > 1:
        return  # a thread of the program's may write to the memory meanwhile
    until_s = time.monotonic() + _MESSAGE_WAITS_S

    def go_on() -> bool:
        return process.channel.is_idle() or time.monotonic() < until_s

    blobs = Blobs(message.store)
    memory = mapping.Memory(blobs)
    for address, size_bytes, digest, is_as_frozen in message.buffers:
        if not go_on():
            return
        # The frozen process holds what was captured, and this one is as it was when the two parted.
        is_known = is_as_frozen and _is_as_frozen(process, address, size_bytes)
        mapping.adopt(blobs, address, size_bytes, digest, is_known=is_known, memory=memory, go_on=go_on)


def _is_as_frozen(process: StateProcess, address: int, size_bytes: int) -> bool:
    """Whether this memory is certainly as it is in the frozen process of the state, but for its first and its last
    page. Had the program forked since, pages that it wrote to before might be shared again."""
    return forking.count == process.forks and mapping.is_as_forked(address, size_bytes)


# --- restoring


def import_modules(message: Import) -> Imported:
    """Import what snapshots need, and what loading them does."""
    states.make_ready()
    sys.path[:] = message.path
    failed = []
    for name in message.modules:
        try:
            importlib.import_module(name)
        except BaseException as error:  # what a package does at its import is its own
            failed.append(f"{name}: {type(error).__name__}: {error}")
    return Imported(failed)


def restore(process: StateProcess, message: Restore) -> Restored:
    """Become the state. Where `error` says why not, the process is in no state, and should end."""
    record = snapshots.decode(message.record)
    header = msgspec.json.decode(record.header, type=states.Header)
    try:
        snapshot.check_interpreter(header.interpreter)
        kept, notes = _load(process, Blobs(message.store), record)
    except StillframeError as error:
        return Restored(str(error), [])
    except BaseException as error:  # loading runs code of the user's classes
        missing = snapshot.missing_packages(header.packages)
        why = f"{type(error).__name__}: {error}"
        hint = f" These packages are not installed: {', '.join(missing)}." if missing else ""
        return Restored(f"the state could not be loaded: {why}.{hint}", [])
    shell, process.execution.on_interrupt, process.calls.restored = kept
    set_shell_state(process.shell, shell)
    return Restored("", notes)


def _load(
    process: StateProcess, blobs: Blobs, record: snapshots.Record
) -> tuple[tuple[ShellState, Any, RestOfCell | None], list[str]]:
    pickle = snapshots.read_pickle(blobs, record.pickle)
    # The last buffer lists what to import, for those who make bases.
    parts = record.buffers[:-1]
    buffers = [mapping.map_blob(blobs, part.digest) for part in parts]
    digests = {mapping.address_of(buffer): part.digest for buffer, part in zip(buffers, parts, strict=True)}

    def fill(data: Any, address: int, size_bytes: int) -> bool:
        digest = digests.get(mapping.address_of(data))
        return digest is not None and mapping.overlay(blobs, address, size_bytes, digest)

    contents = Contents(pickle, buffers)
    return states.restore_state(contents, finder(process), fill, _OWN_ENVIRONMENT, process.count_names)

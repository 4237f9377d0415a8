"""What travels, and the only place where teleport touches capture: a program captured, sent, received, resumed.

    here    with_captured(send) ── Envelope.write(stream) ──►
    there                                   read(stream) ── load ── `ready` ── `go` ── run

Invariants:
  * `load` runs before anything has ended on the other side, and whatever it raises is the other side's error.
  * Sending copies nothing: buffers go out from where they are.
  * The items of `each` are captured with the program, so that an item that the program holds is that very object.
"""

from __future__ import annotations

import marshal
import os
import sys
from collections.abc import Callable, Sequence

from stillframe.capture import resumed, resuming
from stillframe.capture.loading import Contents, gc_paused
from stillframe.teleport import environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple
else:
    from stillframe.light import NamedTuple

_ITEMS = "__stillframe_items__"
"""Where the items of `each` travel: a name in `__main__` that is there during the capture and the load only."""
_FOLDERS = "teleport folders"
"""The header's fact with the program's own folders of sys.path, below the working directory as relative ones."""
_UNREAD = "teleport standard input"
"""The header's fact with what was read ahead of standard input, in hexadecimal."""
_CHANGES = "teleport environment"
"""The header's fact with what the program has changed in its environment: {name: value, or null}, or nothing."""


class Passing(NamedTuple):
    """The header of what never leaves this process's memory: the same interpreter reads it, so nothing is checked."""

    where: str
    created: str
    facts: dict[str, str]


class Envelope(NamedTuple):
    """A captured program, on the side that sends it."""

    header: Any
    contents: Contents

    def write(self, stream: Any) -> None:
        """Write all of it."""
        if isinstance(self.header, Passing):
            _write_passing(stream, self.header, self.contents)
        else:
            _snapshots().write_stream(stream, self.header, self.contents)


class Loaded(NamedTuple):
    """A program whose objects are made, and which has not begun."""

    header: Any
    program: Any
    items: Sequence[Any] | None


def formats() -> dict[str, Any]:
    """What has to be the same on both sides."""
    from msgspec.structs import asdict

    here = asdict(_snapshots().Interpreter.here())
    # The patch level may differ.
    del here["version"]
    return {"snapshot format": _snapshots().FORMAT, **here}


def packages() -> dict[str, str]:
    """The installed packages that the program uses, with their versions."""
    from stillframe.capture.packages import packages_needed

    _snapshots()  # it may import packages too, which the header will name
    return packages_needed()


def _snapshots() -> Any:
    """What knows the format that goes to other places; what stays in this process does without all that it imports."""
    from stillframe.capture import snapshot

    return snapshot


# Here


def with_captured(
    send: Callable[[Envelope], None],
    items: Sequence[Any] | None,
    then: list[str] | None = None,
    *,
    is_same_place: bool = False,
) -> None:
    """Capture the program of the caller and call `send` with it; then exec `then`, if given.

    `send` may run in a copy of this process. Other threads stand still from the capture to the exec.
    `is_same_place`: the envelope is for the very interpreter that runs this.
    """
    with gc_paused():
        # What only lands does without these.
        from stillframe.capture import program
        from stillframe.errors import TeleportFailed
        from stillframe.teleport import unread_input

    def use(header: Any, contents: Contents) -> tuple[str, str, list[str]] | None:
        header.facts[_FOLDERS] = os.pathsep.join(_own_folders())
        header.facts[_CHANGES] = _changes_to_text(environment.changes())
        if then is not None and items is None:
            header.facts[_UNREAD] = unread_input.take().hex()
        try:
            send(Envelope(header, contents))
        except TeleportFailed as error:
            return error.message, error.hint, error.missing
        return None

    main = vars(sys.modules["__main__"])
    if items is not None:
        main[_ITEMS] = items
    try:
        failure = program.with_captured(use, then=then, make_header=_passing if is_same_place else None)
    finally:
        main.pop(_ITEMS, None)
    if failure is not None:
        raise TeleportFailed(*failure)


def _passing(where: str) -> Passing:
    return Passing(where, resumed.now(), {})


def _changes_to_text(changes: dict[str, str | None]) -> str:
    if not changes:
        return ""
    import json

    return json.dumps(changes)


def _changes_from_text(text: str) -> dict[str, str | None]:
    if not text:
        return {}
    import json

    changes: dict[str, str | None] = json.loads(text)
    return changes


_LENGTH_BYTES = 8


def _write_passing(stream: Any, header: Passing, contents: Contents) -> None:
    """The length of a head, the head for the same interpreter, then the pickle and the buffers."""
    parts = [memoryview(part).cast("B") for part in (contents.pickle, *contents.buffers)]
    head = marshal.dumps([*header, [part.nbytes for part in parts]])
    for part in (len(head).to_bytes(_LENGTH_BYTES, "little"), head, *parts):
        stream.write(part)


def _read_passing(stream: Any) -> tuple[Passing, Contents]:
    length = int.from_bytes(_exactly(stream, _LENGTH_BYTES), "little")
    *header, sizes = marshal.loads(_exactly(stream, length))
    parts = [_exactly(stream, size) for size in sizes]
    return Passing(*header), Contents(parts[0], parts[1:])


def _exactly(stream: Any, size: int) -> bytearray:
    part = bytearray(size)
    left = memoryview(part)
    while left.nbytes:
        count = stream.readinto(left)
        assert count, "the envelope has been written whole"
        left = left[count:]
    return part


def _own_folders() -> list[str]:
    """Folders of sys.path that are the program's, not the installation's."""
    from stillframe.capture.modules import is_installed_file

    here = os.getcwd()
    own = [os.path.join(here, folder) for folder in sys.path if not is_installed_file(folder + os.sep)]
    return [
        os.path.relpath(folder, here) if os.path.commonpath([folder, here]) == here else folder
        for folder in own
    ]


# There


def read(stream: Any, *, is_same_place: bool = False) -> tuple[Any, Contents]:
    """The envelope out of a stream; large buffers are read to where they stay."""
    if is_same_place:
        return _read_passing(stream)
    received: tuple[Any, Contents] = _snapshots().read_stream(stream, "the envelope")
    return received


def load(received: tuple[Any, Contents], *, is_same_place: bool) -> Loaded:
    """Make the program's objects. In another place, what belongs to the place stays as it is there: the working
    directory, the environment but for the program's own changes, sys.path but for its own folders."""
    header, contents = received
    changes = _changes_from_text(header.facts[_CHANGES])
    if header.facts.get(_UNREAD):
        from stillframe.teleport import unread_input

        unread_input.put_back(bytes.fromhex(header.facts[_UNREAD]))
    own = [
        folder
        for folder in map(os.path.abspath, header.facts[_FOLDERS].split(os.pathsep))
        if os.path.exists(folder)
    ]
    path = [*own, *(folder for folder in sys.path if folder not in own)]
    if not is_same_place:
        header.facts["path"] = os.pathsep.join(own)
    made = resuming.load(header, contents)
    if not is_same_place:
        state = made[1].process
        state["folder"] = None
        state["environ"] = environment.with_changes(changes)
        state["sys"]["path"] = path
    environment.remember(changes)
    return Loaded(header, made, vars(sys.modules["__main__"]).pop(_ITEMS, None))


def run(loaded: Loaded, index: int | None, ready: Callable[[], None]) -> int:
    """Go on with the program, as the copy for the item `index`, to its end. Returns the exit code."""
    value: Any = resumed.Resumed.of(loaded.header, None)
    if index is not None:
        assert loaded.items is not None, "a copy arrived without its items"
        value = loaded.items[index]
    if "signals" not in loaded.program[1].process:
        # It was captured in a thread that has no part in signals, so nobody else lets them in again.
        ready()
    return resuming.run(loaded.program, value)

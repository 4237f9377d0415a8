"""Capture and restore, as one step each: objects to a pickle with its buffers, and back.

Invariants:
  * A capture that fails changes nothing, and names everything that stands in the way, not only what failed first.
  * How deep objects are nested does not matter.
"""

from __future__ import annotations

import gc
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, NamedTuple

from stillframe.capture import rebuild
from stillframe.capture.modules import dump_prelude, dump_with_modules, load_with_modules
from stillframe.capture.pickler import Options, Pickler, Unpickler
from stillframe.errors import CannotCapture


class Contents(NamedTuple):
    """A capture: the pickle, and the large buffers that it refers to."""

    pickle: Any
    buffers: Sequence[Any]

    @property
    def size_bytes(self) -> int:
        """Of both together."""
        return memoryview(self.pickle).nbytes + sum(memoryview(buffer).nbytes for buffer in self.buffers)


Prepare = Callable[[Pickler], None]


def capture(
    root: Any,
    options: Options | None = None,
    prepare: Prepare | None = None,
    name: str = "obj",
    roots: dict[str, Any] | None = None,
    in_band: bool = False,
) -> Contents:
    """Capture `root` and what it reaches; `prepare` may tell the pickler more before it begins.

    Raises CannotCapture with all obstacles. In their paths `root` is called `name`; the objects in `roots`, which
    should be parts of it, have names of their own. `in_band`: the buffers are in the pickle.
    """
    options = options or Options()
    with _gc_paused(), _room_to_recurse():
        if options.whole_program:
            try:
                return _capture_somehow(root, options._replace(has_failed_locals=True), prepare, in_band)
            except Exception:  # noqa: BLE001 - the same without what only failed frames hold will tell
                pass
        try:
            return _capture_somehow(root, options, prepare, in_band)
        except CannotCapture:
            raise
        except Exception as error:
            # Reducers and classes of the user's may raise anything.
            from stillframe.capture.explain import explain, obstacle

            obstacles = explain(root, name, options, prepare, roots)
            if obstacles:
                raise CannotCapture.because_of(obstacles) from error
            raise CannotCapture.because_of([obstacle(name, root, error)]) from error


def _capture_somehow(root: Any, options: Options, prepare: Prepare | None, in_band: bool) -> Contents:
    """In the fast way; if objects are nested too deeply for it, in ways that do not recurse into them."""
    try:
        return _dump(root, options, prepare, in_band)
    except RecursionError:
        options = options._replace(is_flat=True)
    try:
        return _dump(root, options, prepare, in_band)
    except RecursionError:
        first = deep_containers(root, options, prepare)
    return _dump(root, options, prepare, in_band, first)


def _dump(
    root: Any, options: Options, prepare: Prepare | None, in_band: bool, first: Sequence[Any] = ()
) -> Contents:
    file, buffers = io.BytesIO(), list[memoryview]()
    pickler = Pickler(file, buffers=None if in_band else buffers, options=options)
    if prepare is not None:
        prepare(pickler)
    try:
        dump_with_modules(pickler, root, first)
    finally:
        pickler.forget()
    return Contents(file.getvalue(), buffers)


def deep_containers(root: Any, options: Options, prepare: Prepare | None) -> list[Any]:
    """Containers from deep inside of others, the innermost first: pickled in this order, none is deep."""
    from stillframe.capture.walking import ATOMS, CONTAINERS, children, roots_of_modules

    pickler = Pickler(io.BytesIO(), buffers=[], options=options)
    if prepare is not None:
        prepare(pickler)
    users = dump_prelude(pickler)
    found: list[Any] = []
    seen: set[int] = {*pickler.state.dicts, *pickler.state.landmarks}
    keep: list[Any] = []
    roots = (
        iter([("", root)])
        if not options.whole_program
        else chain([("", root)], roots_of_modules(pickler, users))
    )
    stack: list[Iterator[tuple[str, Any]]] = [iter(roots)]
    while stack:
        step = next(stack[-1], None)
        if step is None:
            stack.pop()
            continue
        obj = step[1]
        if type(obj) in ATOMS or id(obj) in seen:
            continue
        seen.add(id(obj))
        keep.append(obj)
        if len(stack) % _LEVELS == 0 and type(obj) in CONTAINERS:
            found.append(obj)
        stack.append(children(pickler, obj))
    found.reverse()
    return found


_LEVELS = 100
"""Containers are pickled in pieces of as many levels."""


def restore(contents: Contents) -> tuple[rebuild.Context, Any]:
    """Load what `capture` captured: the context of the load, and the root."""
    unpickler = Unpickler(io.BytesIO(contents.pickle), buffers=contents.buffers)
    with _gc_paused():
        return load_with_modules(unpickler)


@contextmanager
def _gc_paused() -> Iterator[None]:
    """Without collections: they would look again and again at all that was made so far."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def _room_to_recurse() -> Iterator[None]:
    """The program may be near its limit of recursion; the capture has its own depth."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(limit + _OWN_DEPTH)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


_OWN_DEPTH = 2000

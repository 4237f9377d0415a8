"""Capture and restore, as one step each: objects to a pickle with its buffers, and back.

Invariants:
  * A capture that fails changes nothing, and names everything that stands in the way, not only what failed first.
  * How deep objects are nested does not matter.
  * Whoever loads what another process captured has this module, and with it the self-test of the frames. Only what
    lands where it was captured does without.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from stillframe.capture.large import PickleFile
from stillframe.capture.loading import Contents as Contents
from stillframe.capture.loading import gc_paused
from stillframe.capture.loading import restore as restore
from stillframe.capture.modules import dump_prelude, dump_with_modules
from stillframe.capture.pickler import Options, Pickler
from stillframe.errors import CannotCapture
from stillframe.frames import continuation as continuation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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
    with gc_paused(), _room_to_recurse():
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
    buffers = list[memoryview]()
    file = io.BytesIO() if in_band else PickleFile(buffers)
    pickler = Pickler(file, buffers=None if in_band else buffers, options=options)
    if prepare is not None:
        prepare(pickler)
    try:
        dump_with_modules(pickler, root, first)
    except BaseException:
        # As long as it is viewed a bytearray cannot be resized; the error may be kept.
        for buffer in buffers:
            buffer.release()
        raise
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


class _room_to_recurse:
    """The program may be near its limit of recursion; the capture has its own depth."""

    def __enter__(self) -> None:
        self._limit = sys.getrecursionlimit()
        sys.setrecursionlimit(self._limit + _OWN_DEPTH)

    def __exit__(self, *_raised: object) -> None:
        sys.setrecursionlimit(self._limit)


_OWN_DEPTH = 2000

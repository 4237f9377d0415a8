"""What stands in the way of a capture, by its path from a variable: all of it, not only what would fail first."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from stillframe.capture.modules import dump_prelude
from stillframe.capture.pickler import CannotReduce, Options, Pickler
from stillframe.capture.reducers.obstacles import known
from stillframe.capture.walking import Walk, roots_of_modules
from stillframe.errors import Obstacle

MOST_OBSTACLES = 100
"""More are not looked for: nobody reads them."""
REMEDY = "Close or delete it before the capture, exclude it, or register a reducer for its type."


def explain(
    obj: Any,
    name: str = "obj",
    options: Options | None = None,
    prepare: Callable[[Pickler], None] | None = None,
    roots: dict[str, Any] | None = None,
) -> list[Obstacle]:
    """The obstacles in what `obj` reaches, without capturing it; `name` is what it is called in their paths.

    In a whole program, those in the user's modules come first. `roots` has more to begin with, by name.
    """
    pickler = Pickler(io.BytesIO(), buffers=[], options=options)
    if prepare is not None:
        prepare(pickler)
    users = dump_prelude(pickler)
    walk = Walk(pickler)
    if pickler.options.whole_program:
        walk.start(roots_of_modules(pickler, users))
    walk.start(iter((roots or {}).items()))
    walk.start(iter([(name, obj)]))
    obstacles = []
    for path, found, error in walk.run():
        obstacles.append(obstacle(path, found, error))
        if len(obstacles) == MOST_OBSTACLES:
            break
    if not obstacles:
        obstacles = _in_epilogue(pickler, name)
    return obstacles


def _in_epilogue(pickler: Pickler, name: str) -> list[Obstacle]:
    """What shows only when everything is known: files whose pending output cannot be written."""
    while pickler.state.epilogue:
        try:
            pickler.state.epilogue.pop(0)()
        except CannotReduce as error:
            return [obstacle(name, error.obj, error)]
    return []


def obstacle(path: str, obj: Any, error: Exception) -> Obstacle:
    """The obstacle that `error` tells of."""
    if isinstance(error, CannotReduce):
        return Obstacle(path, type(obj).__qualname__, error.reason, error.remedy)
    special = known(type(obj))
    if special is not None:
        return Obstacle(path, type(obj).__qualname__, *special)
    text = str(error).strip().rstrip(".") or type(error).__name__
    expected = (
        f"cannot pickle '{type(obj).__name__}' object",
        f"cannot pickle {type(obj).__name__!r} object",
    )
    if text in expected or text.startswith("cannot pickle "):
        reason = "it holds what is known only to native code"
    else:
        reason = f"its own code says: {type(error).__name__}: {text}"
    return Obstacle(path, type(obj).__qualname__, reason, REMEDY)

"""The pickler: CPython's own, in C, asked about each object that is not plain data.

Invariants:
  * Plain data (numbers, text, and the exact types list, dict, tuple, set, frozenset) never reaches Python code.
  * What to do with an object is decided once per type and dump (`Pickler.plans`), then costs one look-up.
  * A reducer changes nothing in the program, and may be called twice for one object.
  * What a pickle names of ours lives in `rebuild*.py`: those names are part of the format.
  * Nothing is registered with `copyreg`: plain `pickle` works as before.
"""

from __future__ import annotations

import _pickle  # where `pickle` has it from, which is slow to import
import copyreg
import importlib
import sys
import time
from collections.abc import Callable
from types import EllipsisType, NotImplementedType

from stillframe.capture import rebuild

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple, TypeAlias
else:
    from stillframe.light import NamedTuple

Reduced: TypeAlias = "str | tuple[Any, ...]"
Reducer: TypeAlias = "Callable[[Pickler, Any], Any]"
"""Takes the pickler and the object; returns what `__reduce__` may return, or NotImplemented: as pickle does it."""

IN_BAND_BYTES = 64 * 1024
"""Smaller buffers stay in the pickle: each buffer of its own costs a page."""


class CannotReduce(_pickle.PicklingError):
    """`obj` cannot be captured: `reason` is a clause, `remedy` a sentence."""

    def __init__(self, obj: Any, reason: str, remedy: str) -> None:
        super().__init__(f"{type(obj).__qualname__}: {reason}. {remedy}")
        self.obj, self.reason, self.remedy = obj, reason, remedy


class Options(NamedTuple):
    """How a capture is made.

    `whole_program`: the user's modules travel with all their state and take their places in `sys.modules`
    again; otherwise functions bring only the globals that they use.
    `forked`: the capture runs in a forked child, whose writes to shared files would be seen outside.
    """

    whole_program: bool = False
    forked: bool = False
    excluded: frozenset[str] = frozenset()
    """Paths that stay behind: `module.name`, or `name` for one of `__main__`."""
    is_state: bool = False
    """A kernel's state comes back as in a fork: arrays own their memory again (who loads them can map a buffer over
    it), and a file is opened as it is by then, not put back as it was."""
    has_failed_locals: bool = False
    """The frames of tracebacks bring their variables."""
    is_flat: bool = False
    """The attributes of objects are pickled after them, one object after the other: for objects nested deeply."""


class Clock(NamedTuple):
    """The time of the capture, by both clocks: what is left of a timer is counted from it."""

    monotonic_s: float
    time_s: float

    @classmethod
    def read(cls) -> Clock:
        """The time now."""
        return cls(time.monotonic(), time.time())


class Standin:
    """Pickled as the call `make(*args)`; in the pickler's memo its place may be given to the object itself."""

    __slots__ = ("args", "make")

    def __init__(self, make: Callable[..., Any], *args: Any) -> None:
        self.make, self.args = make, args


class CaptureState:
    """What reducers need to know of one capture, beyond the object in hand."""

    def __init__(self) -> None:
        self.dicts: dict[int, str] = {}
        """By the id of a dict of a module by value: the module's name. The memo has these dicts already."""
        self.landmarks: set[int] = set()
        """The ids of what the process has where the pickle is loaded. The memo has these, too."""
        self.modules: dict[int, Standin] = {}
        """By the id of a module by value, if functions bring only the globals that they use: its stand-in."""
        self.by_value: dict[str, bool] = {}
        """By the name of a module: whether it travels by value."""
        self.seen: dict[Any, Any] = {}
        """Whatever a reducer keeps from one object to the next, under a key of its own."""
        self.epilogue: list[Callable[[], tuple[Any, ...]]] = []
        """Pickled after the root: each returns a function and its arguments, which the load calls then."""
        self.deferred: list[tuple[Any, tuple[Any, ...]]] = []
        """In a flat capture: objects that are in the pickle without their attributes, and their reductions."""
        self.keep: list[Any] = []
        """Objects made for the capture whose ids must not be used again before its end."""


REDUCERS: dict[type, Reducer | None] = {
    EllipsisType: None,
    NotImplementedType: None,
    _pickle.PickleBuffer: None,
    Standin: lambda _pickler, standin: (standin.make, standin.args),
}
"""By exact type. None: pickle does it right by itself."""
BASES: list[tuple[type, Reducer]] = []
"""For subclasses too; the first that fits is taken, so the more special ones come first."""
LIBRARIES: dict[str, list[Callable[[], object]]] = {}
"""By the name of a package or module: registers its reducers, when one of its types is met. It is not imported."""
REGISTERED: dict[type, Callable[[Any], Any]] = {}
"""The user's own, from `register_reducer`."""
PLANNERS: dict[str, Callable[[Pickler, type], Reducer | None]] = {}
"""Decide for a type that nobody registered: `class` for metaclasses, `instance` for the rest."""


def reducer(*types: type | None, subclasses: bool = False) -> Callable[[Reducer], Reducer]:
    """Register the decorated function for `types` (those that this CPython does not have may be None)."""

    def register(reduce: Reducer) -> Reducer:
        for cls in types:
            if cls is None:
                continue
            if subclasses:
                BASES.append((cls, reduce))
            else:
                REDUCERS[cls] = reduce
        return reduce

    return register


def reducer_in(module: str, *names: str, subclasses: bool = False) -> Callable[[Reducer], Reducer]:
    """The same for types of a module that may not be imported yet, and is not imported by us."""

    def register(reduce: Reducer) -> Reducer:
        def found() -> None:
            types = [getattr(sys.modules[module], name, None) for name in names]
            reducer(*types, subclasses=subclasses)(reduce)

        LIBRARIES.setdefault(module, []).append(found)
        return reduce

    return register


def register_reducer(cls: type, reduce: Callable[[Any], Any]) -> None:
    """Let `reduce(obj)` say how objects of `cls` and its subclasses are captured, as a `__reduce__` would.

    Only stillframe uses it; `pickle` and `copy` do not see it. It wins over all that stillframe does itself.
    """
    if not isinstance(cls, type) or not callable(reduce):
        raise TypeError("register_reducer takes a type and a function of one argument")
    REGISTERED[cls] = reduce


def load_reducers(*, late: bool = True) -> None:
    """Have all reducers registered; without `late`, those that not every program needs only when they are needed.

    What only loads has no use for them.
    """
    reducers = importlib.import_module("stillframe.capture.reducers")
    if late:
        reducers.load_late()


class _Plans(dict[type, "Reducer | None"]):
    """The plan of each type; made when it is first asked for."""

    pickler: Pickler

    def __missing__(self, cls: type) -> Reducer | None:
        plan = self[cls] = _plan(self.pickler, cls)
        return plan


def _plan(pickler: Pickler, cls: type) -> Reducer | None:
    for base in cls.__mro__:
        if base in REGISTERED:
            reduce = REGISTERED[base]
            return lambda _pickler, obj: reduce(obj)
    _register_libraries(cls)
    if cls in REDUCERS:
        return REDUCERS[cls]
    for base, special in BASES:
        if issubclass(cls, base):
            return special
    if issubclass(cls, type):
        return PLANNERS["class"](pickler, cls)
    if cls in copyreg.dispatch_table:
        return None
    return PLANNERS["instance"](pickler, cls)


def _register_libraries(cls: type) -> None:
    for base in cls.__mro__:
        module = str(getattr(base, "__module__", ""))
        for name in (module.partition(".")[0], module):
            # A theme that comes late brings more.
            while name in LIBRARIES:
                for register in LIBRARIES.pop(name):
                    register()


class Pickler(_pickle.Pickler):
    """Pickles with protocol 5; the user's classes, functions and modules by value.

    `buffers` takes the large buffers, out of band; without it they stay in the pickle.
    """

    def __init__(
        self, file: Any, *, buffers: list[memoryview] | None = None, options: Options | None = None
    ) -> None:
        load_reducers(late=False)
        keep = None if buffers is None else _keeper(buffers)
        super().__init__(file, 5, buffer_callback=keep)
        self.options = options or Options()
        self.now = Clock.read()
        self.context = Standin(rebuild.Context)
        """In the place of the context of the load (`rebuild.Context`), in the arguments of what is called there."""
        self.state = CaptureState()
        self.landmarks: list[tuple[Standin, Any]] = []
        """Objects that the process has where the pickle is loaded: by reference, each with what finds it there."""
        self.running: dict[int, Any] = {}
        """By the id of a generator that runs, or of a frame or thread that will be resumed: its image."""
        self.running_threads: dict[int, Any] = {}
        """By the id of a Thread object whose thread will be resumed: what `__reduce__` would return for it."""
        self.local_dicts: Callable[[Any], dict[int, dict[str, Any]]] | None = None
        """Tells what each thread, by its ident, keeps in thread-local data; without it only this thread's comes."""
        plans = _Plans(REDUCERS)
        plans.pickler = self
        plans.update(dict.fromkeys(REGISTERED))
        for cls in REGISTERED:
            plans[cls] = _plan(self, cls)
        self.plans = plans

    def forget(self) -> None:
        """Let go of all that was pickled: nothing of the program may live longer for having been captured."""
        self.clear_memo()
        # A circle would keep the buffers, and who is viewed cannot be resized, until the collector comes by.
        self.plans = _Plans()
        self.landmarks.clear()
        self.running.clear()
        self.running_threads.clear()
        self.state = CaptureState()

    def reducer_override(self, obj: Any) -> Any:
        """What pickle asks first, for all but plain data."""
        reduce = self.plans[type(obj)]
        if reduce is None:
            return NotImplemented
        return reduce(self, obj)


def _keeper(buffers: list[memoryview]) -> Callable[[_pickle.PickleBuffer], bool]:
    def keep(buffer: _pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < IN_BAND_BYTES:
            return True
        buffers.append(raw)
        return False

    return keep
